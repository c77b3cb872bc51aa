"""The fee of a Meteora DLMM pair: a base, and a part that grows with recent volatility."""

from __future__ import annotations

from typing import NamedTuple

from portfolio_platform.amm.integers import BPS, ceil_div

FEE_UNIT = 10**9
MAX_FEE = 10**8


def base_fee(bin_step: int, base_factor: int, power: int = 0) -> int:
    """Return the constant part of the fee in 1e-9."""
    return base_factor * bin_step * 10 * 10**power


def variable_fee(bin_step: int, accumulator: int, control: int) -> int:
    """Return the part of the fee that volatility adds, in 1e-9."""
    return ceil_div(control * (accumulator * bin_step) ** 2, 10**11)


def total_fee(base: int, variable: int) -> int:
    """Return the fee in 1e-9, at most 10 %."""
    return min(base + variable, MAX_FEE)


def fee_of_gross(amount: int, rate: int) -> int:
    """Return the fee contained in an amount that includes it."""
    return ceil_div(amount * rate, FEE_UNIT)


def fee_on_net(amount: int, rate: int) -> int:
    """Return the fee to add to an amount that does not include it."""
    return ceil_div(amount * rate, FEE_UNIT - rate)


class FeeParameters(NamedTuple):
    """Constants of the fee, as the pair account names them."""

    base_factor: int
    filter_period: int
    decay_period: int
    reduction_factor: int
    variable_fee_control: int
    max_volatility_accumulator: int
    base_fee_power: int = 0


class Volatility(NamedTuple):
    """What the pair account remembers of past trades."""

    accumulator: int
    reference: int
    index_reference: int
    last_update: int

    def referenced(self, active_id: int, now: int, fees: FeeParameters) -> Volatility:
        """Return the references of a trade at `now` (unix seconds)."""
        elapsed = now - self.last_update
        if elapsed < fees.filter_period:
            return self
        reference = 0
        if elapsed < fees.decay_period:
            reference = self.accumulator * fees.reduction_factor // BPS
        return self._replace(reference=reference, index_reference=active_id)

    def at(self, bin_id: int, fees: FeeParameters) -> int:
        """Return the accumulator in a bin."""
        moved = self.reference + abs(self.index_reference - bin_id) * BPS
        return min(moved, fees.max_volatility_accumulator)
