"""Constant product pools: Raydium AMM v4 and Raydium CP-Swap.

With input reserve x, output reserve y and net input n (after fees): ``out = floor(n*y/(x+n))``
and ``n = ceil(x*out/(y-out))``; the price impact without fees is exactly ``n/(x+n)``. Fees and
inputs round up, outputs round down.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import isqrt
from typing import Any, ClassVar, Literal, Self

from portfolio_platform.amm.errors import InsufficientLiquidity, InvalidPool, ZeroLiquidity
from portfolio_platform.amm.integers import BPS, PPM, U64_MAX, ceil_div
from portfolio_platform.amm.pool import AmmPool
from portfolio_platform.amm.quote import Swap
from portfolio_platform.amm.transfer_fee import TransferFee

CreatorFeeOn = Literal["input", "a", "b"]


def swap_exact_in(
    reserve_in: int, reserve_out: int, amount: int, fee_num: int, fee_den: int
) -> tuple[int, int]:
    """Return (output, fee) of selling `amount`; the output may be 0."""
    fee = ceil_div(amount * fee_num, fee_den)
    net = amount - fee
    return net * reserve_out // (reserve_in + net), fee


def swap_exact_out(
    reserve_in: int, reserve_out: int, amount: int, fee_num: int, fee_den: int
) -> tuple[int, int]:
    """Return (input, fee) of buying `amount`, the smallest sufficient input.

    Raises
    ------
    InsufficientLiquidity
        The reserve is not larger than the amount.
    """
    if amount >= reserve_out:
        raise InsufficientLiquidity(
            f"{amount} asked of a reserve of {reserve_out}", available=max(reserve_out - 1, 0)
        )
    net = ceil_div(reserve_in * amount, reserve_out - amount)
    gross = ceil_div(net * fee_den, fee_den - fee_num)
    return gross, gross - net


def deposit_for_shares(reserve_a: int, reserve_b: int, shares: int, supply: int) -> tuple[int, int]:
    """Return the amounts of both tokens that buy `shares` of the pool, rounded up."""
    return ceil_div(reserve_a * shares, supply), ceil_div(reserve_b * shares, supply)


@dataclass(frozen=True, kw_only=True)
class ConstantProductPool(AmmPool):
    """Pool with x*y = k.

    Parameters
    ----------
    reserve_a, reserve_b : int
        Tradable reserves in base units: vault amounts less what is owed to others. Use
        `raydium_amm_v4` and `raydium_cp_swap` to subtract what each program subtracts.
    fee_numerator, fee_denominator : int
        Trade fee, taken of the input.
    creator_fee_numerator : int
        Creator fee over the same denominator (CP-Swap only).
    creator_fee_on : {"input", "a", "b"}
        Token in which the creator fee is taken; "a" and "b" may be the output of a trade.
    outside_fee_ppm : tuple of int
        Shares of the trade fee that leave the reserves (protocol, fund), each rounded down.
    """

    kind: ClassVar[str] = "constant_product"

    reserve_a: int
    reserve_b: int
    fee_numerator: int = 25
    fee_denominator: int = BPS
    creator_fee_numerator: int = 0
    creator_fee_on: CreatorFeeOn = "input"
    outside_fee_ppm: tuple[int, ...] = ()
    program: str = "raydium_amm_v4"

    @classmethod
    def raydium_amm_v4(
        cls,
        *,
        address: str,
        mint_a: str,
        mint_b: str,
        vault_a: int,
        vault_b: int,
        need_take_pnl_a: int,
        need_take_pnl_b: int,
        fee_numerator: int,
        fee_denominator: int,
        paused: bool = False,
    ) -> ConstantProductPool:
        """Build the pool from vault amounts; the fee stays in the pool.

        Reserves are the vaults less the profit still to be taken; the order book counts for
        nothing. The fee is a field of each pool, 25/10,000 where nobody changed it.
        """
        return ConstantProductPool(
            address=address,
            mint_a=mint_a,
            mint_b=mint_b,
            reserve_a=vault_a - need_take_pnl_a,
            reserve_b=vault_b - need_take_pnl_b,
            fee_numerator=fee_numerator,
            fee_denominator=fee_denominator,
            paused=paused,
        )

    @classmethod
    def raydium_cp_swap(
        cls,
        *,
        address: str,
        mint_a: str,
        mint_b: str,
        vault_a: int,
        vault_b: int,
        owed_a: tuple[int, int, int],
        owed_b: tuple[int, int, int],
        trade_fee_ppm: int,
        protocol_share_ppm: int,
        fund_share_ppm: int,
        creator_fee_ppm: int = 0,
        creator_fee_on: CreatorFeeOn = "input",
        transfer_fee_a: TransferFee | None = None,
        transfer_fee_b: TransferFee | None = None,
        paused: bool = False,
    ) -> ConstantProductPool:
        """Build the pool from vault amounts.

        `owed_a` and `owed_b` are the protocol, fund and creator fees that still lie in the vaults
        and are not traded against.
        """
        return ConstantProductPool(
            address=address,
            mint_a=mint_a,
            mint_b=mint_b,
            transfer_fee_a=transfer_fee_a,
            transfer_fee_b=transfer_fee_b,
            paused=paused,
            reserve_a=vault_a - sum(owed_a),
            reserve_b=vault_b - sum(owed_b),
            fee_numerator=trade_fee_ppm,
            fee_denominator=PPM,
            creator_fee_numerator=creator_fee_ppm,
            creator_fee_on=creator_fee_on,
            outside_fee_ppm=(protocol_share_ppm, fund_share_ppm),
            program="raydium_cp_swap",
        )

    def _validate(self) -> None:
        total = self.fee_numerator + self.creator_fee_numerator
        if min(self.fee_numerator, self.creator_fee_numerator) < 0 or total >= self.fee_denominator:
            raise InvalidPool(
                f"fee {total}/{self.fee_denominator} is not below one", pool=self.address
            )
        if not 0 <= self.reserve_a <= U64_MAX or not 0 <= self.reserve_b <= U64_MAX:
            raise InvalidPool(
                f"reserves {self.reserve_a} and {self.reserve_b} are not unsigned 64-bit amounts",
                pool=self.address,
            )

    def spot_price(self) -> Fraction:
        self._reserves(True)
        return Fraction(self.reserve_b, self.reserve_a)

    def curve(self, mint_in: str) -> tuple[int, int, int, int]:
        """Return input reserve, output reserve and the kept share of the input as num, den."""
        a_to_b = self._a_side(mint_in)
        x, y = self._reserves(a_to_b)
        return x, y, self.fee_denominator - self._fee_in(a_to_b), self.fee_denominator

    def _reserves(self, a_to_b: bool) -> tuple[int, int]:
        if not self.reserve_a or not self.reserve_b:
            raise ZeroLiquidity("a reserve is empty", pool=self.address, available=0)
        if a_to_b:
            return self.reserve_a, self.reserve_b
        return self.reserve_b, self.reserve_a

    def _creator_on_input(self, a_to_b: bool) -> bool:
        on = self.creator_fee_on
        return on == "input" or (on == "a") == a_to_b

    def _fee_in(self, a_to_b: bool) -> int:
        if self.creator_fee_numerator and self._creator_on_input(a_to_b):
            return self.fee_numerator + self.creator_fee_numerator
        return self.fee_numerator

    def _swap_in(self, a_to_b: bool, gross: int) -> Swap:
        x, y = self._reserves(a_to_b)
        out, fee = swap_exact_in(x, y, gross, self._fee_in(a_to_b), self.fee_denominator)
        fee_out = 0
        if self.creator_fee_numerator and not self._creator_on_input(a_to_b):
            fee_out = ceil_div(out * self.creator_fee_numerator, self.fee_denominator)
        return self._swap(a_to_b, gross, out, fee, fee_out)

    def _swap_out(self, a_to_b: bool, out: int) -> Swap:
        x, y = self._reserves(a_to_b)
        leaving = out
        if self.creator_fee_numerator and not self._creator_on_input(a_to_b):
            den = self.fee_denominator
            leaving = ceil_div(out * den, den - self.creator_fee_numerator)
        gross, fee = swap_exact_out(x, y, leaving, self._fee_in(a_to_b), self.fee_denominator)
        return self._swap(a_to_b, gross, leaving, fee, leaving - out)

    def _swap(self, a_to_b: bool, gross: int, leaving: int, fee: int, fee_out: int) -> Swap:
        x, y = self._reserves(a_to_b)
        net = gross - fee
        creator = 0
        if self.creator_fee_numerator and not fee_out and self._creator_on_input(a_to_b):
            creator = fee * self.creator_fee_numerator // self._fee_in(a_to_b)
        outside = creator + sum((fee - creator) * share // PPM for share in self.outside_fee_ppm)
        reserves = (x + gross - outside, y - leaving)
        if reserves[0] > U64_MAX:
            raise InsufficientLiquidity(
                "the input reserve would exceed 64 bits",
                pool=self.address,
                available=U64_MAX - x,
            )
        return Swap(
            gross,
            leaving - fee_out,
            fee,
            fee_out,
            outside + fee_out,
            net,
            x + net,
            0,
            reserves if a_to_b else reserves[::-1],
        )

    def _max_gross(self, a_to_b: bool, impact_bps: int) -> int:
        x, _ = self._reserves(a_to_b)
        net = x * impact_bps // (BPS - impact_bps)
        den = self.fee_denominator
        return net * den // (den - self._fee_in(a_to_b))

    def _root(self, a_to_b: bool) -> int:
        x, y = self._reserves(a_to_b)
        den = self.fee_denominator
        return isqrt((y * (den - self._fee_in(a_to_b)) << 128) // (x * den))

    def _gross_to_root(self, a_to_b: bool, root: int) -> int:
        x, y = self._reserves(a_to_b)
        den = self.fee_denominator
        kept = den - self._fee_in(a_to_b)
        reached = (isqrt((x * y * kept << 64) // den) << 32) // root
        return max(reached - x, 0) * den // kept

    def _moved(self, state: tuple[Any, ...]) -> Self:
        return replace(self, reserve_a=state[0], reserve_b=state[1])

    def _state_json(self) -> dict[str, Any]:
        return {
            "program": self.program,
            "reserve_a": str(self.reserve_a),
            "reserve_b": str(self.reserve_b),
            "fee_numerator": self.fee_numerator,
            "fee_denominator": self.fee_denominator,
            "creator_fee_numerator": self.creator_fee_numerator,
            "creator_fee_on": self.creator_fee_on,
            "outside_fee_ppm": list(self.outside_fee_ppm),
        }

    @classmethod
    def _state_from_json(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {
            "program": data["program"],
            "reserve_a": int(data["reserve_a"]),
            "reserve_b": int(data["reserve_b"]),
            "fee_numerator": data["fee_numerator"],
            "fee_denominator": data["fee_denominator"],
            "creator_fee_numerator": data["creator_fee_numerator"],
            "creator_fee_on": data["creator_fee_on"],
            "outside_fee_ppm": tuple(data["outside_fee_ppm"]),
        }
