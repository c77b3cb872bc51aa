"""Concentrated liquidity with tick crossing: Orca Whirlpool and Raydium CLMM.

Between two initialised ticks the pool is a constant product pool with liquidity L; the amounts
between the square root prices l < u are ``L*(u-l)*2^64/(u*l)`` of a and ``L*(u-l)/2^64`` of b,
rounded up when paid in and down when paid out. A quote never leaves the ticks that were fetched.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import isqrt
from typing import Any, ClassVar, Self

from portfolio_platform.amm.crossing import Walk, amounts, next_price, output_q64, stretches, walk
from portfolio_platform.amm.errors import (
    AdaptiveFeeUnsupported,
    InsufficientLiquidity,
    InvalidPool,
    ZeroLiquidity,
)
from portfolio_platform.amm.integers import BPS, PPM
from portfolio_platform.amm.pool import AmmPool
from portfolio_platform.amm.quote import Swap
from portfolio_platform.amm.ticks import (
    MAX_SQRT_PRICE,
    MAX_TICK,
    MIN_SQRT_PRICE,
    MIN_TICK,
    TickTable,
    tick_at_sqrt_price,
)
from portfolio_platform.amm.transfer_fee import TransferFee


@dataclass(frozen=True, kw_only=True)
class ConcentratedPool(AmmPool):
    """Pool with liquidity in price ranges.

    Parameters
    ----------
    program : {"whirlpool", "raydium_clmm"}
        Whose tick table and rounding apply.
    sqrt_price : int
        Square root of b per a, Q64.64.
    tick : int
        Current tick of the account; at the edge of a range it says on which side the pool is.
    liquidity : int
        Active liquidity.
    fee_ppm : int
        Fee of the input in millionths.
    tick_spacing : int
        Spacing of the pool.
    ticks, nets : tuple of int
        Initialised ticks in rising order and the liquidity that becomes active above each.
    lower_tick, upper_tick : int
        Ends of what the fetched tick arrays cover, both included.
    protocol_share_bps : int
        Share of the fee that leaves the pool, rounded down at each step.
    fund_share_bps : int
        A second share that leaves it, rounded down on its own (Raydium).
    adaptive_fee : bool
        Whether the fee moves with an oracle; such a pool is refused by name.
    """

    kind: ClassVar[str] = "concentrated"

    program: TickTable
    sqrt_price: int
    tick: int
    liquidity: int
    fee_ppm: int
    tick_spacing: int
    ticks: tuple[int, ...]
    nets: tuple[int, ...]
    lower_tick: int
    upper_tick: int
    protocol_share_bps: int = 0
    fund_share_bps: int = 0
    adaptive_fee: bool = False

    @classmethod
    def of(
        cls,
        *,
        liquidity_net: Mapping[int, int],
        array_starts: tuple[int, ...] | None = None,
        transfer_fee_a: TransferFee | None = None,
        transfer_fee_b: TransferFee | None = None,
        **state: Any,
    ) -> ConcentratedPool:
        """Build the pool from a map of initialised ticks and the start ticks of its arrays.

        Of the arrays, those that lie next to each other around the current tick count: beyond a
        gap nothing is known, and without the array of the current tick no trade is possible at
        all. Without `array_starts` the map is taken as complete.
        """
        spacing = state["tick_spacing"]
        lower, upper = MIN_TICK, MAX_TICK
        if array_starts is not None:
            size = (88 if state["program"] == "whirlpool" else 60) * spacing
            home = state["tick"] // size * size
            starts = set(array_starts)
            first = last = home
            while first - size in starts:
                first -= size
            while last + size in starts:
                last += size
            known = home in starts
            lower = max(first, MIN_TICK) if known else state["tick"] + 1
            upper = min(last + size - 1, MAX_TICK) if known else state["tick"]
        kept = sorted(tick for tick in liquidity_net if lower <= tick <= upper)
        return ConcentratedPool(
            ticks=tuple(kept),
            nets=tuple(liquidity_net[tick] for tick in kept),
            lower_tick=lower,
            upper_tick=upper,
            transfer_fee_a=transfer_fee_a,
            transfer_fee_b=transfer_fee_b,
            **state,
        )

    def _validate(self) -> None:
        ends = MIN_SQRT_PRICE <= self.sqrt_price <= MAX_SQRT_PRICE[self.program]
        if not ends or not MIN_TICK - 1 <= self.tick <= MAX_TICK:
            raise InvalidPool("the price is beyond the ends of the tick table", pool=self.address)
        if self.liquidity < 0 or not 0 <= self.fee_ppm < PPM or self.tick_spacing <= 0:
            raise InvalidPool(
                f"liquidity {self.liquidity}, fee {self.fee_ppm} ppm, spacing {self.tick_spacing}",
                pool=self.address,
            )
        if len(self.ticks) != len(self.nets) or any(
            low >= high for low, high in zip(self.ticks, self.ticks[1:], strict=False)
        ):
            raise InvalidPool("ticks must rise, with one net each", pool=self.address)
        if self.ticks and not self.lower_tick <= self.ticks[0] <= self.ticks[-1] <= self.upper_tick:
            raise InvalidPool("a tick lies outside the fetched arrays", pool=self.address)
        self._liquidity_everywhere()

    def _liquidity_everywhere(self) -> None:
        """Refuse ticks that take away more liquidity than there is."""
        here = self.index
        liquidity = self.liquidity
        for position in range(here, len(self.nets)):
            liquidity += self.nets[position]
            if liquidity < 0:
                raise InvalidPool(
                    f"liquidity below zero above tick {self.ticks[position]}", pool=self.address
                )
        liquidity = self.liquidity
        for position in range(here - 1, -1, -1):
            liquidity -= self.nets[position]
            if liquidity < 0:
                raise InvalidPool(
                    f"liquidity below zero below tick {self.ticks[position]}", pool=self.address
                )

    def spot_price(self) -> Fraction:
        if not self.liquidity and not self.ticks:
            raise ZeroLiquidity("no position is known", pool=self.address, available=0)
        return Fraction(self.sqrt_price**2, 1 << 128)

    @cached_property
    def index(self) -> int:
        """Number of initialised ticks at or below the current one."""
        return bisect_right(self.ticks, self.tick)

    @cached_property
    def _kept_root(self) -> int:
        """Square root of the share of the input that is left by the fee, Q64.64."""
        return isqrt((PPM - self.fee_ppm << 128) // PPM)

    def _priced(self) -> None:
        if self.adaptive_fee:
            raise AdaptiveFeeUnsupported(
                "the fee moves with the oracle of the pool and is not priced", pool=self.address
            )

    def _swap_in(self, a_to_b: bool, gross: int) -> Swap:
        done = self._filled(a_to_b, gross, True)
        return self._swap(a_to_b, gross, done.other, done)

    def _swap_out(self, a_to_b: bool, out: int) -> Swap:
        done = self._filled(a_to_b, out, False)
        return self._swap(a_to_b, done.other, out, done)

    def _filled(self, a_to_b: bool, amount: int, exact_in: bool) -> Walk:
        self._priced()
        done = walk(self, a_to_b, amount, exact_in)
        if done.filled:
            return done
        if not done.net_in:
            raise ZeroLiquidity(
                "no liquidity in the fetched ticks in this direction",
                pool=self.address,
                available=0,
            )
        raise InsufficientLiquidity(
            f"{amount} runs past the fetched ticks after {done.used}",
            pool=self.address,
            available=done.used,
            lower_tick=self.lower_tick,
            upper_tick=self.upper_tick,
        )

    def _swap(self, a_to_b: bool, gross: int, out: int, done: Walk) -> Swap:
        shortfall, worth = self._impact(a_to_b, done.net_in, done.real_out)
        state = (done.sqrt_price, done.tick, done.liquidity)
        return Swap(
            gross, out, done.fee, 0, done.protocol_fee, shortfall, worth, done.crossed, state
        )

    def _impact(self, a_to_b: bool, net_in: int, real_out: int) -> tuple[int, int]:
        """Return what is missing to the spot price and the worth at it, in one unit."""
        if net_in == 0:
            return 0, 1
        square = self.sqrt_price * self.sqrt_price
        if a_to_b:
            worth, got = net_in * square, real_out << 64
        else:
            worth, got = net_in << 192, real_out * square
        return max(worth - got, 0), worth

    def _max_gross(self, a_to_b: bool, impact_bps: int) -> int:
        """Return the largest input within the limit; see `AmmPool._max_gross`.

        The range in which the limit is reached is found first, the amount inside it by bisection
        on the very figures that a quote reports.
        """
        self._priced()
        gross = net_in = real_out = 0

        def within(paid: int, out: int) -> bool:
            shortfall, worth = self._impact(a_to_b, net_in + paid, real_out + out)
            return shortfall * BPS <= impact_bps * worth

        for stretch in stretches(self, a_to_b):
            liquidity, start, end, need, with_fee = stretch
            if within(need, output_q64(start, end, liquidity, a_to_b)):
                gross += with_fee
                net_in += need
                real_out += output_q64(start, end, liquidity, a_to_b)
                continue
            low, high = 0, need
            while high - low > 1:
                middle = (low + high) // 2
                after = next_price(start, liquidity, middle, a_to_b, True)
                paid, _ = amounts(start, after, liquidity, a_to_b)
                if within(paid, output_q64(start, after, liquidity, a_to_b)):
                    low = middle
                else:
                    high = middle
            if low:
                gross += ((low + 1) * PPM - 1) // (PPM - self.fee_ppm)
            return gross
        return gross

    def _root(self, a_to_b: bool) -> int:
        self._priced()
        self.spot_price()
        if a_to_b:
            return self.sqrt_price * self._kept_root >> 64
        return (self._kept_root << 64) // self.sqrt_price

    def _gross_to_root(self, a_to_b: bool, root: int) -> int:
        if a_to_b:
            goal = (root << 64) // self._kept_root
        else:
            goal = (self._kept_root << 64) // root
        gross = 0
        for liquidity, start, end, _, with_fee in stretches(self, a_to_b):
            if goal <= end if a_to_b else goal >= end:
                gross += with_fee
                continue
            if goal < start if a_to_b else goal > start:
                paid, _ = amounts(start, goal, liquidity, a_to_b)
                gross += paid * PPM // (PPM - self.fee_ppm)
            break
        return gross

    def _moved(self, state: tuple[Any, ...]) -> Self:
        price, tick, liquidity = state
        if tick is None:
            tick = tick_at_sqrt_price(self.program, price)
        return replace(self, sqrt_price=price, tick=tick, liquidity=liquidity)

    def _state_json(self) -> dict[str, Any]:
        fund = {"fund_share_bps": self.fund_share_bps} if self.fund_share_bps else {}
        return {
            **fund,
            "program": self.program,
            "sqrt_price": str(self.sqrt_price),
            "tick": self.tick,
            "liquidity": str(self.liquidity),
            "fee_ppm": self.fee_ppm,
            "tick_spacing": self.tick_spacing,
            "ticks": list(self.ticks),
            "nets": [str(net) for net in self.nets],
            "lower_tick": self.lower_tick,
            "upper_tick": self.upper_tick,
            "protocol_share_bps": self.protocol_share_bps,
            "adaptive_fee": self.adaptive_fee,
        }

    @classmethod
    def _state_from_json(cls, data: dict[str, Any]) -> dict[str, Any]:
        plain = (
            "program",
            "tick",
            "fee_ppm",
            "tick_spacing",
            "lower_tick",
            "upper_tick",
            "protocol_share_bps",
            "adaptive_fee",
        )
        return {name: data[name] for name in plain} | {
            "fund_share_bps": data.get("fund_share_bps", 0),
            "sqrt_price": int(data["sqrt_price"]),
            "liquidity": int(data["liquidity"]),
            "ticks": tuple(data["ticks"]),
            "nets": tuple(int(net) for net in data["nets"]),
        }
