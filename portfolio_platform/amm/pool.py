"""What every pool can do, and the rules that do not depend on its curve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from fractions import Fraction
from typing import Any, ClassVar, Self

from portfolio_platform.amm.errors import (
    AmountOutOfRange,
    Dust,
    InvalidPool,
    PoolPaused,
    StaleQuote,
    UnknownMint,
)
from portfolio_platform.amm.integers import BPS, U64_MAX
from portfolio_platform.amm.quote import Quote, Swap
from portfolio_platform.amm.transfer_fee import TransferFee


@dataclass(frozen=True, kw_only=True)
class AmmPool(ABC):
    """State of one pool at one slot: prices trades, never changes.

    Parameters
    ----------
    address : str
        Account of the pool.
    mint_a, mint_b : str
        The two mints; the spot price counts base units of b per base unit of a.
    transfer_fee_a, transfer_fee_b : TransferFee or None
        Token-2022 fee of the mints; pools with such mints cannot be priced without it.
    paused : bool
        Whether the program refuses swaps.
    """

    kind: ClassVar[str]

    address: str
    mint_a: str
    mint_b: str
    transfer_fee_a: TransferFee | None = None
    transfer_fee_b: TransferFee | None = None
    paused: bool = False

    def __post_init__(self) -> None:
        if self.mint_a == self.mint_b:
            raise InvalidPool("both sides are the same mint", pool=self.address)
        self._validate()

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle the state alone, without what was computed from it."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @abstractmethod
    def _validate(self) -> None:
        """Refuse a state that its program could not hold."""

    @abstractmethod
    def spot_price(self) -> Fraction:
        """Return base units of mint b per base unit of mint a, before fees.

        Raises
        ------
        ZeroLiquidity
            There is no price.
        """

    @abstractmethod
    def _swap_in(self, a_to_b: bool, gross: int) -> Swap:
        """Sell `gross` base units, pool fee included."""

    @abstractmethod
    def _swap_out(self, a_to_b: bool, out: int) -> Swap:
        """Buy exactly `out` base units."""

    @abstractmethod
    def _max_gross(self, a_to_b: bool, impact_bps: int) -> int:
        """Return an input, pool fee included, whose impact is within the limit."""

    @abstractmethod
    def _gross_to_root(self, a_to_b: bool, root: int) -> int:
        """Return the input that takes the marginal price after fees down to a bound.

        `root` is the square root of the bound (out per in) in Q64.64.
        """

    @abstractmethod
    def _root(self, a_to_b: bool) -> int:
        """Return the square root of the marginal price after fees (out per in) in Q64.64."""

    @abstractmethod
    def _moved(self, state: tuple[Any, ...]) -> Self:
        """Return the pool with the state that a swap left."""

    @abstractmethod
    def _state_json(self) -> dict[str, Any]:
        """Return the fields of the curve as JSON."""

    @classmethod
    @abstractmethod
    def _state_from_json(cls, data: dict[str, Any]) -> dict[str, Any]:
        """Return the constructor arguments that `_state_json` wrote."""

    def other(self, mint: str) -> str:
        """Return the mint on the other side of the pool."""
        return self.mint_b if self._a_side(mint) else self.mint_a

    def trades(self, mint_in: str, mint_out: str) -> bool:
        """Tell whether the pool exchanges these two mints."""
        return {mint_in, mint_out} == {self.mint_a, self.mint_b}

    def spot(self, mint_in: str) -> Fraction:
        """Return base units out per base unit of `mint_in`, before fees."""
        price = self.spot_price()
        return price if self._a_side(mint_in) else 1 / price

    def quote_exact_in(self, mint_in: str, amount: int) -> Quote:
        """Price the sale of exactly `amount` base units of `mint_in`.

        Raises
        ------
        AmountOutOfRange, UnknownMint, PoolPaused, Dust, InsufficientLiquidity
            See their classes; a concentrated pool never looks beyond the ticks that it was given.
        """
        a_to_b = self._a_side(mint_in)
        self._open(amount)
        fee_in, fee_out = self._transfer_fees(a_to_b)
        withheld_in = fee_in.fee(amount) if fee_in else 0
        if withheld_in >= amount:
            raise Dust(f"{amount} is withheld whole as transfer fee", pool=self.address)
        swap = self._swap_in(a_to_b, amount - withheld_in)
        withheld_out = fee_out.fee(swap.out) if fee_out else 0
        if swap.out <= withheld_out:
            raise Dust(f"selling {amount} base units gives nothing", pool=self.address)
        return self._quote(a_to_b, True, swap, withheld_in, withheld_out)

    def quote_exact_out(self, mint_out: str, amount: int) -> Quote:
        """Price the purchase of `amount` base units of `mint_out`.

        The smallest sufficient input is found; where a transfer fee on the output does not divide
        evenly, one or more units more than `amount` may arrive.
        """
        a_to_b = not self._a_side(mint_out)
        self._open(amount)
        fee_in, fee_out = self._transfer_fees(a_to_b)
        leaving = fee_out.to_receive(amount) if fee_out else amount
        swap = self._swap_out(a_to_b, leaving)
        sent = fee_in.to_receive(swap.gross_in) if fee_in else swap.gross_in
        if sent > U64_MAX:
            raise AmountOutOfRange(f"input {sent} exceeds 64 bits", pool=self.address)
        withheld_out = fee_out.fee(leaving) if fee_out else 0
        return self._quote(a_to_b, False, swap, sent - swap.gross_in, withheld_out)

    def max_input(self, mint_in: str, impact_bps: int) -> int:
        """Return an input of `mint_in` whose price impact never exceeds the limit.

        Zero when not even one base unit passes. See the curve for how close to the true maximum
        it comes.
        """
        a_to_b = self._a_side(mint_in)
        if not 0 <= impact_bps < BPS:
            raise AmountOutOfRange(f"impact limit {impact_bps} is not within 0 and 9999 bps")
        fee_in, _ = self._transfer_fees(a_to_b)
        gross = min(self._max_gross(a_to_b, impact_bps), U64_MAX)
        return min(fee_in.largest_for(gross), U64_MAX) if fee_in and gross else gross

    def marginal_root(self, mint_in: str) -> int:
        """Return the square root of the marginal price after fees (out per in), in Q64.64.

        Raises
        ------
        PoolPaused, ZeroLiquidity
            There is nothing to trade, and `AdaptiveFeeUnsupported` where a fee is not known.
        """
        a_to_b = self._a_side(mint_in)
        if self.paused:
            raise PoolPaused("swaps are switched off", pool=self.address)
        return self._root(a_to_b)

    def input_to_root(self, mint_in: str, root: int) -> int:
        """Return the input that takes the marginal price after fees down to `root` squared."""
        a_to_b = self._a_side(mint_in)
        gross = self._gross_to_root(a_to_b, root)
        fee_in, _ = self._transfer_fees(a_to_b)
        return fee_in.largest_for(gross) if fee_in and gross else gross

    def after(self, quote: Quote) -> Self:
        """Return the state that the quoted trade leaves.

        Raises
        ------
        StaleQuote
            The quote was made on another state.
        """
        if quote.source is not self and quote.source != self:
            raise StaleQuote("the quote was made on another state", pool=self.address)
        return self._moved(quote.state)

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON from which `amm.pool_from_json` restores it."""
        shared: dict[str, Any] = {
            "kind": self.kind,
            "address": self.address,
            "mint_a": self.mint_a,
            "mint_b": self.mint_b,
            "paused": self.paused,
        }
        for side in ("a", "b"):
            fee: TransferFee | None = getattr(self, f"transfer_fee_{side}")
            shared[f"transfer_fee_{side}"] = fee and {"bps": fee.bps, "max": str(fee.max)}
        return shared | self._state_json()

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Self:
        """Restore the state that `to_json` wrote."""
        fees: dict[str, TransferFee | None] = {}
        for side in ("transfer_fee_a", "transfer_fee_b"):
            fee = data[side]
            fees[side] = TransferFee(fee["bps"], int(fee["max"])) if fee else None
        return cls(
            address=data["address"],
            mint_a=data["mint_a"],
            mint_b=data["mint_b"],
            paused=data["paused"],
            **fees,
            **cls._state_from_json(data),
        )

    def _a_side(self, mint: str) -> bool:
        if mint == self.mint_a:
            return True
        if mint == self.mint_b:
            return False
        raise UnknownMint(f"{mint} is not traded here", pool=self.address, mint=mint)

    def _open(self, amount: int) -> None:
        if self.paused:
            raise PoolPaused("swaps are switched off", pool=self.address)
        if not 0 < amount <= U64_MAX:
            raise AmountOutOfRange(f"amount {amount} is not within 1 and 2^64-1", pool=self.address)

    def _transfer_fees(self, a_to_b: bool) -> tuple[TransferFee | None, TransferFee | None]:
        if a_to_b:
            return self.transfer_fee_a, self.transfer_fee_b
        return self.transfer_fee_b, self.transfer_fee_a

    def _quote(
        self, a_to_b: bool, exact_in: bool, swap: Swap, withheld_in: int, withheld_out: int
    ) -> Quote:
        return Quote(
            self.address,
            self.kind,
            self.mint_a if a_to_b else self.mint_b,
            self.mint_b if a_to_b else self.mint_a,
            swap.gross_in + withheld_in,
            swap.out - withheld_out,
            exact_in,
            swap.fee,
            swap.fee_out,
            swap.protocol_fee,
            withheld_in,
            withheld_out,
            swap.impact_num,
            swap.impact_den,
            swap.crossed,
            self,
            swap.state,
        )
