"""Interest rates of lending reserves, as annual simple rates (APR, fractions).

Formulas: marginfi's two-slope curve (``InterestRateConfig``) and Kamino's piecewise-linear curve
of eleven points (``BorrowRateCurve``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class LendingRates:
    """Annual simple rates at the present utilization."""

    supply_apr: float
    borrow_apr: float


def utilization(borrowed: float, supplied: float) -> float | None:
    """Borrowed share of what was supplied; None (undefined) for an empty reserve."""
    return borrowed / supplied if supplied > 0 else None


def marginfi_rates(
    used: float,
    *,
    optimal: float,
    plateau: float,
    maximum: float,
    fixed_fee: float,
    rate_fee: float,
) -> LendingRates:
    """Rates of a marginfi bank.

    Parameters
    ----------
    used : float
        Utilization; the curve is clamped to [0, 1] as the program does.
    optimal, plateau, maximum : float
        Kink of the curve, base rate at the kink, base rate at full utilization.
    fixed_fee : float
        Insurance plus protocol fee added to the borrow rate.
    rate_fee : float
        Insurance plus protocol fee as a share of the base rate.
    """
    used = min(max(used, 0.0), 1.0)
    if used <= optimal:
        base = used * plateau / optimal if optimal > 0 else plateau
    else:
        base = plateau + (used - optimal) / (1 - optimal) * (maximum - plateau)
    return LendingRates(supply_apr=base * used, borrow_apr=base * (1 + rate_fee) + fixed_fee)


def kamino_rates(
    used: float,
    curve: Sequence[tuple[int, int]],
    *,
    take_rate_pct: int,
    host_fixed_bps: int,
) -> LendingRates:
    """Rates of a Kamino reserve.

    Parameters
    ----------
    used : float
        Utilization in [0, 1].
    curve : sequence of (utilization bps, borrow rate bps)
        Increasing in utilization; trailing points repeat the last one.
    take_rate_pct : int
        Share of the interest that the protocol keeps, in percent.
    host_fixed_bps : int
        Fixed rate of the host that the borrower pays on top.
    """
    at = min(max(used, 0.0), 1.0) * 10_000
    rate = float(curve[-1][1])
    for (left, low), (right, high) in pairwise(curve):
        if at <= right:
            share = (at - left) / (right - left) if right > left else 1.0
            rate = low + (high - low) * share
            break
    base = rate / 10_000
    return LendingRates(
        supply_apr=base * used * (1 - take_rate_pct / 100),
        borrow_apr=base + host_fixed_bps / 10_000,
    )
