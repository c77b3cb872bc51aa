"""Cutting planes for rank-weighted measures: Gini, tail Gini and OWA, with every constraint.

min θ over the constraints with θ >= gᵀw for each subgradient g found so far; HiGHS keeps its basis
from one plane to the next. riskfolio needs T² rows or power cones for these (half a minute).
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from scipy import sparse

from portfolio_platform.optimization import ordered
from portfolio_platform.optimization.checks import EngineFailure, Raw, to_budget
from portfolio_platform.optimization.engines.scenario_programme import constraint_builder
from portfolio_platform.optimization.objective import objective
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem
from portfolio_platform.optimization.solution import NoAnswer

MODELS = frozenset({"Classic", "BL", "BLB", "FM"})
PLANES = 2000
#: The search ends when the bounds are this near, relative to the risk or, where that is smaller
#: still (fewer returns than assets), to the mean size of a return.
GAP = 8e-11


def covers(problem: Problem) -> str | None:
    """Return why this engine cannot take the problem, or None."""
    spec = problem.spec
    if problem.combinatorial or spec.kelly is not None or spec.obj == "MaxRet":
        return "not a polyhedral programme"
    if problem.model == "OWA":
        return None
    if problem.model not in MODELS or spec.rm not in {"GMD", "TG", "TGRG"}:
        return "not a rank-weighted measure"
    return None


def solve(problem: Problem) -> Raw:
    """Add planes until the bounds meet.

    Raises
    ------
    EngineFailure
        ``time_limit``, ``unbounded``, ``infeasible`` or ``numerical``.
    """
    import highspy

    spec, n = problem.spec, problem.size
    rows = len(problem.returns)
    if problem.model == "OWA":
        # owa_optimization charges the worst permutation, which is the ascending order
        try:
            weights = np.sort(ordered.owa_vector(spec, rows))
        except NoAnswer as failure:
            raise EngineFailure(failure.status, failure.reason) from failure
    else:
        weights = ordered.order_weights(spec.rm, rows, spec.tail)[1]
    if not ordered.convex(weights):
        raise EngineFailure("numerical", "the ordered weights decrease: the measure is not convex")
    build, size, charge = constraint_builder(problem)
    build.columns("theta", np.array([charge]), True)
    static = build.finish(1.0, 1.0)
    returns = problem.returns / size

    infinity = highspy.kHighsInf
    solver: Any = highspy.Highs()
    for option, setting in {
        "output_flag": False,
        "threads": 1,
        "primal_feasibility_tolerance": 1e-10,
        "dual_feasibility_tolerance": 1e-10,
    }.items():
        solver.setOptionValue(option, setting)
    matrix = sparse.csr_array(
        (static.value, static.index, static.start), shape=(len(static.right), len(static.cost))
    ).tocsc()
    model = highspy.HighsLp()
    model.num_col_, model.num_row_ = len(static.cost), len(static.right)
    model.col_cost_ = static.cost
    floor = np.where(static.free, -infinity, 0.0)
    if spec.obj == "Sharpe":
        # a risk of zero or less makes the ratio unbounded, which is told apart at the end
        floor[-1] = 0.0
    model.col_lower_ = floor
    model.col_upper_ = np.full(len(static.cost), infinity)
    model.row_lower_ = static.right
    model.row_upper_ = np.where(static.equal, static.right, infinity)
    model.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    model.a_matrix_.start_ = matrix.indptr
    model.a_matrix_.index_ = matrix.indices
    model.a_matrix_.value_ = matrix.data
    solver.passModel(model)
    theta = len(static.cost) - 1

    def add(point: FloatArray) -> float:
        x = returns @ point
        plane = ordered.scenario_prices(ordered.ORDERED, x, weights) @ returns
        index = np.concatenate([np.arange(n), [theta]]).astype(np.int32)
        solver.addRow(0.0, infinity, n + 1, index, np.concatenate([-plane, [1.0]]))
        return float(plane @ point)

    point = np.full(n, 1.0 / n)
    add(point)
    start = time.perf_counter()
    for planes in range(1, PLANES):
        if time.perf_counter() - start > spec.time_limit:
            raise EngineFailure("time_limit", f"no convergence within {spec.time_limit:g} s")
        solver.run()
        status = solver.getModelStatus()
        if status == highspy.HighsModelStatus.kInfeasible:
            raise EngineFailure("infeasible", "HiGHS proved that no weights hold the constraints")
        if status != highspy.HighsModelStatus.kOptimal:
            raise EngineFailure("numerical", f"HiGHS: {solver.modelStatusToString(status)}")
        answer = np.array(solver.getSolution().col_value)
        point, bound = answer[:n], float(answer[theta])
        value = add(point)
        if value - bound <= GAP * max(abs(value), 1.0):
            return _answer(problem, point, value, bound, planes)
    raise EngineFailure("numerical", f"no convergence within {PLANES} planes")


def _answer(problem: Problem, point: FloatArray, value: float, bound: float, planes: int) -> Raw:
    total = float(point.sum())
    if problem.spec.obj == "Sharpe" and not value > 0:
        raise EngineFailure("unbounded", "the risk can be brought to zero; its ratio is unbounded")
    if not total > 0:
        raise EngineFailure("numerical", "the ratio's scale is not positive")
    weights = point / total
    weights[np.abs(weights) < 1e-12] = 0.0
    weights = to_budget(weights, problem.lower, problem.upper)
    gap = max(0.0, value - bound) / max(abs(value), 1.0)
    if objective(problem, weights) is None and problem.model != "OWA":
        raise EngineFailure("numerical", "the risk is not positive")
    return Raw(weights, "highs, cutting planes", certificate="lp", gap=gap, iterations=planes)
