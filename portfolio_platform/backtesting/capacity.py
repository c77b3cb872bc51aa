"""Capacity: net growth against capital, from the same decisions and the same cost model."""

from __future__ import annotations

from typing import Any

from portfolio_platform.backtesting import metrics
from portfolio_platform.backtesting.decisions import target_matrix
from portfolio_platform.backtesting.outcomes import NotDefined
from portfolio_platform.backtesting.period import Period
from portfolio_platform.backtesting.simulator import Schedule, simulate
from portfolio_platform.backtesting.walk_forward import Run

#: Multiples of the initial capital.
MULTIPLES = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)


def capacity_curve(run: Run, period: Period) -> dict[str, Any]:
    """CAGR of the run's decisions for capitals from a tenth to a thousand times the initial one.

    ``capacity`` is the largest of these capitals that keeps at least half of the growth of the
    smallest; None when even the largest does, or when there is no growth to keep.

    Raises
    ------
    NotDefined
        When no cost depends on the size of a trade, or nothing was decided.
    """
    costs = period.spec.costs
    if costs.impact == "none" and costs.participation_cap is None:
        raise NotDefined("no cost of this spec depends on the size of a trade")
    targets, bars = target_matrix(run.decisions, period.path.assets)
    if len(targets) == 0:
        raise NotDefined("nothing was decided")
    schedule = Schedule.of(len(period.path), bars + period.spec.execution_lag)
    q = period.spec.bars_per_year
    capital = [multiple * period.spec.initial_capital for multiple in MULTIPLES]
    growth = [
        metrics.cagr(
            simulate(period.path, targets, schedule, period.terms, capital=amount).returns, q
        )
        for amount in capital
    ]
    kept = [rate >= growth[0] / 2.0 for rate in growth]
    limit = None
    if growth[0] > 0.0 and not all(kept):
        limit = capital[kept.index(False) - 1]
    return {"capital": capital, "cagr": growth, "capacity": limit}
