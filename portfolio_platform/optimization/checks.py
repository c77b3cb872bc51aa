"""What is checked on every answer, in original units, on the numbers that are stored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem

#: Largest violation of the budget, a bound or a row in a stored answer.
VIOLATION_LIMIT = 1e-9
#: Largest distance the projection onto the constraints may move a weight: more is a failed solve.
NOISE_LIMIT = 1e-4
#: Largest certified relative gap by kind of certificate.
GAP_LIMITS = {"exact": 1e-10, "lp": 1e-10, "qp": 1e-8, "conic": 2e-3}


class EngineFailure(Exception):
    """An engine has no acceptable answer; the next one is asked."""

    def __init__(self, status: str, reason: str) -> None:
        super().__init__(f"{status}: {reason}")
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Raw:
    """What an engine hands over for checking.

    Attributes
    ----------
    weights
        (n,) weights.
    certificate
        Which limit of ``GAP_LIMITS`` the gap must keep; None for rules without an optimum.
    gap
        Certified relative distance to the optimum, or None when no certificate exists.
    objective
        The engine's own value, for measures that ``objective`` has no formula of.
    """

    weights: FloatArray
    solver: str
    certificate: str | None = None
    gap: float | None = None
    iterations: int | None = None
    objective: float | None = None


def violation(problem: Problem, weights: FloatArray) -> float:
    """Return the largest violation of Σw = 1, of a bound, of a row, or of the turnover limit."""
    worst = abs(float(weights.sum()) - 1.0)
    worst = max(worst, float((problem.lower - weights).max()))
    worst = max(worst, float((weights - problem.upper).max()))
    for row in problem.rows:
        value = float(row.coefficients @ weights)
        size = max(1.0, float(np.abs(row.coefficients).max()))
        worst = max(worst, (row.lower - value) / size, (value - row.upper) / size)
    if problem.turnover is not None and problem.current is not None:
        traded = float(np.abs(weights - problem.current).sum())
        worst = max(worst, traded - problem.turnover)
    spec = problem.spec
    if problem.combinatorial:
        held = weights > 0
        if spec.cardinality is not None and held.sum() > spec.cardinality:
            worst = max(worst, float(np.sort(weights)[: -spec.cardinality].max()))
        if spec.minimum_weight > 0 and held.any():
            worst = max(worst, spec.minimum_weight / spec.budget - float(weights[held].min()))
    return worst


def to_budget(weights: FloatArray, lower: FloatArray, upper: FloatArray) -> FloatArray:
    """Return the nearest weights with Σw = 1 and ``lower <= w <= upper`` (Euclidean projection).

    Water level: ``clip(w − t, lower, upper)`` with t such that the sum is 1, found exactly on the
    breakpoints; the last rounding is put on the largest weight that has room for it.
    """
    clipped = np.clip(weights, lower, upper)
    if abs(clipped.sum() - 1.0) > 1e-15:
        points = np.sort(np.concatenate([weights - lower, weights - upper]))
        sums = np.array([np.clip(weights - t, lower, upper).sum() for t in points])
        above = int((sums >= 1.0).sum())
        if above == 0:
            clipped = np.array(upper, dtype=np.float64)
        elif above == len(points):
            clipped = np.array(lower, dtype=np.float64)
        else:
            left, right = points[above - 1], points[above]
            fall = sums[above - 1] - sums[above]
            share = 0.0 if fall <= 0 else (sums[above - 1] - 1.0) / fall
            clipped = np.clip(weights - (left + share * (right - left)), lower, upper)
    for place in np.argsort(-clipped, kind="stable"):
        rest = 1.0 - clipped.sum()
        if rest == 0.0:
            break
        moved = min(max(clipped[place] + rest, lower[place]), upper[place])
        clipped[place] = moved
        if abs(1.0 - clipped.sum()) <= 4e-16:
            break
    return clipped


def settle(problem: Problem, weights: FloatArray) -> FloatArray:
    """Return weights that hold every constraint, moved no further than solver noise.

    Raises
    ------
    EngineFailure
        ``numerical`` for weights that are not finite, or further than ``NOISE_LIMIT`` from the
        constraints.
    """
    if weights.shape != (problem.size,) or not np.isfinite(weights).all():
        raise EngineFailure("numerical", "weights are not finite")
    settled = to_budget(weights, problem.lower, problem.upper)
    if violation(problem, settled) > VIOLATION_LIMIT and not problem.combinatorial:
        from portfolio_platform.optimization.engines.qp import project

        settled = project(problem, weights)
    moved = float(np.abs(settled - weights).max())
    if moved > NOISE_LIMIT:
        raise EngineFailure(
            "numerical", f"the answer is {moved:.2g} away from weights that hold the constraints"
        )
    worst = violation(problem, settled)
    if worst > VIOLATION_LIMIT:
        raise EngineFailure("numerical", f"constraints are violated by {worst:.2g}")
    return settled


def check_gap(raw: Raw) -> None:
    """Refuse an answer whose certificate is worse than its engine's limit.

    Raises
    ------
    EngineFailure
        ``numerical``.
    """
    if raw.certificate is None or raw.gap is None:
        return
    limit = GAP_LIMITS[raw.certificate]
    if not raw.gap <= limit:
        raise EngineFailure("numerical", f"certified gap {raw.gap:.2g} is above {limit:.0e}")
