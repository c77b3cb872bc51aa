"""EVaR, semivariance and second lower partial moment by repeated quadratic programmes.

Newton on ½ρ² turns into the mean-variance programme with M = ρ∇²ρ + ∇ρ∇ρᵀ as covariance (see
``kernels.smooth``), so bounds, rows, turnover and cost are PIQP's; utilities take the plain Newton
step. The certificate needs no smoothness: gᵀv <= ρ(v) for every v. Where αT losses tie at the
optimum EVaR has a kink; there the search stalls and the next engine is asked.
"""

from __future__ import annotations

import numpy as np

from portfolio_platform.optimization import certificates, measures
from portfolio_platform.optimization.checks import EngineFailure, Raw
from portfolio_platform.optimization.engines import qp
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem

MODELS = frozenset({"Classic", "BL", "BLB", "FM"})
MEASURES = frozenset({"EVaR", "MSV", "SLPM"})
STEPS = 40
#: Halvings of one step after which the search is at a kink.
HALVINGS = 6
#: The search ends at this certified gap, and an answer is accepted down to the limit of a QP.
GAP = 1e-11


def covers(problem: Problem) -> str | None:
    """Return why this engine cannot take the problem, or None."""
    spec = problem.spec
    if problem.model not in MODELS or spec.rm not in MEASURES:
        return "not a smooth measure"
    if spec.obj not in {"MinRisk", "Utility", "Sharpe"} or spec.kelly is not None:
        return "another objective"
    if problem.combinatorial:
        return "assets are chosen in or out"
    return None


def solve(problem: Problem) -> Raw:
    """Iterate to a certified optimum.

    Raises
    ------
    EngineFailure
        Of the quadratic programmes, or ``numerical`` where the risk is not positive.
    """
    spec = problem.spec
    flat = spec.model_copy(update={"rm": "MV"})
    scale = float(np.abs(problem.returns).max())
    answer = qp.solve_with_prices(problem.with_(spec=flat))
    weights, best, kept, gap = answer.weights, np.inf, answer.weights, np.inf
    steps, halvings = 0, 0
    while steps < STEPS:
        steps += 1
        risk, gradient, curvature = local_model(problem, weights)
        if spec.obj == "MinRisk" and spec.rm in {"MSV", "SLPM"} and risk <= 1e-14 * scale:
            return Raw(weights, "piqp, repeated", certificate="qp", gap=0.0, iterations=steps)
        if not risk > 0:
            raise EngineFailure("numerical", f"{spec.rm} is not positive")
        score = _score(problem, weights, risk)
        if score > best + 1e-14 * abs(best):
            weights = 0.5 * (weights + kept)
            halvings += 1
            if halvings > HALVINGS:
                break
            continue
        best, kept, halvings = score, weights, 0
        square = risk * curvature + np.outer(gradient, gradient)
        gap = min(gap, _gap(problem, weights, risk, gradient, square, answer))
        if gap <= GAP:
            break
        if spec.obj == "Utility":
            charge = spec.risk_aversion
            model = problem.with_(
                spec=flat, covariance=0.5 * curvature, mean=problem.mean - charge * gradient
            )
        else:
            model = problem.with_(spec=flat, covariance=square)
        answer = qp.solve_with_prices(model)
        weights = answer.weights
    return Raw(kept, "piqp, repeated", certificate="qp", gap=gap, iterations=steps)


def local_model(problem: Problem, weights: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Return ρ, ∇ρ (n,) and ∇²ρ (n, n) at `weights`."""
    spec, rm = problem.spec, problem.spec.rm
    if rm == "EVaR":
        losses = -problem.returns @ weights
        risk, z = measures.entropic_with_scale(-losses, spec.tail.alpha)
        if z <= 0:
            raise EngineFailure("numerical", "the returns do not vary")
        prices = np.exp((losses - losses.max()) / z)
        prices /= prices.sum()
        mean = prices @ problem.returns
        centred = problem.returns - mean
        spread = (centred.T * prices) @ centred
        image = spread @ weights
        along = float(weights @ image)
        curvature = spread - (np.outer(image, image) / along if along > 0 else 0.0)
        return risk, -mean, curvature / z
    shift = problem.mean if rm == "MSV" else np.full(problem.size, problem.risk_free)
    rows = problem.returns - shift
    below = rows[rows @ weights < 0]
    square = below.T @ below / (len(rows) - 1)
    image = square @ weights
    risk = float(np.sqrt(max(float(weights @ image), 0.0)))
    if risk <= 0:
        return risk, image, square
    gradient = image / risk
    return risk, gradient, (square - np.outer(gradient, gradient)) / risk


def _net(problem: Problem, weights: FloatArray) -> float:
    value = float(problem.mean @ weights)
    if problem.cost > 0 and problem.current is not None:
        value -= problem.cost * float(np.abs(weights - problem.current).sum())
    return value


def _score(problem: Problem, weights: FloatArray, risk: float) -> float:
    """Return what is minimised: the risk, minus the utility, or risk per unit of excess return."""
    if problem.spec.obj == "MinRisk":
        return risk
    net = _net(problem, weights)
    if problem.spec.obj == "Utility":
        return problem.spec.risk_aversion * risk - net
    excess = net - problem.risk_free
    return risk / excess if excess > 0 else np.inf


def _gap(
    problem: Problem,
    weights: FloatArray,
    risk: float,
    gradient: FloatArray,
    square: FloatArray,
    answer: qp.Answer,
) -> float:
    obj = problem.spec.obj
    if obj == "Sharpe":
        local = problem.with_(covariance=square)
        return certificates.sharpe_gap(local, weights, answer.rows, answer.turnover)
    if obj == "MinRisk":
        # multipliers of the quadratic programme are those of ½ρ²: divide by ρ
        rows = None if answer.rows is None else answer.rows / risk
        bound = certificates.linear_bound(problem, gradient, rows, answer.turnover / risk)
        return max(0.0, risk - bound) / risk
    slope = problem.spec.risk_aversion * gradient - problem.mean
    bound = certificates.linear_bound(
        problem, slope, answer.rows, answer.turnover, cost=problem.cost
    )
    reached = problem.spec.risk_aversion * risk - _net(problem, weights)
    return max(0.0, reached - bound) / max(problem.spec.risk_aversion * risk, abs(reached))
