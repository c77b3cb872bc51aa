"""A lean cvxpy tier for the long tail: only the measure asked for, parametrised, compiled once.

riskfolio builds the expressions of every measure on each call; here one problem per measure and
shape is built with the returns, the mean and the bounds as parameters, kept, and solved again for
each window. Clarabel's own dual objective is the certificate.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from portfolio_platform.optimization.checks import EngineFailure, Raw
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem
from portfolio_platform.optimization.spec_parts import Tail

MODELS = frozenset({"Classic", "BL", "BLB", "FM"})
MEASURES = frozenset({"EVaR", "EDaR", "UCI", "MSV", "SLPM", "RLVaR", "RLDaR", "EVRG", "RVRG"})
#: Clarabel's default of 1e-8 leaves objectives 1e-7 short; what it cannot reach it says.
TOLERANCES = {"tol_gap_abs": 1e-10, "tol_gap_rel": 1e-10, "tol_feas": 1e-10}
KELLY_MEASURES = MEASURES | {"MV", "CVaR", "MAD", "WR", "CDaR", "MDD", "ADD"}


def covers(problem: Problem) -> str | None:
    """Return why this engine cannot take the problem, or None."""
    spec = problem.spec
    if problem.model not in MODELS:
        return "not a programme of one measure"
    if problem.combinatorial:
        return "assets are chosen in or out"
    if spec.kelly is not None:
        fits = spec.obj in {"Utility", "MaxRet"} and spec.rm in KELLY_MEASURES
        return None if fits else "this kelly objective"
    if spec.rm not in MEASURES or spec.obj not in {"MinRisk", "Utility", "Sharpe"}:
        return "not a conic measure"
    return None


def solve(problem: Problem) -> Raw:
    """Set the parameters of the compiled problem and solve it with Clarabel.

    Raises
    ------
    EngineFailure
        ``infeasible``, ``unbounded``, ``time_limit`` or ``numerical``.
    """
    import cvxpy as cp

    spec, (rows, n) = problem.spec, problem.returns.shape
    sides = _sides(problem)
    compiled = compile_measure(
        spec.rm,
        spec.obj,
        spec.kelly,
        (rows, n, len(sides[1])),
        spec.tail,
        spec.risk_aversion,
        (problem.trades and problem.turnover is not None, problem.trades and problem.cost > 0),
    )
    # growth rates know the unit of wealth: only the other objectives are scaled
    size = 1.0 if spec.kelly else float(np.mean(np.abs(problem.returns))) or 1.0
    compiled.returns.value = problem.returns / size
    compiled.mean.value = problem.mean / size
    compiled.rate.value = problem.risk_free / size
    if problem.trades:
        compiled.current.value = problem.current
        compiled.turnover.value = 2.0 if problem.turnover is None else problem.turnover
        compiled.cost.value = problem.cost / size
    compiled.limits.value = sides[1]
    compiled.coefficients.value = sides[0]
    if compiled.factor is not None:
        values, vectors = np.linalg.eigh(problem.covariance / size**2)
        compiled.factor.value = (vectors * np.sqrt(np.maximum(values, 0.0))).T
    try:
        data, chain, inverse = compiled.problem.get_problem_data(cp.CLARABEL, solver_opts={})
        raw = chain.solve_via_data(
            compiled.problem, data, solver_opts={"time_limit": spec.time_limit, **TOLERANCES}
        )
        with warnings.catch_warnings():
            # an inaccurate answer is judged by its gap, which is stored
            warnings.simplefilter("ignore", UserWarning)
            compiled.problem.unpack_results(raw, chain, inverse)
    except cp.SolverError as error:
        raise EngineFailure("numerical", f"clarabel: {error}") from error
    status = compiled.problem.status
    if status in {cp.INFEASIBLE, cp.INFEASIBLE_INACCURATE}:
        raise EngineFailure("infeasible", "clarabel proved that no weights hold the constraints")
    if status in {cp.UNBOUNDED, cp.UNBOUNDED_INACCURATE}:
        raise EngineFailure("unbounded", f"the objective over {spec.rm} has no bound")
    if status == cp.USER_LIMIT:
        raise EngineFailure("time_limit", f"clarabel took longer than {spec.time_limit:g} s")
    if status not in {cp.OPTIMAL, cp.OPTIMAL_INACCURATE} or compiled.weights.value is None:
        raise EngineFailure("numerical", f"clarabel: {status}")
    x = np.asarray(compiled.weights.value, dtype=np.float64)
    total = float(x.sum())
    if not total > 0:
        raise EngineFailure("numerical", "the ratio's scale is not positive")
    value = float(compiled.problem.value)
    value = 1.0 / value if spec.obj == "Sharpe" and value > 0 else value * size
    return Raw(x / total, "clarabel", "conic", _gap(raw), objective=value)


def _gap(solution: Any) -> float:
    """Return the relative distance of Clarabel's primal and dual objectives."""
    primal, dual = float(solution.obj_val), float(solution.obj_val_dual)
    return abs(primal - dual) / max(abs(primal), abs(dual), 1e-6)


def _sides(problem: Problem) -> tuple[FloatArray, FloatArray]:
    """Return A (m, n) and b (m,) with ``Aw <= b``: bounds that bind and rows."""
    rows, limits = [], []
    identity = np.eye(problem.size)
    for place in range(problem.size):
        rows.append(-identity[place])
        limits.append(-float(problem.lower[place]))
        if problem.upper[place] < 1 or not problem.spec.long_only:
            rows.append(identity[place])
            limits.append(float(problem.upper[place]))
    for row in problem.rows:
        if np.isfinite(row.upper):
            rows.append(row.coefficients)
            limits.append(row.upper)
        if np.isfinite(row.lower):
            rows.append(-row.coefficients)
            limits.append(-row.lower)
    return np.array(rows), np.array(limits)


@dataclass(frozen=True)
class Compiled:
    """A parametrised problem."""

    problem: Any
    weights: Any
    returns: Any
    mean: Any
    coefficients: Any
    limits: Any
    factor: Any
    rate: Any
    current: Any
    turnover: Any
    cost: Any


@lru_cache(maxsize=32)
def compile_measure(
    rm: str,
    obj: str,
    kelly: str | None,
    shape: tuple[int, int, int],
    tail: Tail,
    aversion: float,
    trades: tuple[bool, bool],
) -> Compiled:
    """Build the problem of one measure, objective and shape; kept for the next window.

    `shape` is (returns, assets, constraint sides); `trades` says whether turnover is limited and
    whether trading costs.
    """
    import cvxpy as cp

    rows, n, sides = shape
    limited, costly = trades
    w, x = cp.Variable(n), cp.Variable(rows)
    returns, mean, rate = cp.Parameter((rows, n)), cp.Parameter(n), cp.Parameter()
    coefficients, limits = cp.Parameter((sides, n)), cp.Parameter(sides)
    current = cp.Parameter(n)
    turnover, cost = cp.Parameter(nonneg=True), cp.Parameter(nonneg=True)
    factor = cp.Parameter((n, n)) if rm == "MV" or kelly == "approx" else None
    k: Any = cp.Variable(nonneg=True) if obj == "Sharpe" else 1.0
    constraints = [x == returns @ w, cp.sum(w) == k, coefficients @ w <= limits * k]
    fee: Any = 0.0
    if limited or costly:
        traded = cp.Variable(n, nonneg=True)
        constraints += [w - current * k <= traded, current * k - w <= traded]
        if limited:
            constraints.append(cp.sum(traded) <= turnover * k)
        if costly:
            charge = cp.Variable(nonneg=True)
            constraints.append(charge == cost * cp.sum(traded))
            fee = charge
    if obj == "Sharpe":
        constraints.append(mean @ w - rate * k - fee == 1)
    if obj == "MaxRet":
        risk: Any = 0.0
    elif rm == "MV" and factor is not None:
        risk = cp.sum_squares(factor @ w)
    elif rm in {"MSV", "SLPM"}:
        level = mean @ w if rm == "MSV" else rate * k
        short = cp.Variable(rows, nonneg=True)
        constraints.append(short >= level - x)
        risk = cp.norm(short) / np.sqrt(rows - 1)
    else:
        risk, extra = _measure(rm, x, rows, tail)
        constraints += extra
    if obj in {"MinRisk", "Sharpe"}:
        target: Any = cp.Minimize(risk)
    elif kelly == "exact":
        target = cp.Maximize(cp.sum(cp.log(1 + x)) / rows - aversion * risk)
    elif kelly == "approx" and factor is not None:
        gain = mean @ w - 0.5 * cp.sum_squares(factor @ w)
        target = cp.Maximize(gain - aversion * risk)
    else:
        target = cp.Maximize(mean @ w - fee - aversion * risk)
    return Compiled(
        cp.Problem(target, constraints),
        w,
        returns,
        mean,
        coefficients,
        limits,
        factor,
        rate,
        current,
        turnover,
        cost,
    )


def _measure(rm: str, x: Any, rows: int, tail: Tail) -> tuple[Any, list[Any]]:
    """Return the expression and constraints of a measure of the scenario returns x (T,)."""
    import cvxpy as cp

    beta = tail.alpha if tail.beta is None else tail.beta
    if rm == "EVaR":
        return _entropic(-x, rows, tail.alpha)
    if rm == "EVRG":
        losses, first = _entropic(-x, rows, tail.alpha)
        gains, second = _entropic(x, rows, beta)
        return losses + gains, first + second
    if rm == "RLVaR":
        return _relativistic(-x, rows, tail.alpha, tail.kappa)
    if rm == "RVRG":
        other = tail.kappa if tail.kappa_g is None else tail.kappa_g
        losses, first = _relativistic(-x, rows, tail.alpha, tail.kappa)
        gains, second = _relativistic(x, rows, beta, other)
        return losses + gains, first + second
    if rm in {"CVaR", "WR", "MAD"}:
        if rm == "WR":
            return cp.max(-x), []
        if rm == "MAD":
            return cp.sum(cp.pos(cp.sum(x) / rows - x)) / rows, []
        v = cp.Variable()
        return v + cp.sum(cp.pos(-x - v)) / (tail.alpha * rows), []
    depth = cp.Variable(rows, nonneg=True)
    chain = [depth[0] >= -x[0], depth[1:] >= depth[:-1] - x[1:]]
    if rm == "UCI":
        return cp.norm(depth) / np.sqrt(rows), chain
    if rm == "MDD":
        return cp.max(depth), chain
    if rm == "ADD":
        return cp.sum(depth) / rows, chain
    if rm == "CDaR":
        v = cp.Variable()
        return v + cp.sum(cp.pos(depth - v)) / (tail.alpha * rows), chain
    builder = _entropic if rm == "EDaR" else None
    if builder is not None:
        risk, extra = builder(depth, rows, tail.alpha)
    else:
        risk, extra = _relativistic(depth, rows, tail.alpha, tail.kappa)
    return risk, chain + extra


def _entropic(losses: Any, rows: int, alpha: float) -> tuple[Any, list[Any]]:
    """Return t + s·ln(1/(αT)) with Σu <= s and (loss − t, s, u) in the exponential cone."""
    import cvxpy as cp

    t, s, u = cp.Variable(), cp.Variable(nonneg=True), cp.Variable(rows)
    cone = cp.ExpCone(losses - t, s * np.ones(rows), u)
    return t + s * np.log(1.0 / (alpha * rows)), [cp.sum(u) <= s, cone]


def _relativistic(losses: Any, rows: int, alpha: float, kappa: float) -> tuple[Any, list[Any]]:
    """Return the relativistic value at risk in power cones (Cajas 2023)."""
    import cvxpy as cp

    t, s = cp.Variable(), cp.Variable(nonneg=True)
    psi, theta, omega, epsilon = (cp.Variable(rows) for _ in range(4))
    ones = np.ones(rows)
    level = 1.0 / (alpha * rows)
    logarithm = (level**kappa - level**-kappa) / (2 * kappa)
    constraints = [
        cp.PowCone3D(
            s * (1 + kappa) / (2 * kappa) * ones,
            psi * (1 + kappa) / kappa,
            epsilon,
            1 / (1 + kappa),
        ),
        cp.PowCone3D(omega / (1 - kappa), theta / kappa, -s / (2 * kappa) * ones, 1 - kappa),
        losses - t + epsilon + omega <= 0,
    ]
    return t + logarithm * s + cp.sum(psi + theta), constraints
