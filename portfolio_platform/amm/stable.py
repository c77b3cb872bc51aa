"""Stable pools of two tokens (StableSwap invariant).

With balances x and y scaled to one unit and ``Ann`` the amplification times two,
``Ann*(x+y) + D = Ann*D + D^3/(4*x*y)``. Programs differ by a base unit in how they round; here
the output is rounded down and one unit stays with the pool, so that no program gives less.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import isqrt
from typing import Any, ClassVar, Self

from portfolio_platform.amm.errors import InsufficientLiquidity, InvalidPool, ZeroLiquidity
from portfolio_platform.amm.integers import BPS, U64_MAX, ceil_div
from portfolio_platform.amm.pool import AmmPool
from portfolio_platform.amm.quote import Swap

_MOST_ROUNDS = 256
_FRACTION_BITS = 32


def invariant(x: int, y: int, ann: int) -> int:
    """Return D of two scaled balances by Newton's method, to one unit."""
    total = d = x + y
    for _ in range(_MOST_ROUNDS):
        product = d**3 // (4 * x * y)
        following = (ann * total + 2 * product) * d // ((ann - 1) * d + 3 * product)
        if abs(following - d) <= 1:
            return following
        d = following
    raise InvalidPool(f"no invariant for balances {x} and {y}")


def balance_after(x: int, d: int, ann: int) -> int:
    """Return the other balance that keeps the invariant when one balance is `x`, rounded up."""
    c = d**3 // (4 * x * ann)
    b = x + d // ann
    y = d
    for _ in range(_MOST_ROUNDS):
        following = (y * y + c) // (2 * y + b - d)
        if abs(following - y) <= 1:
            return max(following, y)
        y = following
    raise InvalidPool(f"no balance beside {x} for the invariant {d}")


@dataclass(frozen=True, kw_only=True)
class StablePool(AmmPool):
    """Pool of two tokens of equal value.

    Parameters
    ----------
    reserve_a, reserve_b : int
        Tradable reserves in base units.
    scale_a, scale_b : int
        Factors that bring both tokens to the same number of decimals.
    ann : int
        Amplification as it stands in the invariant above: twice a stored A that counts
        ``A*n^(n-1)``; check the convention of the program.
    fee_numerator, fee_denominator : int
        Fee, taken of the output.
    """

    kind: ClassVar[str] = "stable"

    reserve_a: int
    reserve_b: int
    ann: int
    scale_a: int = 1
    scale_b: int = 1
    fee_numerator: int = 0
    fee_denominator: int = BPS

    def _validate(self) -> None:
        if not 0 <= self.fee_numerator < self.fee_denominator or self.ann < 1:
            raise InvalidPool(f"fee or amplification {self.ann}", pool=self.address)
        if min(self.scale_a, self.scale_b) < 1:
            raise InvalidPool("scales are positive", pool=self.address)
        if (
            not 0
            <= min(self.reserve_a, self.reserve_b)
            <= max(self.reserve_a, self.reserve_b)
            <= U64_MAX
        ):
            raise InvalidPool("reserves are not unsigned 64-bit amounts", pool=self.address)

    def spot_price(self) -> Fraction:
        return self._spot

    @cached_property
    def _spot(self) -> Fraction:
        x, y = self._balances(True)
        return Fraction(self.scale_a, self.scale_b) * _slope(x, y, self._invariant, self.ann)

    def _balances(self, a_to_b: bool) -> tuple[int, int]:
        if not self.reserve_a or not self.reserve_b:
            raise ZeroLiquidity("a reserve is empty", pool=self.address, available=0)
        a, b = self.reserve_a * self.scale_a, self.reserve_b * self.scale_b
        a, b = a << _FRACTION_BITS, b << _FRACTION_BITS
        return (a, b) if a_to_b else (b, a)

    def _scales(self, a_to_b: bool) -> tuple[int, int]:
        a, b = self.scale_a << _FRACTION_BITS, self.scale_b << _FRACTION_BITS
        return (a, b) if a_to_b else (b, a)

    @cached_property
    def _invariant(self) -> int:
        return invariant(*self._balances(True), self.ann)

    def _real_out(self, a_to_b: bool, amount: int) -> int:
        """Return the output before the fee and rounding, scaled as the balances are."""
        x, y = self._balances(a_to_b)
        scale_in, _ = self._scales(a_to_b)
        return max(y - balance_after(x + amount * scale_in, self._invariant, self.ann) - 1, 0)

    def _gross_out(self, a_to_b: bool, amount: int) -> int:
        """Return the output before the fee; a unit stays with the pool."""
        _, scale_out = self._scales(a_to_b)
        return max(self._real_out(a_to_b, amount) // scale_out - 1, 0)

    def _swap_in(self, a_to_b: bool, gross: int) -> Swap:
        leaving = self._gross_out(a_to_b, gross)
        fee = ceil_div(leaving * self.fee_numerator, self.fee_denominator)
        return self._swap(a_to_b, gross, leaving, fee)

    def _swap_out(self, a_to_b: bool, out: int) -> Swap:
        den = self.fee_denominator
        leaving = ceil_div(out * den, den - self.fee_numerator)
        x, y = self._balances(a_to_b)
        scale_in, scale_out = self._scales(a_to_b)
        rest = y - (leaving + 1) * scale_out
        if rest <= scale_out:
            raise InsufficientLiquidity(
                f"{out} asked of a reserve of {y // scale_out}",
                pool=self.address,
                available=max(y // scale_out - 2, 0) * (den - self.fee_numerator) // den,
            )
        gross = ceil_div(balance_after(rest, self._invariant, self.ann) - x, scale_in)
        gross = max(gross, 1)
        # Both roundings of the curve are within a unit: step up to the first that suffices.
        while self._gross_out(a_to_b, gross) < leaving:
            gross += 1
        return self._swap(a_to_b, gross, leaving, leaving - out)

    def _swap(self, a_to_b: bool, gross: int, leaving: int, fee: int) -> Swap:
        x, y = (self.reserve_a, self.reserve_b) if a_to_b else (self.reserve_b, self.reserve_a)
        if x + gross > U64_MAX:
            raise InsufficientLiquidity(
                "the input reserve would exceed 64 bits", pool=self.address, available=U64_MAX - x
            )
        shortfall, worth = self._impact(a_to_b, gross)
        reserves = (x + gross, y - (leaving - fee))
        state = reserves if a_to_b else reserves[::-1]
        return Swap(gross, leaving - fee, 0, fee, 0, shortfall, worth, 0, state)

    def _impact(self, a_to_b: bool, gross: int) -> tuple[int, int]:
        spot = self._spot if a_to_b else 1 / self._spot
        _, scale_out = self._scales(a_to_b)
        worth = gross * spot.numerator * scale_out
        return max(worth - self._real_out(a_to_b, gross) * spot.denominator, 0), worth

    def _max_gross(self, a_to_b: bool, impact_bps: int) -> int:
        """Return the largest input within the limit, found by bisection."""

        def within(amount: int) -> bool:
            shortfall, worth = self._impact(a_to_b, amount)
            return shortfall * BPS <= impact_bps * worth

        reserve = self.reserve_a if a_to_b else self.reserve_b
        self._balances(a_to_b)
        low, high = 0, 1
        while high <= U64_MAX - reserve and within(high):
            low, high = high, high * 2
        high = min(high, U64_MAX - reserve + 1)
        while high - low > 1:
            middle = (low + high) // 2
            if within(middle):
                low = middle
            else:
                high = middle
        return low

    def _root(self, a_to_b: bool) -> int:
        return self._marginal(a_to_b, 0)

    def _marginal(self, a_to_b: bool, amount: int) -> int:
        x, _ = self._balances(a_to_b)
        scale_in, scale_out = self._scales(a_to_b)
        moved = x + amount * scale_in
        rest = balance_after(moved, self._invariant, self.ann)
        price = _slope(moved, rest, self._invariant, self.ann) * Fraction(scale_in, scale_out)
        price *= Fraction(self.fee_denominator - self.fee_numerator, self.fee_denominator)
        return isqrt((price.numerator << 128) // price.denominator)

    def _gross_to_root(self, a_to_b: bool, root: int) -> int:
        x, _ = self._balances(a_to_b)
        low, high = 0, 1
        most = U64_MAX - x // self._scales(a_to_b)[0]
        while high < most and self._marginal(a_to_b, high) >= root:
            low, high = high, high * 2
        while high - low > 1:
            middle = (low + high) // 2
            if self._marginal(a_to_b, middle) >= root:
                low = middle
            else:
                high = middle
        return low

    def _moved(self, state: tuple[Any, ...]) -> Self:
        return replace(self, reserve_a=state[0], reserve_b=state[1])

    def _state_json(self) -> dict[str, Any]:
        return {
            "reserve_a": str(self.reserve_a),
            "reserve_b": str(self.reserve_b),
            "ann": self.ann,
            "scale_a": self.scale_a,
            "scale_b": self.scale_b,
            "fee_numerator": self.fee_numerator,
            "fee_denominator": self.fee_denominator,
        }

    @classmethod
    def _state_from_json(cls, data: dict[str, Any]) -> dict[str, Any]:
        plain = ("ann", "scale_a", "scale_b", "fee_numerator", "fee_denominator")
        return {name: data[name] for name in plain} | {
            "reserve_a": int(data["reserve_a"]),
            "reserve_b": int(data["reserve_b"]),
        }


def _slope(x: int, y: int, d: int, ann: int) -> Fraction:
    """Return -dy/dx on the invariant, at scaled balances."""
    cube = d**3
    return Fraction((4 * ann * x * x * y + cube) * y, (4 * ann * x * y * y + cube) * x)
