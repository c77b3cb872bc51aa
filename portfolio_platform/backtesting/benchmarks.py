"""Benchmarks: simple portfolios on the same bars, with the same costs and the same lag."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.outcomes import CannotRun, Reason
from portfolio_platform.backtesting.period import Period
from portfolio_platform.backtesting.simulator import Schedule, Simulation, simulate
from portfolio_platform.backtesting.spec_parts import (
    Benchmark,
    EqualWeight,
    FixedMix,
    Hold,
    InverseVolatility,
    Rebalance,
)


def simulate_benchmark(benchmark: Benchmark, period: Period, *, field: str) -> Simulation:
    """Simulate one benchmark that is not a strategy.

    Raises
    ------
    CannotRun
        ``benchmark_missing`` when an asset of it has no price in the period.
    """
    targets, bars = _targets(benchmark, period, field)
    terms = period.terms
    if isinstance(benchmark, Hold):
        terms = replace(terms, rebalance=Rebalance())
    fills = bars + period.spec.execution_lag
    return simulate(
        period.path,
        targets,
        Schedule.of(len(period.path), fills),
        terms,
        capital=period.spec.initial_capital,
    )


def _targets(
    benchmark: Benchmark,
    period: Period,
    field: str,
) -> tuple[FloatArray, NDArray[np.int64]]:
    everything = period.decide_at
    if isinstance(benchmark, Hold):
        # Asked for again at every decision bar: a purchase that volume caps is completed later.
        _must_trade(period, benchmark.mint, field)
        return _fixed(period, {benchmark.mint: 1.0}, len(everything)), everything
    if isinstance(benchmark, FixedMix):
        for mint in benchmark.weights:
            _must_trade(period, mint, field)
        return _fixed(period, benchmark.weights, len(everything)), everything
    if isinstance(benchmark, EqualWeight):
        return _spread(period, np.ones_like(period.path.price)[everything]), everything
    if isinstance(benchmark, InverseVolatility):
        return _spread(period, _inverse_volatility(period, benchmark.window)), everything
    raise TypeError(f"{benchmark.kind} is a strategy, walked forward elsewhere")


def _must_trade(period: Period, mint: str, field: str) -> None:
    """Refuse an asset that never has a price; one that is listed later is bought then."""
    if mint not in period.path.assets:
        raise CannotRun(Reason("benchmark_missing", f"{mint} is not in the price panel", field))
    if not period.path.tradable[:, period.path.assets.index(mint)].any():
        raise CannotRun(Reason("benchmark_missing", f"{mint} has no price in the period", field))


def _fixed(period: Period, weights: Mapping[str, float], rows: int) -> FloatArray:
    row = np.array([weights.get(asset, 0.0) for asset in period.path.assets])
    return np.tile(row, (rows, 1))


def _spread(period: Period, scores: FloatArray) -> FloatArray:
    """Turn (D, n) scores into weights over the risky assets that trade at each decision bar."""
    stable = np.array([asset in period.panel.stable for asset in period.path.assets])
    eligible = period.path.tradable[period.decide_at] & ~stable & np.isfinite(scores)
    scores = np.where(eligible, scores, 0.0)
    total = scores.sum(axis=1, keepdims=True)
    return np.divide(scores, total, out=np.zeros_like(scores), where=total > 0.0)


def _inverse_volatility(period: Period, window: int) -> FloatArray:
    """(D, n) 1/σ over the last `window` returns; NaN for an asset without all of them."""
    close = period.panel.close
    scores = np.full((len(period.decide_at), close.shape[1]), np.nan)
    for position, bar in enumerate(period.decide_at):
        row = period.first + int(bar)
        if row < window:
            continue
        prices = close[row - window : row + 1]
        with np.errstate(divide="ignore", invalid="ignore"):
            deviation = np.std(prices[1:] / prices[:-1] - 1.0, axis=0, ddof=1)
            scores[position] = np.where(deviation > 0.0, 1.0 / deviation, np.nan)
    return scores
