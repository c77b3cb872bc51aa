"""Allocation rules with a closed form: equal weight, inverse volatility, one asset."""

from __future__ import annotations

import numpy as np

from portfolio_platform.optimization.checks import EngineFailure, Raw
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem

MODELS = {"equal_weight", "inverse_volatility"}


def covers(problem: Problem) -> str | None:
    """Return why this engine cannot take the problem, or None."""
    if problem.size == 1 or problem.model in MODELS:
        return None
    return "no closed form"


def solve(problem: Problem) -> Raw:
    """Return the weights of the rule, brought within the bounds by `fill`."""
    if problem.size == 1:
        return Raw(np.ones(1), "single asset", certificate="exact", gap=0.0)
    if problem.model == "equal_weight":
        weights = np.full(problem.size, 1.0 / problem.size)
    else:
        deviation = np.sqrt(np.diag(problem.covariance))
        if not (deviation > 0).all():
            name = problem.assets[int((deviation <= 0).argmax())]
            raise EngineFailure("numerical", f"{name} has no volatility")
        weights = 1.0 / deviation
        weights /= weights.sum()
    return Raw(fill(weights, problem.lower, problem.upper), "closed form")


def fill(weights: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return ``clip(s·w, lower, upper)`` with the one s that makes it sum to 1.

    The proportional rule within bounds: assets that are not at a bound keep their ratios. Exact on
    the breakpoints ``bound/w``, which riskfolio's capped iteration only approaches.
    """
    if (weights >= lower).all() and (weights <= upper).all():
        return weights
    positive = weights > 0
    points = np.concatenate(
        [lower[positive] / weights[positive], upper[positive] / weights[positive]]
    )
    points = np.sort(points)
    sums = np.array([np.clip(s * weights, lower, upper).sum() for s in points])
    below = int((sums <= 1.0).sum())
    if below == 0 or below == len(points):
        scale = points[0] if below == 0 else points[-1]
        return np.clip(scale * weights, lower, upper)
    rise = sums[below] - sums[below - 1]
    share = 0.0 if rise <= 0 else (1.0 - sums[below - 1]) / rise
    scale = points[below - 1] + share * (points[below] - points[below - 1])
    return np.clip(scale * weights, lower, upper)
