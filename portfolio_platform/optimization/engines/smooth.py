"""EVaR, semivariance, lower partial and even moments by repeated quadratic programmes.

Newton on ½ρ² turns into the mean-variance programme with M = ρ∇²ρ + ∇ρ∇ρᵀ as covariance (see
``kernels.smooth``), so bounds, rows, turnover and cost are PIQP's; utilities take the plain Newton
step. The certificate needs no smoothness: gᵀv <= ρ(v) for every v. Where αT losses tie at the
optimum EVaR has a kink; there the search stalls and the next engine is asked.

Even moments and the root of kurtosis are charged as squares, Q = ρ²: their utility is quadratic
already, with M as covariance, and their ratio is the utility whose aversion is the ratio reached
(Dinkelbach 1967).
"""

from __future__ import annotations

import numpy as np

from portfolio_platform.optimization import certificates, measures
from portfolio_platform.optimization.checks import EngineFailure, Raw
from portfolio_platform.optimization.engines import qp
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem

MODELS = frozenset({"Classic", "BL", "BLB", "FM"})
#: Measures that grow with the square of the weights.
SQUARES = frozenset({"KT", "EM", "SKT", "ESM"})
MEASURES = frozenset({"EVaR", "MSV", "SLPM"}) | SQUARES
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
        if spec.obj == "MinRisk" and spec.rm != "EVaR" and risk <= 1e-14 * scale:
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
        if spec.rm in SQUARES and spec.obj != "MinRisk":
            aversion = spec.risk_aversion
            if spec.obj == "Sharpe":
                aversion = (_net(problem, weights) - problem.risk_free) / risk**2
            charged = flat.model_copy(update={"obj": "Utility", "risk_aversion": aversion})
            model = problem.with_(spec=charged, covariance=square)
        elif spec.obj == "Utility":
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
    if rm in SQUARES:
        return _even_moment(problem, weights)
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


def _even_moment(problem: Problem, weights: FloatArray) -> tuple[float, FloatArray, FloatArray]:
    """Return ρ = (mean |y|^q)^(1/q) with its derivatives; y are deviations, q twice the order."""
    rm, tail = problem.spec.rm, problem.spec.tail
    order = {"KT": 2, "SKT": 2, "EM": tail.p_em, "ESM": tail.p_esm}[rm]
    # as in riskfolio: kurtosis is estimated around the sample's mean
    centre = problem.returns.mean(axis=0) if rm in {"KT", "SKT"} else problem.mean
    rows = problem.returns - centre
    y = rows @ weights
    if rm in {"SKT", "ESM"}:
        y = np.minimum(y, 0.0)
    largest = float(np.abs(y).max())
    if largest <= 0:
        return 0.0, np.zeros(problem.size), np.zeros((problem.size, problem.size))
    ratio = y / largest
    mean = float((ratio ** (2 * order)).mean())
    risk = largest * mean ** (1 / (2 * order))
    # prices y^(q−1)/(T ρ^(q−1)) and, for the curvature, y^(q−2)/(T ρ^(q−2))
    relative = y / risk
    gradient = (relative ** (2 * order - 1)) @ rows / len(rows)
    spread = (rows.T * relative ** (2 * order - 2)) @ rows / len(rows)
    curvature = (2 * order - 1) * (spread - np.outer(gradient, gradient)) / risk
    return risk, gradient, curvature


def _net(problem: Problem, weights: FloatArray) -> float:
    value = float(problem.mean @ weights)
    if problem.cost > 0 and problem.current is not None:
        value -= problem.cost * float(np.abs(weights - problem.current).sum())
    return value


def _score(problem: Problem, weights: FloatArray, risk: float) -> float:
    """Return what is minimised: the risk, minus the utility, or risk per unit of excess return."""
    if problem.spec.obj == "MinRisk":
        return risk
    charged = risk**2 if problem.spec.rm in SQUARES else risk
    net = _net(problem, weights)
    if problem.spec.obj == "Utility":
        return problem.spec.risk_aversion * charged - net
    excess = net - problem.risk_free
    return charged / excess if excess > 0 else np.inf


def _gap(
    problem: Problem,
    weights: FloatArray,
    risk: float,
    gradient: FloatArray,
    square: FloatArray,
    answer: qp.Answer,
) -> float:
    obj = problem.spec.obj
    if problem.spec.rm in SQUARES:
        return _square_gap(problem, weights, risk, gradient, answer)
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


def _square_gap(
    problem: Problem, weights: FloatArray, risk: float, gradient: FloatArray, answer: qp.Answer
) -> float:
    """Return the gap of Q = ρ², whose tangent 2ρ∇ρ lies below it.

    For a ratio t = net(w)/Q(w) it is D/net(w) with D the most that ``net(v) − t·Q(v)`` can be:
    exact for portfolios of this risk.
    """
    obj, tangent = problem.spec.obj, 2 * risk * gradient
    if obj == "MinRisk":
        # the multipliers are those of ½ρ²
        bound = certificates.linear_bound(problem, tangent, 2 * answer.rows, 2 * answer.turnover)
        return max(0.0, 2 * risk**2 - bound) / risk**2
    net = _net(problem, weights)
    excess = net - problem.risk_free
    aversion = problem.spec.risk_aversion
    if obj == "Sharpe":
        if not excess > 0:
            return float("inf")
        aversion = excess / risk**2
    bound = certificates.linear_bound(
        problem,
        aversion * tangent - problem.mean,
        answer.rows,
        answer.turnover,
        cost=problem.cost,
    )
    reached = 2 * aversion * risk**2 - net
    size = excess if obj == "Sharpe" else max(aversion * risk**2, abs(aversion * risk**2 - net))
    return max(0.0, reached - bound) / size
