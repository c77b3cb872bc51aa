"""The value of a problem's objective at given weights, in one definition for every engine."""

from __future__ import annotations

import numpy as np

from portfolio_platform.optimization import measures, names
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem


def risk_of(problem: Problem, weights: FloatArray) -> float | None:
    """Return the measure of the spec at `weights` (standard deviation for MV), or None if unknown.

    The rare measures without a closed form here (relativistic, tail Gini, kurtosis) give None.
    """
    rm = problem.spec.rm
    if not measures.known(rm):
        return None
    return measures.risk(
        rm,
        problem.returns @ weights if rm not in names.MOMENT_MEASURES else np.empty(0),
        problem.spec.tail,
        threshold=problem.risk_free,
        variance=float(weights @ problem.covariance @ weights),
        centre=float(problem.mean @ weights),
    )


def programme_risk(problem: Problem, weights: FloatArray) -> float | None:
    """Return the risk as riskfolio's programme charges it: variance for MV, half of MAD."""
    rm = problem.spec.rm
    if rm == "MV":
        return float(weights @ problem.covariance @ weights)
    value = risk_of(problem, weights)
    return None if value is None else value * (0.5 if rm == "MAD" else 1.0)


def net_mean(problem: Problem, weights: FloatArray) -> float:
    """Return the expected return per bar after the cost of moving from the current weights."""
    value = float(problem.mean @ weights)
    if problem.cost > 0 and problem.current is not None:
        value -= problem.cost * float(np.abs(weights - problem.current).sum())
    return value


def objective(problem: Problem, weights: FloatArray) -> float | None:
    """Return the objective at `weights`: what ``Solution.objective`` holds.

    MinRisk: variance for MV, else the measure. Sharpe: excess mean over the measure (standard
    deviation for MV). Utility: mean less λ times the programme's risk. MaxRet: the mean. Rules
    (risk parity, hierarchical, equal weight) have none.
    """
    spec = problem.spec
    if spec.model not in names.PROGRAMME_MODELS or spec.model in {"WC", "OWA"} or spec.kelly:
        return None
    if spec.obj == "MaxRet":
        return net_mean(problem, weights)
    if spec.obj == "Utility":
        risk = programme_risk(problem, weights)
        return None if risk is None else net_mean(problem, weights) - spec.risk_aversion * risk
    if spec.obj == "Sharpe":
        risk = risk_of(problem, weights)
        if risk is None or risk <= 0:
            return None
        return (net_mean(problem, weights) - problem.risk_free) / risk
    return programme_risk(problem, weights) if spec.rm == "MV" else risk_of(problem, weights)
