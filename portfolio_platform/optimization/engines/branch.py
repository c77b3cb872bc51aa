"""Cardinality and minimum weight by branch and bound over which assets may be held.

A node holds some assets in (at least the minimum weight) and some out (weight 0); its relaxation is
the same programme with those bounds, solved by the engine that covers it. Nodes are taken best
bound first, ties by depth and then by order of creation, so the search is the same each time.
"""

from __future__ import annotations

import heapq
import time

import numpy as np

from portfolio_platform.optimization.checks import EngineFailure, Raw, settle
from portfolio_platform.optimization.engines import cone, cuts, lp, qp, smooth
from portfolio_platform.optimization.objective import objective
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem

NODES = 20_000
#: The search ends when the best bound is this near the incumbent, relative to it.
GAP = 1e-9
#: Weights below this are the noise of a relaxation's solver.
_HELD = 1e-7


def covers(problem: Problem) -> str | None:
    """Return why this engine cannot take the problem, or None."""
    if not problem.combinatorial:
        return "no discrete choice"
    relaxed = _relaxed(problem, problem.lower, problem.upper)
    if any(engine.covers(relaxed) is None for engine in (qp, lp, smooth, cuts, cone)):
        return None
    return "the relaxation has no engine"


def solve(problem: Problem) -> Raw:
    """Search for the best choice of assets.

    Raises
    ------
    EngineFailure
        ``infeasible`` when no choice is feasible; ``time_limit`` when the search is not finished
        in time, whatever it has found: a half-searched answer is not returned.
    """
    spec = problem.spec
    least = spec.minimum_weight / spec.budget
    most = spec.cardinality if spec.cardinality is not None else problem.size
    start = time.perf_counter()
    undecided = np.full(problem.size, -1)
    best, incumbent = np.inf, None
    queue: list[tuple[float, int, int, FloatArray, FloatArray]] = []
    nodes = 0

    def visit(state: FloatArray, depth: int) -> None:
        nonlocal best, incumbent, nodes
        nodes += 1
        answer = _relaxation(problem, state, least, most)
        if answer is None:
            return
        value, weights = answer
        if value >= best - GAP * abs(best):
            return
        if _allowed(weights, least, most):
            best, incumbent = value, weights
            return
        heapq.heappush(queue, (value, -depth, nodes, state, weights))

    visit(undecided, 0)
    while queue:
        if time.perf_counter() - start > spec.time_limit:
            raise EngineFailure("time_limit", f"{nodes} choices tried in {spec.time_limit:g} s")
        if nodes > NODES:
            raise EngineFailure("time_limit", f"no proof after {NODES} choices of assets")
        value, depth, _, state, weights = heapq.heappop(queue)
        if value >= best - GAP * abs(best):
            break
        place = _branching(weights, state, least)
        for choice in (1, 0):
            child = state.copy()
            child[place] = choice
            visit(child, 1 - depth)
    if incumbent is None:
        raise EngineFailure("infeasible", "no choice of assets holds the constraints")
    held = incumbent > _HELD
    settled = _relaxed(
        problem,
        np.where(held, np.maximum(problem.lower, least), 0.0),
        np.where(held, problem.upper, 0.0),
    )
    incumbent = settle(settled, np.where(held, incumbent, 0.0))
    return Raw(incumbent, "branch and bound", certificate="qp", gap=GAP, iterations=nodes)


def _allowed(weights: FloatArray, least: float, most: int) -> bool:
    held = weights > _HELD
    return bool(held.sum() <= most and (weights[held] >= least - _HELD).all())


def _branching(weights: FloatArray, state: FloatArray, least: float) -> int:
    """Return the undecided asset to decide next: largest that is too small, else the smallest."""
    free = np.flatnonzero((state < 0) & (weights > _HELD))
    small = free[weights[free] < least - _HELD]
    if small.size:
        return int(small[np.argmax(weights[small])])
    if free.size:
        return int(free[np.argmax(weights[free])])
    return int(np.flatnonzero(state < 0)[0])


def _relaxed(problem: Problem, lower: FloatArray, upper: FloatArray) -> Problem:
    spec = problem.spec.model_copy(update={"cardinality": None, "minimum_weight": 0.0})
    return problem.with_(spec=spec, lower=lower, upper=upper)


def _relaxation(
    problem: Problem, state: FloatArray, least: float, most: int
) -> tuple[float, FloatArray] | None:
    """Return (value to minimise, weights) of a node's relaxation, None when it is infeasible."""
    inside = int((state == 1).sum())
    if inside > most:
        return None
    out = state == 0
    if inside == most:
        out = state != 1
    lower = np.where(state == 1, np.maximum(problem.lower, least), problem.lower)
    upper = np.where(out, 0.0, problem.upper)
    if (lower > upper + 1e-12).any() or lower.sum() > 1 + 1e-12 or upper.sum() < 1 - 1e-12:
        return None
    keep = np.flatnonzero(upper > 0)
    relaxed = _relaxed(problem, lower, upper)
    if len(keep) == 1 and not problem.rows and not problem.trades:
        weights = np.zeros(problem.size)
        weights[keep] = 1.0
    else:
        answer = _first_answer(relaxed)
        if answer is None:
            return None
        weights = answer
    value = objective(relaxed, weights)
    if value is None:
        raise EngineFailure("numerical", "the relaxation has no objective")
    if problem.spec.obj == "Sharpe" and value <= 0:
        # no choice below this node earns more than the risk-free rate
        return None
    return (value if problem.spec.obj == "MinRisk" else -value), weights


def _first_answer(relaxed: Problem) -> FloatArray | None:
    """Return the weights of the first engine that has some, None when one proves there are none."""
    last = EngineFailure("numerical", "the relaxation has no engine")
    for engine in (qp, lp, smooth, cuts, cone):
        if engine.covers(relaxed) is not None:
            continue
        try:
            return engine.solve(relaxed).weights
        except EngineFailure as failure:
            if failure.status == "infeasible":
                return None
            last = failure
    raise last
