"""Series and tables of a simulated equity path, as the report shows them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from portfolio_platform.backtesting.market_path import FloatArray, MarketPath
from portfolio_platform.backtesting.metrics import drawdown
from portfolio_platform.backtesting.simulator import FLOWS, Simulation

#: Rows of sampled tables (weights, risk contributions, costs) at most.
SAMPLES = 400


def clean(values: FloatArray) -> list[float | None]:
    """Return a list rounded to six decimals, None where a value is not finite."""
    return [float(v) if np.isfinite(v) else None for v in np.round(values, 6)]


def sample_rows(bars: int) -> NDArray[np.int64]:
    """Return at most SAMPLES evenly spaced bars, the last one always among them."""
    step = -(-bars // SAMPLES)
    return np.arange((bars - 1) % step, bars, step)


def rolling(
    returns: FloatArray, q: float, window: int, benchmark: FloatArray | None
) -> dict[str, Any]:
    """Rolling Sharpe, volatility and beta over `window` returns; None before the first window."""
    mean, deviation = _rolling_moments(returns, window)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(deviation > 1e-12, np.sqrt(q) * mean / deviation, np.nan)
    result = {
        "window": window,
        "sharpe": clean(_pad(ratio, len(returns))),
        "volatility": clean(_pad(np.sqrt(q) * deviation, len(returns))),
        "beta": None,
    }
    if benchmark is not None and len(returns) >= window:
        other_mean, other_deviation = _rolling_moments(benchmark, window)
        cross = _moving_mean(returns * benchmark, window) - mean * other_mean
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = cross * window / (window - 1) / other_deviation**2
        result["beta"] = clean(_pad(np.where(other_deviation > 1e-12, slope, np.nan), len(returns)))
    return result


def monthly_returns(times: NDArray[np.datetime64], returns: FloatArray) -> list[dict[str, Any]]:
    """Compound return of each calendar month (UTC); `times` (T,) are the closes of `returns`."""
    if len(returns) == 0:
        return []
    # A bar that closes at midnight belongs to the day before.
    months = (times - np.timedelta64(1, "s")).astype("datetime64[M]")
    starts = np.flatnonzero(np.concatenate([[True], months[1:] != months[:-1]]))
    growth = np.multiply.reduceat(1.0 + returns, starts) - 1.0
    labels = np.datetime_as_string(months[starts])
    return [
        {"year": int(label[:4]), "month": int(label[5:]), "return": float(value)}
        for label, value in zip(labels, growth, strict=True)
    ]


def worst_drawdowns(times: list[str], returns: FloatArray, most: int = 10) -> list[dict[str, Any]]:
    """Deepest drawdowns: peak, trough, recovery (None when not recovered), depth and bars."""
    path = drawdown(returns)
    below = path < 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], below.astype(np.int8), [0]])))
    episodes = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        trough = int(start + np.argmin(path[start:stop]))
        recovered = stop < len(path)
        episodes.append(
            {
                "peak": times[start - 1],
                "trough": times[trough],
                "recovery": times[stop] if recovered else None,
                "depth": float(path[trough]),
                "bars": int(stop - start + 1),
            }
        )
    return sorted(episodes, key=lambda episode: episode["depth"])[:most]


def distribution(returns: FloatArray) -> dict[str, Any] | None:
    """Histogram of returns and their quantiles against a normal; None when nothing varies."""
    if len(returns) < 4 or float(np.std(returns)) < 1e-15:
        return None
    low, high = np.quantile(returns, [0.001, 0.999])
    counts, edges = np.histogram(
        np.clip(returns, low, high), bins=min(80, max(10, len(returns) // 10))
    )
    ordered = np.sort(returns)
    rows = np.unique(np.linspace(0, len(ordered) - 1, min(len(ordered), 300)).astype(np.int64))
    probability = (rows + 0.5) / len(ordered)
    scores = (ordered - ordered.mean()) / ordered.std(ddof=1)
    return {
        "edges": edges.tolist(),
        "counts": counts.tolist(),
        "normal_quantiles": ndtri(probability).tolist(),
        "sample_quantiles": scores[rows].tolist(),
    }


def weights_table(path: MarketPath, simulation: Simulation, times: list[str]) -> dict[str, Any]:
    """Weights after trading at sampled bars, of assets that were ever held; the rest is cash."""
    rows = sample_rows(len(path))
    weights = simulation.weights(path.price)
    ever = np.flatnonzero(weights.max(axis=0) > 1e-6)
    sampled = np.round(weights[np.ix_(rows, ever)], 6)
    return {
        "times": [times[row] for row in rows],
        "assets": [path.assets[column] for column in ever],
        "weights": sampled.tolist(),
        "cash": np.round(np.maximum(0.0, 1.0 - sampled.sum(axis=1)), 6).tolist(),
    }


def risk_contributions(
    path: MarketPath, simulation: Simulation, times: list[str], window: int
) -> dict[str, Any]:
    """Share of portfolio variance that each asset brings: ``w_i·(Σw)_i / wᵀΣw``.

    Σ is the sample covariance of the `window` returns before each sampled bar.
    """
    rows = sample_rows(len(path))
    rows = rows[rows >= window]
    weights = simulation.weights(path.price)
    ever = np.flatnonzero(weights.max(axis=0) > 1e-6)
    price = path.price[:, ever]
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.where(price[:-1] > 0.0, price[1:] / price[:-1] - 1.0, 0.0)
    shares = []
    for row in rows:
        sample = returns[row - window : row]
        centred = sample - sample.mean(axis=0)
        held = weights[row, ever]
        along = centred @ held
        variance = float(along @ along)
        part = held * (centred.T @ along)
        shares.append(np.round(part / variance if variance > 0.0 else part * 0.0, 6).tolist())
    return {
        "times": [times[row] for row in rows],
        "assets": [path.assets[column] for column in ever],
        "shares": shares,
        "window": window,
    }


def trading(simulation: Simulation, times: list[str]) -> dict[str, Any]:
    """Turnover at each bar that traded, and cumulative costs by kind at sampled bars."""
    traded = np.flatnonzero(simulation.flows[:, FLOWS.index("turnover")] > 0.0)
    rows = sample_rows(len(times))
    running = np.cumsum(simulation.flows, axis=0)[rows]
    return {
        "times": [times[row] for row in traded],
        "turnover": simulation.turnover[traded].tolist(),
        "cost_times": [times[row] for row in rows],
        "costs": {
            name: running[:, FLOWS.index(name)].tolist()
            for name in ("fee", "slippage", "impact", "fixed", "writeoff")
        },
    }


def _moving_mean(values: FloatArray, window: int) -> FloatArray:
    if len(values) < window:
        return np.zeros(0)
    return np.lib.stride_tricks.sliding_window_view(values, window).mean(axis=1)


def _rolling_moments(values: FloatArray, window: int) -> tuple[FloatArray, FloatArray]:
    if len(values) < window:
        return np.zeros(0), np.zeros(0)
    view = np.lib.stride_tricks.sliding_window_view(values, window)
    return view.mean(axis=1), view.std(axis=1, ddof=1)


def _pad(values: FloatArray, length: int) -> FloatArray:
    return np.concatenate([np.full(length - len(values), np.nan), values])
