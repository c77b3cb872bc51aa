"""Bootstrap confidence intervals of Sharpe and CAGR (Politis and Romano 1994; Efron 1987)."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal

import numpy as np
from scipy.special import ndtr, ndtri

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


@dataclass(frozen=True)
class SharpeAndGrowth:
    """The statistics annual Sharpe ratio and CAGR of a (T,) series.

    Of (T, 2) columns they are those of the first one, and a third is the difference between the
    Sharpe ratios of the two. A resample without variance has Sharpe ratio 0.
    """

    q: float
    risk_free: float = 0.0

    def __call__(self, returns: FloatArray) -> FloatArray:
        """Return (2,) or (3,) values of a series."""
        if returns.ndim == 1:
            return np.array([self._ratio(returns), self._growth(returns)])
        first, second = np.ascontiguousarray(returns.T)
        one = self._ratio(first)
        return np.array([one, self._growth(first), one - self._ratio(second)])

    def leave_one_out(self, returns: FloatArray) -> FloatArray:
        """Return (T, 2) or (T, 3) values of the series without each of its rows."""
        first = returns if returns.ndim == 1 else returns[:, 0]
        ratio = self._ratios_without(first)
        with np.errstate(divide="ignore", over="ignore"):
            logs = np.log1p(np.maximum(first, -1.0))
            growth = np.expm1((logs.sum() - logs) / (len(first) - 1) * self.q)
        if returns.ndim == 1:
            return np.column_stack([ratio, growth])
        return np.column_stack([ratio, growth, ratio - self._ratios_without(returns[:, 1])])

    def _ratio(self, values: FloatArray) -> float:
        mean = float(values.sum()) / len(values)
        centred = values - mean
        variance = float(centred @ centred) / (len(values) - 1)
        if variance <= 0.0:
            return 0.0
        return (mean - self.risk_free / self.q) / sqrt(variance) * sqrt(self.q)

    def _ratios_without(self, values: FloatArray) -> FloatArray:
        size = len(values)
        mean = values.mean()
        centred = values - mean
        means = mean - centred / (size - 1)
        squares = centred @ centred - centred**2 * size / (size - 1)
        deviations = np.sqrt(np.maximum(squares, 0.0) / (size - 2))
        excess = means - self.risk_free / self.q
        return np.divide(
            excess * sqrt(self.q), deviations, out=np.zeros(size), where=deviations > 0.0
        )

    def _growth(self, values: FloatArray) -> float:
        if values.min() <= -1.0:
            return -1.0
        rate = float(np.log1p(values).sum()) / len(values) * self.q
        return float(np.expm1(rate)) if rate < 700.0 else float("inf")


def bootstrap_intervals(
    returns: FloatArray,
    statistics: SharpeAndGrowth,
    *,
    block: float,
    reps: int,
    seed: int,
    confidence: float = 0.95,
    method: Method = "bca",
) -> list[Interval | NotDefined]:
    """Intervals of the statistics under the stationary bootstrap, all from the same resamples.

    ``bca`` is bias-corrected and accelerated (Efron 1987) with the jackknife's acceleration;
    arch draws the resamples, the bounds are taken here because its acceleration is that of a
    single statistic.

    Parameters
    ----------
    returns
        (T,) series, or (T, 2) columns that are resampled with the **same** rows.

    Returns
    -------
    list
        One interval per statistic, or the reason it has none.

    Raises
    ------
    NotDefined
        When the series is too short to resample, or not finite.
    """
    from arch.bootstrap import StationaryBootstrap

    if len(returns) < 10:
        raise NotDefined(f"{len(returns)} observations: too few to resample")
    if not np.isfinite(returns).all():
        raise NotDefined("a return is not finite")
    points = statistics(returns)
    # arch annotates the mean block as int; any number >= 1 is meant and works.
    mean_block: Any = block
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        drawn = StationaryBootstrap(mean_block, returns, seed=seed).apply(statistics, reps)
        jackknife = statistics.leave_one_out(returns)
    found: list[Interval | NotDefined] = []
    for column, point in enumerate(points):
        try:
            low, high = _bounds(
                float(point), drawn[:, column], jackknife[:, column], confidence, method
            )
        except NotDefined as undefined:
            found.append(undefined)
            continue
        found.append(Interval(float(point), low, high, confidence, method, block, reps, seed))
    return found


def _bounds(
    point: float, drawn: FloatArray, jackknife: FloatArray, confidence: float, method: Method
) -> tuple[float, float]:
    if not (np.isfinite(point) and np.isfinite(drawn).all()):
        raise NotDefined("a resampled value is not finite")
    levels = np.array([(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    if method == "bca":
        below = float(np.mean(drawn < point))
        if not 0.0 < below < 1.0 or not np.isfinite(jackknife).all():
            raise NotDefined("the bias of the resamples cannot be corrected")
        spread = jackknife.mean() - jackknife
        total = float(spread @ spread)
        slope = float(np.sum(spread**3)) / (6.0 * total**1.5) if total > 0.0 else 0.0
        bias = ndtri(below)
        shifted = bias + ndtri(levels)
        levels = ndtr(bias + shifted / (1.0 - slope * shifted))
    low, high = np.percentile(drawn, 100.0 * levels)
    if method == "basic":
        low, high = 2.0 * point - high, 2.0 * point - low
    return float(low), float(high)
