"""Bootstrap confidence intervals of Sharpe and CAGR (Politis and Romano 1994; Efron 1987)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal

import numpy as np

from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.outcomes import NotDefined

Method = Literal["percentile", "basic", "bca"]


@dataclass(frozen=True)
class Interval:
    """A point estimate with its bootstrap interval, and what drew it."""

    point: float
    low: float
    high: float
    confidence: float
    method: Method
    block: float
    reps: int
    seed: int

    def to_json(self) -> dict[str, Any]:
        """Return the interval, JSON-safe."""
        return dict(self.__dict__)


def optimal_block(returns: FloatArray) -> float:
    """Mean block of the stationary bootstrap (Politis and White 2004), at least 1 bar.

    Raises
    ------
    NotDefined
        When the series is too short or does not vary.
    """
    from arch.bootstrap import optimal_block_length

    if len(returns) < 10 or float(np.std(returns)) <= 1e-15:
        raise NotDefined("the series is too short or constant: no block length")
    with np.errstate(all="ignore"):
        length = float(optimal_block_length(returns)["stationary"].iloc[0])
    return max(1.0, length) if np.isfinite(length) else 1.0


def bootstrap_intervals(
    returns: FloatArray,
    statistics: Callable[[FloatArray], FloatArray],
    *,
    block: float,
    reps: int,
    seed: int,
    confidence: float = 0.95,
    method: Method = "bca",
) -> list[Interval | NotDefined]:
    """Intervals of k statistics of one series under the stationary bootstrap.

    Parameters
    ----------
    returns
        (T,) series, or (T, 2) columns that are resampled with the **same** rows.
    statistics
        Maps a resampled series to (k,) values; all k see the same resamples.

    Returns
    -------
    list
        One interval per statistic, or the reason it has none.

    Raises
    ------
    NotDefined
        When the series is too short to resample.
    """
    from arch.bootstrap import StationaryBootstrap

    if len(returns) < 10:
        raise NotDefined(f"{len(returns)} observations: too few to resample")
    if not np.isfinite(returns).all():
        raise NotDefined("a return is not finite")
    points = statistics(returns)
    # arch annotates the mean block as int; any number >= 1 is meant and works.
    mean_block: Any = block
    bootstrap = StationaryBootstrap(mean_block, returns, seed=seed)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        bounds = bootstrap.conf_int(statistics, reps, method=method, size=confidence)
    found: list[Interval | NotDefined] = []
    for point, (low, high) in zip(points, bounds.T, strict=True):
        if np.isfinite([point, low, high]).all():
            ends = float(low), float(high)
            found.append(Interval(float(point), *ends, confidence, method, block, reps, seed))
        else:
            found.append(NotDefined("the bootstrap interval is not finite"))
    return found


def sharpe_and_growth(q: float, risk_free: float = 0.0) -> Callable[[FloatArray], FloatArray]:
    """Return the statistics annual Sharpe ratio and CAGR of a series.

    For two columns they are those of the first one, and the third is the difference between the
    Sharpe ratios of the two. A resample without variance has Sharpe ratio 0.
    """

    def ratio(values: FloatArray) -> float:
        mean = float(values.sum()) / len(values)
        centred = values - mean
        variance = float(centred @ centred) / (len(values) - 1)
        return (mean - risk_free / q) / sqrt(variance) * sqrt(q) if variance > 0.0 else 0.0

    def growth(values: FloatArray) -> float:
        if values.min() <= -1.0:
            return -1.0
        rate = float(np.log1p(values).sum()) / len(values) * q
        return float(np.expm1(rate)) if rate < 700.0 else float("inf")

    def statistics(returns: FloatArray) -> FloatArray:
        if returns.ndim == 1:
            return np.array([ratio(returns), growth(returns)])
        first, second = np.ascontiguousarray(returns.T)
        one = ratio(first)
        return np.array([one, growth(first), one - ratio(second)])

    return statistics
