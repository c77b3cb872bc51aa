"""Certificates: bounds on the distance to the optimum that hold for any feasible weights.

All rest on one lower bound: the minimum of a linear function (plus the trading term) over the
constraints, in which rows are priced with multipliers. Any multipliers give a valid bound; the
solver's own give a tight one. Cost O(n log n) after the gradient.
"""

from __future__ import annotations

import numpy as np

from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem


def linear_bound(
    problem: Problem,
    gradient: FloatArray,
    rows: FloatArray | None = None,
    turnover: float = 0.0,
    cost: float = 0.0,
) -> float:
    """Return a lower bound of ``gradient·v + cost·Σ|v − current|`` over all admissible v.

    Parameters
    ----------
    gradient
        (n,).
    rows
        (r,) multiplier of each row, positive where its upper side binds, negative for the lower.
    turnover
        Multiplier of the turnover limit, not negative.
    """
    slope = np.array(gradient, dtype=np.float64)
    constant = 0.0
    if rows is not None:
        for row, price in zip(problem.rows, rows, strict=True):
            side = row.upper if price > 0 else row.lower
            if price == 0 or not np.isfinite(side):
                continue
            slope += price * row.coefficients
            constant -= price * side
    lower, upper = problem.lower, problem.upper
    price = cost
    if problem.turnover is not None and turnover > 0:
        price += turnover
        constant -= turnover * problem.turnover
    if price > 0 and problem.current is not None:
        middle = np.clip(problem.current, lower, upper)
        constant += price * float(np.abs(lower - problem.current).sum())
        slopes = np.concatenate([slope - price, slope + price])
        widths = np.concatenate([middle - lower, upper - middle])
    else:
        slopes, widths = slope, upper - lower
    constant += float(slope @ lower)
    rest = 1.0 - float(lower.sum())
    order = np.argsort(slopes, kind="stable")
    taken = np.cumsum(widths[order])
    before = np.concatenate([[0.0], taken[:-1]])
    steps = np.clip(rest - before, 0.0, widths[order])
    return constant + float(slopes[order] @ steps)


def minimum_variance_gap(
    problem: Problem, weights: FloatArray, rows: FloatArray | None = None, turnover: float = 0.0
) -> float:
    """Return a bound on (wᵀSw − optimum)/wᵀSw: ``2(wᵀg − min gᵀv)/wᵀg`` with g = Sw."""
    slope = problem.covariance @ weights
    variance = float(weights @ slope)
    if variance <= 0:
        return 0.0
    return max(0.0, 2 * (variance - linear_bound(problem, slope, rows, turnover)) / variance)


def utility_gap(
    problem: Problem, weights: FloatArray, rows: FloatArray | None = None, turnover: float = 0.0
) -> float:
    """Return a bound on the distance to the best utility, relative to its larger term."""
    aversion = problem.spec.risk_aversion
    slope = problem.covariance @ weights
    gradient = 2 * aversion * slope - problem.mean
    value = float(gradient @ weights)
    if problem.cost > 0 and problem.current is not None:
        value += problem.cost * float(np.abs(weights - problem.current).sum())
    bound = linear_bound(problem, gradient, rows, turnover, cost=problem.cost)
    size = max(abs(float(problem.mean @ weights)), aversion * float(weights @ slope), 1e-300)
    return max(0.0, value - bound) / size


def sharpe_gap(
    problem: Problem, weights: FloatArray, rows: FloatArray | None = None, turnover: float = 0.0
) -> float:
    """Return a bound on (best ratio − ratio)/ratio of expected excess return to volatility.

    With g = Sw/σ, gᵀv <= σ(v) for every v, so a portfolio of volatility σ(v) beats the ratio t by
    at most D/σ(v), where D is the largest ``net(v) − t·gᵀv``. The gap is D/net(w): exact for
    portfolios of this volatility. Without constraints the stricter bound max mᵢ/gᵢ is used.
    """
    slope = problem.covariance @ weights
    deviation = float(np.sqrt(max(float(weights @ slope), 0.0)))
    if deviation <= 0:
        return float("inf")
    gradient = slope / deviation
    excess = problem.mean - problem.risk_free
    net = float(excess @ weights)
    if problem.cost > 0 and problem.current is not None:
        net -= problem.cost * float(np.abs(weights - problem.current).sum())
    ratio = net / deviation
    if ratio <= 0:
        return float("inf")
    if problem.plain:
        rising = excess > 0
        if (gradient[rising] <= 0).any():
            return float("inf")
        best = float((excess[rising] / gradient[rising]).max())
        short = float(np.maximum(excess - best * gradient, 0.0).max())
        return max(0.0, best / ratio - 1.0) + short / net

    bound = linear_bound(problem, ratio * gradient - excess, rows, turnover, cost=problem.cost)
    return max(0.0, -bound) / net
