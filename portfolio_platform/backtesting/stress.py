"""Replays of real crashes: as the strategy was invested then, and as it is invested now."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from typing import Any

import numpy as np

from portfolio_platform.backtesting.market_path import FloatArray, forward_fill
from portfolio_platform.backtesting.period import Period
from portfolio_platform.backtesting.simulator import Simulation
from portfolio_platform.backtesting.spec_parts import StressWindow

_DAY = np.timedelta64(1, "D")


def replay(
    window: StressWindow,
    period: Period,
    simulation: Simulation,
    benchmarks: Mapping[str, Simulation],
) -> dict[str, Any]:
    """Return what the window did to a simulated strategy.

    ``return`` and ``max_drawdown`` are those of the strategy as it was invested then, from the last
    close before the window to its last close; covered only when the period spans the window.
    ``latest`` puts the weights of the last bar through the prices of the window, untraded, wherever
    the price panel covers it; assets without a price then are left out and their weight is told.
    """
    begin, finish = _instants(window)
    times = period.times
    first = int(np.searchsorted(times, begin, side="right")) - 1
    last = int(np.searchsorted(times, finish, side="right")) - 1
    document: dict[str, Any] = {
        "name": window.name,
        "start": window.start.isoformat(),
        "end": window.end.isoformat(),
        "covered": bool(first >= 0 and last > first and times[-1] >= finish),
        "latest": _latest(period, simulation, begin, finish),
    }
    if not document["covered"]:
        return document | {"reason": "not covered by the period"}
    rows = slice(first, last + 1)
    equity = simulation.equity[rows]
    if equity[0] <= 0.0:
        return document | {"covered": False, "reason": "nothing was left by then"}
    return document | {
        "return": float(equity[-1] / equity[0] - 1.0),
        "max_drawdown": _deepest(equity),
        "bars": last - first,
        "benchmarks": {
            name: float(other.equity[last] / other.equity[first] - 1.0)
            for name, other in benchmarks.items()
        },
    }


def _latest(
    period: Period, simulation: Simulation, begin: np.datetime64, finish: np.datetime64
) -> dict[str, Any] | None:
    panel = period.panel
    first = int(np.searchsorted(panel.times, begin, side="right")) - 1
    last = int(np.searchsorted(panel.times, finish, side="right")) - 1
    if first < 0 or last <= first or panel.times[-1] < finish:
        return None
    held = simulation.weights(period.path.price)[-1]
    priced = np.isfinite(panel.close[first]) & (panel.close[first] > 0.0)
    covered = held * priced
    prices = forward_fill(panel.close[first : last + 1])
    growth = np.divide(
        prices, prices[0], out=np.ones_like(prices), where=(prices[0] > 0.0)[None, :]
    )
    wealth = 1.0 - covered.sum() + growth @ covered
    return {
        "return": float(wealth[-1] - 1.0),
        "max_drawdown": _deepest(wealth),
        "weight_without_price": float((held * ~priced).sum()),
    }


def _instants(window: StressWindow) -> tuple[np.datetime64, np.datetime64]:
    begin = datetime.combine(window.start, time(), UTC)
    finish = datetime.combine(window.end, time(), UTC) + timedelta(days=1)
    return (
        np.datetime64(begin.replace(tzinfo=None), "ns"),
        np.datetime64(finish.replace(tzinfo=None), "ns"),
    )


def _deepest(equity: FloatArray) -> float:
    return float((equity / np.maximum.accumulate(equity) - 1.0).min())
