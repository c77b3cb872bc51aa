"""Compile the kernels ahead of time: ``python -m portfolio_platform.backtesting.warm``.

Run it once where the product will run; the compiled code is cached on disk for that CPU.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from portfolio_platform.backtesting.market_path import build_path
from portfolio_platform.backtesting.overfitting import backtest_overfitting
from portfolio_platform.backtesting.simulator import Schedule, Terms, simulate, simulate_many
from portfolio_platform.optimization import PricePanel
from portfolio_platform.reallocation.costs import CostModel


def warm() -> float:
    """Load or compile every kernel in this process; return the seconds it took."""
    start = time.perf_counter()
    returns = np.random.default_rng(0).normal(0.0, 0.01, (20, 3))
    panel = PricePanel(
        assets=("a", "b", "c"),
        times=np.datetime64("2024-01-01", "ns") + np.arange(20) * np.timedelta64(1, "D"),
        close=np.exp(np.cumsum(returns, axis=0)),
    )
    path = build_path(panel, 0, 19, costs=CostModel(), bars_per_year=365.0)
    targets = np.full((1, 3), 1.0 / 3.0)
    schedule = Schedule.of(20, np.array([0]))
    simulate(path, targets, schedule, Terms())
    simulate_many(path, targets[None], schedule, Terms())
    backtest_overfitting(returns, 4)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.stdout.write(f"simulator and CSCV: {warm():.2f} s\n")
