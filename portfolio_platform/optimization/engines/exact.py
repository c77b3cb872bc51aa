"""Exact answers without a general solver: risk parity by Newton, HRP, small CVaR when warm.

The compiled kernels of ``kernels`` serve walk-forwards and warm processes; one request in a fresh
process is served by numpy and scipy, so that it never waits for a compiler.
"""

from __future__ import annotations

import sys

import numpy as np

from portfolio_platform.optimization.checks import EngineFailure, Raw
from portfolio_platform.optimization.engines.rules import fill
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem

#: Largest n·T for which the compiled simplex beats the dualised LP (facts 2.3).
SIMPLEX_LIMIT = 100_000
_KERNELS = "portfolio_platform.optimization.kernels"


def covers(problem: Problem) -> str | None:
    """Return why this engine cannot take the problem, or None."""
    spec = problem.spec
    if problem.model == "RP":
        return None if spec.rm == "MV" else "risk parity of another measure"
    if problem.model == "HRP":
        shape = spec.hierarchy
        plain = shape.codependence == "pearson" and shape.linkage != "DBHT"
        return None if plain and spec.rm in {"MV", "vol"} else "another codependence or measure"
    if is_plain_mean_variance(problem):
        return None if _warm("active_set", "walk_mean_variance") else "the kernel is not loaded"
    if is_small_cvar(problem):
        return None if _warm("tail_simplex", "walk_cvar") else "the compiled simplex is not loaded"
    return "no exact method"


def is_plain_mean_variance(problem: Problem) -> bool:
    """Whether the active set applies: long-only minimum variance or maximum Sharpe."""
    spec = problem.spec
    return (
        problem.model in {"Classic", "BL", "BLB", "FM"}
        and spec.rm == "MV"
        and spec.obj in {"MinRisk", "Sharpe"}
        and spec.kelly is None
        and problem.plain
    )


def is_small_cvar(problem: Problem) -> bool:
    """Whether the compiled simplex applies: long-only minimum CVaR of moderate size."""
    spec = problem.spec
    return (
        problem.model in {"Classic", "BL", "BLB", "FM"}
        and spec.rm == "CVaR"
        and spec.obj == "MinRisk"
        and spec.kelly is None
        and problem.plain
        and problem.returns.size <= SIMPLEX_LIMIT
        and spec.tail.alpha * len(problem.returns) >= 1
    )


def solve(problem: Problem) -> Raw:
    """Solve exactly.

    Raises
    ------
    EngineFailure
        ``numerical`` when Newton or the simplex does not converge.
    """
    if problem.model == "RP":
        return _risk_parity(problem)
    if problem.model == "HRP":
        weights = hierarchical_weights(problem)
        return Raw(fill(weights, problem.lower, problem.upper), "bisection")
    if is_plain_mean_variance(problem):
        return _mean_variance(problem)
    return _small_cvar(problem)


def _warm(module: str, kernel: str) -> bool:
    loaded = sys.modules.get(f"{_KERNELS}.{module}")
    return loaded is not None and len(getattr(loaded, kernel).signatures) > 0


def _mean_variance(problem: Problem) -> Raw:
    from portfolio_platform.optimization.engines.qp import certified_support
    from portfolio_platform.optimization.kernels.active_set import nonnegative_quadratic

    n = problem.size
    sharpe = problem.spec.obj == "Sharpe"
    target = problem.mean - problem.risk_free if sharpe else np.ones(n)
    free, x = np.zeros(n, dtype=np.bool_), np.zeros(n)
    square, index, z = np.zeros((n, n)), np.zeros(n, dtype=np.int64), np.zeros(n)
    covariance = np.ascontiguousarray(problem.covariance)
    steps = nonnegative_quadratic(covariance, target, free, x, square, index, z)
    if steps < 0 or not x.sum() > 0:
        raise EngineFailure("numerical", "the active set did not settle")
    weights, gap = certified_support(problem, x / x.sum())
    return Raw(weights, "active set", "exact", gap, steps)


def _risk_parity(problem: Problem) -> Raw:
    """min ½yᵀCy − Σ b ln y in y = x·σ (facts 3.6), from the diagonal solution √b."""
    budget = problem.risk_budget
    sigma = np.sqrt(np.diag(problem.covariance))
    if budget is None or not (sigma > 0).all():
        name = problem.assets[int((sigma <= 0).argmax())]
        raise EngineFailure("numerical", f"{name} has no volatility")
    correlation = problem.covariance / np.outer(sigma, sigma)
    y = np.sqrt(budget)
    iteration = 0
    while True:
        gradient = correlation @ y - budget / y
        if np.abs(gradient * y).max() < 1e-14:
            break
        try:
            step = np.linalg.solve(correlation + np.diag(budget / y**2), -gradient)
        except np.linalg.LinAlgError:
            raise EngineFailure(
                "numerical", "a portfolio without variance exists: there is no risk to share"
            ) from None
        relative = float(np.abs(step / y).max())
        y = y + (1.0 if relative < 0.5 else 1.0 / (1.0 + relative)) * step
        if relative < 1e-15:
            break
        iteration += 1
        if iteration > 200:
            raise EngineFailure("numerical", "Newton's method did not converge")
    weights = y / sigma
    weights /= weights.sum()
    parts = weights * (problem.covariance @ weights)
    gap = float((np.abs(parts / parts.sum() - budget) / budget).max())
    return Raw(weights, "newton", certificate="exact", gap=gap, iterations=iteration)


def hierarchical_weights(problem: Problem) -> FloatArray:
    """Return the weights of hierarchical risk parity, equal to riskfolio's (facts 3.7)."""
    from scipy.cluster import hierarchy

    spec = problem.spec
    centred = problem.returns - problem.returns.mean(axis=0)
    sample = centred.T @ centred / (len(centred) - 1)
    deviation = np.sqrt(np.diag(sample))
    if not (deviation > 0).all():
        name = problem.assets[int((deviation <= 0).argmax())]
        raise EngineFailure("numerical", f"{name} has no volatility")
    upper = np.triu_indices(problem.size, 1)
    rho = (sample / np.outer(deviation, deviation))[upper]
    distance = np.sqrt(np.clip((1.0 - rho) / 2.0, 0.0, 1.0))
    links = hierarchy.linkage(
        distance, method=spec.hierarchy.linkage, optimal_ordering=spec.hierarchy.leaf_order
    )
    order = hierarchy.leaves_list(links)
    return bisection(problem.covariance, order, deviation=spec.rm == "vol")


def bisection(covariance: FloatArray, order: FloatArray, *, deviation: bool) -> FloatArray:
    """Return the weights of recursive bisection over the ordered leaves, in plain numpy."""
    variances = np.diag(covariance)
    inverse = 1.0 / (np.sqrt(variances) if deviation else variances)

    def risk(items: FloatArray) -> float:
        mix = inverse[items] / inverse[items].sum()
        value = float(mix @ covariance[np.ix_(items, items)] @ mix)
        return float(np.sqrt(value)) if deviation else value

    weights = np.ones(len(order))
    clusters = [order]
    while clusters:
        halves = []
        for items in clusters:
            middle = len(items) // 2
            left, right = items[:middle], items[middle:]
            below, above = risk(left), risk(right)
            share = 1.0 - below / (below + above)
            weights[left] *= share
            weights[right] *= 1.0 - share
            halves += [half for half in (left, right) if len(half) > 1]
        clusters = halves
    return weights


def _small_cvar(problem: Problem) -> Raw:
    from portfolio_platform.optimization.kernels import tail_simplex

    rows, count = problem.returns.shape
    weights, gaps = np.zeros((1, count)), np.full(1, np.inf)
    states, pivots = np.ones(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
    tail_simplex.walk_cvar(
        np.ascontiguousarray(problem.returns),
        np.zeros(1, dtype=np.int64),
        rows,
        problem.spec.tail.alpha,
        weights,
        gaps,
        states,
        pivots,
    )
    if states[0] != 0:
        raise EngineFailure("numerical", "the simplex did not finish")
    from portfolio_platform.optimization.engines.lp import tail_vertex

    vertex = tail_vertex(problem, weights[0])
    return Raw(vertex, "simplex", "exact", float(gaps[0]), int(pivots[0]))
