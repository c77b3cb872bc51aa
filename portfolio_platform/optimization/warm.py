"""Compile every kernel ahead of time: ``python -m portfolio_platform.optimization.warm``.

Run it once where the product will run; the compiled code is cached on disk for that CPU.
"""

from __future__ import annotations

import sys
import time

import numpy as np

from portfolio_platform.optimization import batch
from portfolio_platform.optimization.spec import StrategySpec

_SPECS: dict[str, dict[str, object]] = {
    "min_variance": {},
    "max_sharpe": {"obj": "Sharpe"},
    "risk_parity": {"model": "RP"},
    "cvar": {"rm": "CVaR"},
    "hrp": {"model": "HRP"},
    "hrp of another linkage": {"model": "HRP", "hierarchy": {"linkage": "ward"}},
    "polyhedral": {"rm": "CDaR"},
    "smooth": {"rm": "EVaR"},
    "programme_min_variance": {"bounds": {"upper": 0.5}},
}


def warm() -> dict[str, float]:
    """Load or compile every kernel in this process; return the seconds each took."""
    returns = np.random.default_rng(0).normal(0.0, 0.01, (60, 4))
    starts = np.array([0, 5], dtype=np.int64)
    identity = np.eye(4)
    columns = np.column_stack([np.ones(4), identity, -identity])
    rows = batch.Rows(columns, np.array([1.0, 0, 0, 0, 0, -0.5, -0.5, -0.5, -0.5]))
    seconds = {}
    for name, fields in _SPECS.items():
        spec = StrategySpec.model_validate({"lookback": 50, **fields})
        start = time.perf_counter()
        batch.run(name.split()[0], spec, returns, starts, rows)
        seconds[name] = time.perf_counter() - start
    return seconds


if __name__ == "__main__":
    for name, taken in warm().items():
        sys.stdout.write(f"{name}: {taken:.2f} s\n")
