"""PIQP for mean-variance programmes with bounds, rows, turnover and cost; polished afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from portfolio_platform.optimization import certificates
from portfolio_platform.optimization.checks import EngineFailure, Raw, to_budget
from portfolio_platform.optimization.engines.polish import Programme, polish
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem

MODELS = frozenset({"Classic", "BL", "BLB", "FM"})
#: Both tolerances of PIQP; the default of 1e-8 leaves weights 3e-4 off (facts 2.5).
TOLERANCE = 1e-12


def covers(problem: Problem) -> str | None:
    """Return why this engine cannot take the problem, or None."""
    spec = problem.spec
    if problem.model not in MODELS or spec.rm != "MV":
        return "not a mean-variance programme"
    if spec.obj not in {"MinRisk", "Utility", "Sharpe"} or spec.kelly is not None:
        return "not a quadratic objective"
    if problem.combinatorial:
        return "assets are chosen in or out"
    return None


def solve(problem: Problem) -> Raw:
    """Solve with PIQP, polish on the active set, and certify.

    Raises
    ------
    EngineFailure
        ``infeasible``, ``unbounded`` (zero variance with excess return) or ``numerical``.
    """
    answer = solve_with_prices(problem)
    weights = answer.weights
    if problem.plain and problem.spec.obj != "Utility":
        weights, gap = certified_support(problem, weights)
    else:
        measure = {
            "MinRisk": certificates.minimum_variance_gap,
            "Utility": certificates.utility_gap,
            "Sharpe": certificates.sharpe_gap,
        }[problem.spec.obj]
        gap = measure(problem, weights, answer.rows, answer.turnover)
    return Raw(weights, "piqp", certificate="qp", gap=gap, iterations=answer.iterations)


@dataclass(frozen=True)
class Answer:
    """Weights (n,), multipliers of the problem's rows (r,) and of its turnover limit."""

    weights: FloatArray
    rows: FloatArray
    turnover: float
    iterations: int


def solve_with_prices(problem: Problem) -> Answer:
    """Solve a mean-variance programme and return the prices of its constraints with it.

    Raises
    ------
    EngineFailure
        As ``solve``.
    """
    sharpe = problem.spec.obj == "Sharpe"
    programme, scale = _sharpe(problem) if sharpe else _direct(problem)
    x, duals, iterations = run_piqp(programme)
    x, duals = polish(programme, x, duals)
    count = problem.size
    size = float(x[:count].sum()) if sharpe else 1.0
    if not size > 0:
        raise EngineFailure("numerical", "the ratio's scale is not positive")
    weights = to_budget(x[:count] / size, problem.lower, problem.upper)
    if sharpe:
        variance = float(weights @ problem.covariance @ weights)
        excess = float(problem.mean @ weights) - problem.risk_free
        if variance <= (1e-9 * excess) ** 2:
            raise EngineFailure(
                "unbounded", "a portfolio without variance earns more than the risk-free rate"
            )
    rows, turnover = _prices(problem, programme, duals, scale, x)
    return Answer(weights, rows, turnover, iterations)


def certified_support(problem: Problem, weights: FloatArray) -> tuple[FloatArray, float]:
    """Return the long-only optimum on the support of `weights`, solved afresh, and its gap.

    Every engine that finds this support stores the same bits. A singular support, or a fresh
    answer that is not better certified, leaves the weights as they are.
    """
    measure = (
        certificates.sharpe_gap
        if problem.spec.obj == "Sharpe"
        else certificates.minimum_variance_gap
    )
    held = np.flatnonzero(weights > 1e-9)
    block = problem.covariance[np.ix_(held, held)]
    target = np.ones(len(held))
    if problem.spec.obj == "Sharpe":
        target = (problem.mean - problem.risk_free)[held]
    try:
        x = np.linalg.solve(block, target)
        x += np.linalg.solve(block, target - block @ x)
    except np.linalg.LinAlgError:
        return weights, measure(problem, weights)
    if not np.isfinite(x).all() or x.min() <= 0:
        return weights, measure(problem, weights)
    fresh = np.zeros_like(weights)
    fresh[held] = x / x.sum()
    fresh = to_budget(fresh, problem.lower, problem.upper)
    gap = measure(problem, fresh)
    if gap > 1e-10 and gap > measure(problem, weights):
        return weights, measure(problem, weights)
    return fresh, gap


def run_piqp(programme: Programme) -> tuple[FloatArray, tuple[FloatArray, ...], int]:
    """Solve a quadratic programme with PIQP; return x, its duals (A, G, bounds), iterations.

    Raises
    ------
    EngineFailure
        By PIQP's status.
    """
    import piqp

    solver: Any = piqp.DenseSolver()
    settings = solver.settings
    settings.eps_abs = settings.eps_rel = TOLERANCE
    settings.eps_duality_gap_abs = settings.eps_duality_gap_rel = TOLERANCE
    p = programme
    solver.setup(
        np.asfortranarray(p.P),
        p.c,
        np.asfortranarray(p.A),
        p.b,
        np.asfortranarray(p.G) if len(p.G) else None,
        p.low if len(p.G) else None,
        p.high if len(p.G) else None,
        p.lower,
        p.upper,
    )
    status = solver.solve()
    result = solver.result
    if status == piqp.PIQP_PRIMAL_INFEASIBLE:
        raise EngineFailure("infeasible", "PIQP proved that no weights hold the constraints")
    if status == piqp.PIQP_DUAL_INFEASIBLE:
        raise EngineFailure("unbounded", "PIQP proved the objective unbounded")
    if status not in {piqp.PIQP_SOLVED, piqp.PIQP_MAX_ITER_REACHED}:
        raise EngineFailure("numerical", f"PIQP: {status}")
    rows = np.asarray(result.z_u) - np.asarray(result.z_l) if len(p.G) else np.zeros(0)
    bounds = np.asarray(result.z_bu) - np.asarray(result.z_bl)
    duals = (np.array(result.y), rows, bounds)
    return np.array(result.x), duals, int(result.info.iter)


def _direct(problem: Problem) -> tuple[Programme, float]:
    """Return MinRisk or Utility in w (and buys, sales), scaled to unit mean variance."""
    n, split = problem.size, problem.trades
    width = 3 * n if split else n
    variance = float(np.mean(np.diag(problem.covariance)))
    utility = problem.spec.obj == "Utility"
    factor = 2.0 * problem.spec.risk_aversion if utility else 1.0
    if variance <= 0:
        variance = 1.0
    scale = 1.0 / (variance * factor)
    quadratic = np.zeros((width, width))
    quadratic[:n, :n] = problem.covariance * (factor * scale)
    linear = np.zeros(width)
    if utility:
        linear[:n] = -problem.mean * scale
        linear[n:] = problem.cost * scale
    equal = np.zeros((1 + (n if split else 0), width))
    equal[0, :n] = 1.0
    sides = np.zeros(len(equal))
    sides[0] = 1.0
    if split and problem.current is not None:
        equal[1:] = np.hstack([np.eye(n), -np.eye(n), np.eye(n)])
        sides[1:] = problem.current
    rows = [np.pad(row.coefficients, (0, width - n)) for row in problem.rows]
    low = [row.lower for row in problem.rows]
    high = [row.upper for row in problem.rows]
    if problem.turnover is not None and split:
        rows.append(np.concatenate([np.zeros(n), np.ones(2 * n)]))
        low.append(-np.inf)
        high.append(problem.turnover)
    lower = np.concatenate([problem.lower, np.zeros(width - n)])
    upper = np.concatenate([problem.upper, np.full(width - n, np.inf)])
    if problem.spec.long_only:
        upper[:n] = np.where(problem.upper >= 1, np.inf, problem.upper)
    return (
        Programme(
            quadratic,
            linear,
            equal,
            sides,
            np.array(rows).reshape(len(rows), width),
            np.array(low, dtype=np.float64),
            np.array(high, dtype=np.float64),
            lower,
            upper,
        ),
        scale,
    )


def _sharpe(problem: Problem) -> tuple[Programme, float]:
    """Return the ratio as a quadratic programme in x = κw (and buys, sales) and κ."""
    n, split = problem.size, problem.trades
    trades = 2 * n if split else 0
    width = n + trades + 1
    variance = float(np.mean(np.diag(problem.covariance)))
    excess = problem.mean - problem.risk_free
    unit = float(np.abs(excess).max())
    scale = 1.0 / variance if variance > 0 else 1.0
    quadratic = np.zeros((width, width))
    quadratic[:n, :n] = problem.covariance * scale
    equal = np.zeros((2 + (n if split else 0), width))
    equal[0, :n], equal[0, -1] = 1.0, -1.0
    equal[1, :n] = excess / unit
    equal[1, n : n + trades] = -problem.cost / unit
    if split and problem.current is not None:
        equal[2:, : n + trades] = np.hstack([np.eye(n), -np.eye(n), np.eye(n)])
        equal[2:, -1] = -problem.current
    sides = np.zeros(len(equal))
    sides[1] = 1.0
    rows: list[FloatArray] = []

    def add(coefficients: FloatArray, side: float) -> None:
        rows.append(np.concatenate([coefficients, np.zeros(trades), [-side]]))

    for row in problem.rows:
        if np.isfinite(row.upper):
            add(row.coefficients, row.upper)
        if np.isfinite(row.lower):
            add(-row.coefficients, -row.lower)
    identity = np.eye(n)
    free_above = problem.spec.long_only
    for place in range(n):
        if problem.upper[place] < 1 or not free_above:
            add(identity[place], float(problem.upper[place]))
        if problem.lower[place] != 0:
            add(-identity[place], -float(problem.lower[place]))
    if problem.turnover is not None and split:
        rows.append(np.concatenate([np.zeros(n), np.ones(trades), [-problem.turnover]]))
    lower = np.zeros(width)
    lower[:n] = np.where(problem.lower < 0, -np.inf, 0.0)
    count = len(rows)
    return (
        Programme(
            quadratic,
            np.zeros(width),
            equal,
            sides,
            np.array(rows).reshape(count, width),
            np.full(count, -np.inf),
            np.zeros(count),
            lower,
            np.full(width, np.inf),
        ),
        scale,
    )


def _prices(
    problem: Problem,
    programme: Programme,
    duals: tuple[FloatArray, ...],
    scale: float,
    x: FloatArray,
) -> tuple[FloatArray, float]:
    """Return the multipliers of the problem's rows and turnover in the units of its objective."""
    rows = duals[1]
    if problem.spec.obj != "Sharpe":
        unit = 1.0 / scale
        prices = rows[: len(problem.rows)] * unit
        turnover = float(rows[-1]) * unit if problem.turnover is not None and len(rows) else 0.0
        return prices, max(turnover, 0.0)
    # x was scaled to (excess/largest)·x = 1; in those units the gradient of the ratio's programme
    # is ν·excess/largest with ν = xᵀPx, so that multipliers per unit of excess return are z·l/ν.
    largest = float(np.abs(problem.mean - problem.risk_free).max())
    unit = largest / max(float(x @ programme.P @ x), 1e-300)
    prices, place = np.zeros(len(problem.rows)), 0
    for index, row in enumerate(problem.rows):
        if np.isfinite(row.upper):
            prices[index] += rows[place] * unit
            place += 1
        if np.isfinite(row.lower):
            prices[index] -= rows[place] * unit
            place += 1
    turnover = float(rows[-1]) * unit if problem.turnover is not None and problem.trades else 0.0
    return prices, max(turnover, 0.0)


def project(problem: Problem, weights: FloatArray) -> FloatArray:
    """Return the nearest weights to `weights` that hold bounds, rows and turnover.

    Raises
    ------
    EngineFailure
        When there are none, or PIQP does not find them.
    """
    nearest = problem.with_(
        covariance=np.eye(problem.size),
        mean=np.zeros(problem.size),
        spec=problem.spec.model_copy(update={"obj": "MinRisk"}),
        cost=0.0,
    )
    programme, _ = _direct(nearest)
    programme.c[: problem.size] = -weights
    x, duals, _ = run_piqp(programme)
    x, _ = polish(programme, x, duals)
    return to_budget(x[: problem.size], problem.lower, problem.upper)
