"""Performance metrics of a return series, annualised for a market that never closes."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt

import numpy as np

from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.outcomes import NotDefined

Metrics = dict[str, float | None]


def total_return(returns: FloatArray) -> float:
    """``Π(1 + r) − 1``."""
    return float(np.prod(1.0 + returns) - 1.0)


def cagr(returns: FloatArray, q: float) -> float:
    """Compound annual growth: ``(Π(1 + r))^(q/T) − 1``; −1 after ruin.

    Raises
    ------
    NotDefined
        For no observations, or a growth beyond the largest float.
    """
    if len(returns) == 0:
        raise NotDefined("no return observed")
    growth = float(np.prod(1.0 + returns))
    if growth <= 0.0:
        return -1.0
    with np.errstate(over="ignore"):
        value = float(np.exp(np.log(growth) * q / len(returns)) - 1.0)
    if not np.isfinite(value):
        raise NotDefined("the annualised growth of so short a period is beyond any number")
    return value


def volatility(returns: FloatArray, q: float) -> float:
    """Annual volatility ``√q · std(r, ddof=1)``."""
    _need(returns, 2)
    return float(sqrt(q) * np.std(returns, ddof=1))


def sharpe(returns: FloatArray, q: float, risk_free: float = 0.0) -> float:
    """Annual Sharpe ratio ``√q · mean(r − rf/q) / std(r, ddof=1)`` (Sharpe 1994)."""
    return sqrt(q) * sharpe_per_period(returns, risk_free / q)


def sharpe_per_period(returns: FloatArray, risk_free: float = 0.0) -> float:
    """Sharpe ratio per period, ``mean(r − rf) / std(r, ddof=1)``.

    Raises
    ------
    NotDefined
        For fewer than 2 observations, a value that is not finite, or zero variance.
    """
    _need(returns, 2)
    if not np.isfinite(returns).all():
        raise NotDefined("a return is not finite")
    deviation = float(np.std(returns, ddof=1))
    if deviation <= 1e-15 * max(1.0, float(np.abs(returns).max())):
        raise NotDefined("the returns have zero variance")
    return float((np.mean(returns) - risk_free) / deviation)


def downside_deviation(returns: FloatArray, target: float = 0.0) -> float:
    """``√mean(min(r − target, 0)²)`` over **all** periods (Sortino and Price 1994)."""
    _need(returns, 1)
    return float(np.sqrt(np.mean(np.minimum(returns - target, 0.0) ** 2)))


def sortino(returns: FloatArray, q: float, target: float = 0.0) -> float:
    """``√q · mean(r − target) / downside deviation`` (Sortino and Price 1994)."""
    down = downside_deviation(returns, target)
    if down == 0.0:
        raise NotDefined("no return is below the target")
    return float(sqrt(q) * np.mean(returns - target) / down)


def drawdown(returns: FloatArray) -> FloatArray:
    """Return (T + 1,) drawdown ``E/max(E) − 1`` of the equity that starts from 1."""
    equity = np.concatenate([[1.0], np.cumprod(1.0 + returns)])
    return equity / np.maximum.accumulate(equity) - 1.0


def max_drawdown(returns: FloatArray) -> float:
    """Deepest drawdown, a number ≤ 0."""
    return float(drawdown(returns).min())


def longest_drawdown(returns: FloatArray) -> int:
    """Most bars in a row below an earlier high."""
    below = drawdown(returns) < 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0], below.astype(np.int8), [0]])))
    return int((edges[1::2] - edges[::2]).max()) if edges.size else 0


def calmar(returns: FloatArray, q: float) -> float:
    """``CAGR / |max drawdown|`` (Young 1991, over the whole period)."""
    deepest = max_drawdown(returns)
    if deepest == 0.0:
        raise NotDefined("there was no drawdown")
    return cagr(returns, q) / -deepest


def omega(returns: FloatArray, threshold: float = 0.0) -> float:
    """``Σ max(r − L, 0) / Σ max(L − r, 0)`` (Keating and Shadwick 2002)."""
    loss = float(np.maximum(threshold - returns, 0.0).sum())
    if loss == 0.0:
        raise NotDefined("no return is below the threshold")
    return float(np.maximum(returns - threshold, 0.0).sum() / loss)


def value_at_risk(returns: FloatArray, confidence: float = 0.95) -> float:
    """Historical VaR: minus the (1 − confidence) quantile of returns, linear interpolation."""
    _need(returns, 2)
    return float(-np.quantile(returns, 1.0 - confidence))


def expected_shortfall(returns: FloatArray, confidence: float = 0.95) -> float:
    """Empirical CVaR with fractional tail (Rockafellar and Uryasev 2002).

    With k = (1 − confidence)·T and K = ⌊k⌋: (Σ of the K worst losses + (k − K)·next)/k.
    """
    _need(returns, 2)
    tail = (1.0 - confidence) * len(returns)
    losses = np.sort(-returns)[::-1]
    whole = int(np.floor(tail + 1e-12))
    total = float(losses[:whole].sum())
    if tail - whole > 1e-12:
        total += (tail - whole) * float(losses[whole])
    return total / tail


def tail_ratio(returns: FloatArray) -> float:
    """``|95 % quantile| / |5 % quantile|`` of returns (as empyrical and quantstats)."""
    _need(returns, 2)
    low, high = np.quantile(returns, [0.05, 0.95])
    if low == 0.0:
        raise NotDefined("the 5 % quantile is zero")
    return float(abs(high) / abs(low))


def skewness(returns: FloatArray) -> float:
    """γ3, the biased sample skewness ``m3 / m2^1.5`` (as scipy.stats.skew)."""
    return _standardised_moment(returns, 3)


def kurtosis(returns: FloatArray) -> float:
    """γ4, **raw** kurtosis ``m4 / m2²``; the normal has 3."""
    return _standardised_moment(returns, 4)


def hit_rate(returns: FloatArray) -> float:
    """Share of bars that moved the equity and moved it up."""
    moved = returns[returns != 0.0]
    if moved.size == 0:
        raise NotDefined("the equity never moved")
    return float((moved > 0.0).mean())


def beta(returns: FloatArray, benchmark: FloatArray) -> float:
    """``cov(r, b) / var(b)``, ddof 1 in both (Sharpe 1964)."""
    _need(returns, 2)
    variance = float(np.var(benchmark, ddof=1))
    if variance == 0.0:
        raise NotDefined("the benchmark is constant")
    return float(np.cov(returns, benchmark, ddof=1)[0, 1] / variance)


def alpha(returns: FloatArray, benchmark: FloatArray, q: float, risk_free: float = 0.0) -> float:
    """Jensen's alpha per year, arithmetic: ``q·(mean(r − rf) − β·mean(b − rf))`` (Jensen 1968)."""
    slope = beta(returns, benchmark)
    rate = risk_free / q
    return float(q * (np.mean(returns - rate) - slope * np.mean(benchmark - rate)))


def information_ratio(returns: FloatArray, benchmark: FloatArray, q: float) -> float:
    """``√q · mean(r − b) / std(r − b, ddof=1)`` (Grinold and Kahn 2000)."""
    try:
        return sqrt(q) * sharpe_per_period(returns - benchmark)
    except NotDefined as undefined:
        raise NotDefined(f"active return: {undefined}") from undefined


def summary(
    returns: FloatArray,
    q: float,
    *,
    risk_free: float = 0.0,
    confidence: float = 0.95,
    benchmark: FloatArray | None = None,
) -> tuple[Metrics, dict[str, str]]:
    """Return every metric by name, None where undefined, and the reason of each None."""
    functions = {
        "total_return": lambda: total_return(returns),
        "cagr": lambda: cagr(returns, q),
        "volatility": lambda: volatility(returns, q),
        "sharpe": lambda: sharpe(returns, q, risk_free),
        "sortino": lambda: sortino(returns, q, risk_free / q),
        "calmar": lambda: calmar(returns, q),
        "omega": lambda: omega(returns),
        "max_drawdown": lambda: max_drawdown(returns),
        "max_drawdown_bars": lambda: float(longest_drawdown(returns)),
        "value_at_risk": lambda: value_at_risk(returns, confidence),
        "expected_shortfall": lambda: expected_shortfall(returns, confidence),
        "tail_ratio": lambda: tail_ratio(returns),
        "skewness": lambda: skewness(returns),
        "kurtosis": lambda: kurtosis(returns),
        "hit_rate": lambda: hit_rate(returns),
        "best_bar": lambda: float(_need(returns, 1).max()),
        "worst_bar": lambda: float(_need(returns, 1).min()),
    }
    if benchmark is not None:
        other = benchmark
        functions |= {
            "beta": lambda: beta(returns, other),
            "alpha": lambda: alpha(returns, other, q, risk_free),
            "information_ratio": lambda: information_ratio(returns, other, q),
        }
    return defined(functions)


def defined(functions: Mapping[str, object]) -> tuple[Metrics, dict[str, str]]:
    """Evaluate each statistic; None and a reason where it is not defined."""
    values: Metrics = {}
    reasons: dict[str, str] = {}
    for name, function in functions.items():
        try:
            value = float(function())  # type: ignore[operator]
        except NotDefined as undefined:
            values[name], reasons[name] = None, str(undefined)
            continue
        if np.isfinite(value):
            values[name] = value
        else:
            values[name], reasons[name] = None, "not finite"
    return values, reasons


def _need(returns: FloatArray, least: int) -> FloatArray:
    if len(returns) < least:
        raise NotDefined(f"{len(returns)} returns observed, at least {least} needed")
    return returns


def _standardised_moment(returns: FloatArray, order: int) -> float:
    _need(returns, 2)
    centred = returns - returns.mean()
    second = float(np.mean(centred**2))
    if second <= 1e-30:
        raise NotDefined("the returns have zero variance")
    return float(np.mean(centred**order) / second ** (order / 2))
