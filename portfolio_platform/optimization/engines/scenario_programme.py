"""Scenario programmes in matrices: min cost·x with Ax >= right (or = right), x >= 0 or free.

Column blocks: weights w (or x = κw for a ratio), buys and sales when trading matters, κ, then the
columns of the measure. Returns are scaled to unit mean size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from portfolio_platform.optimization.panel import BoolArray, FloatArray
from portfolio_platform.optimization.problem import Problem


@dataclass(frozen=True)
class Scenarios:
    """The programme, its matrix row by row (a row is a column of the dual).

    Attributes
    ----------
    cost, free
        (columns,) cost and whether the sign is free.
    right, equal, price_cap
        (rows,) right side, whether the row is an equation, and the largest price of the row.
    unit, unit_bound
        Factors from the scaled programme back to x and to the objective.
    """

    cost: FloatArray
    free: BoolArray
    right: FloatArray
    equal: BoolArray
    price_cap: FloatArray
    start: NDArray[np.int32]
    index: NDArray[np.int32]
    value: FloatArray
    unit: float
    unit_bound: float


class _Builder:
    """Collects blocks of rows over named column blocks."""

    def __init__(self) -> None:
        self.offset: dict[str, int] = {}
        self.width: dict[str, int] = {}
        self.cost: list[FloatArray] = []
        self.free: list[BoolArray] = []
        self.blocks: list[dict[str, sparse.csr_array]] = []
        self.right: list[FloatArray] = []
        self.equal: list[BoolArray] = []
        self.cap: list[FloatArray] = []
        self.total = 0

    def columns(self, name: str, cost: FloatArray, free: bool | BoolArray = False) -> None:
        self.offset[name], self.width[name] = self.total, len(cost)
        self.total += len(cost)
        self.cost.append(np.asarray(cost, dtype=np.float64))
        self.free.append(np.broadcast_to(np.asarray(free), (len(cost),)))

    def rows(
        self,
        parts: dict[str, object],
        right: FloatArray,
        *,
        equal: bool = False,
        cap: float = np.inf,
    ) -> None:
        count = len(right)
        self.blocks.append(
            {
                name: sparse.csr_array(
                    np.atleast_2d(part) if isinstance(part, np.ndarray) else part
                )
                for name, part in parts.items()
            }
        )
        self.right.append(np.asarray(right, dtype=np.float64))
        self.equal.append(np.full(count, equal))
        self.cap.append(np.full(count, cap))

    def finish(self, unit: float, unit_bound: float) -> Scenarios:
        stacked = []
        for block in self.blocks:
            count = next(iter(block.values())).shape[0]
            parts = [
                block.get(name, sparse.csr_array((count, self.width[name]))) for name in self.offset
            ]
            stacked.append(sparse.hstack(parts, format="csr"))
        matrix = sparse.csr_array(sparse.vstack(stacked, format="csr"))
        return Scenarios(
            np.concatenate(self.cost),
            np.concatenate(self.free),
            np.concatenate(self.right),
            np.concatenate(self.equal),
            np.concatenate(self.cap),
            matrix.indptr.astype(np.int32),
            matrix.indices.astype(np.int32),
            matrix.data.astype(np.float64),
            unit,
            unit_bound,
        )


def constraint_builder(problem: Problem) -> tuple[_Builder, float, float]:
    """Return the columns and rows of everything but the measure, the unit of returns, and the
    charge of one unit of risk in the objective."""
    spec = problem.spec
    n, obj = problem.size, spec.obj
    size = float(np.mean(np.abs(problem.returns))) or 1.0
    mean, fee = problem.mean / size, problem.cost / size
    weight = {"MinRisk": 1.0, "Sharpe": 1.0, "Utility": spec.risk_aversion, "MaxRet": 0.0}[obj]
    charge = obj in {"Utility", "MaxRet"}
    build = _Builder()
    build.columns("w", -mean if charge else np.zeros(n), problem.lower < 0)
    if problem.trades:
        build.columns("trade", np.full(2 * n, fee if charge else 0.0))
    if obj == "Sharpe":
        build.columns("k", np.zeros(1))
    _budget_rows(build, problem, mean - problem.risk_free / size, fee)
    return build, size, weight


def scenarios(problem: Problem) -> Scenarios:
    """Build the programme of a problem with a scenario measure or the objective MaxRet."""
    build, size, weight = constraint_builder(problem)
    if weight > 0:
        returns, mean = problem.returns / size, problem.mean / size
        _measure(build, problem, returns, mean, problem.risk_free / size, weight)
    return build.finish(1.0, 1.0 if problem.spec.obj == "Sharpe" else size)


def _budget_rows(build: _Builder, problem: Problem, excess: FloatArray, fee: float) -> None:
    n = problem.size
    sharpe, split = problem.spec.obj == "Sharpe", problem.trades
    ones, identity = np.ones((1, n)), sparse.eye_array(n, format="csr")

    def bounded(part: object, side: FloatArray) -> None:
        """Add ``part·w >= side``, or ``part·x >= side·κ`` for a ratio."""
        if sharpe:
            build.rows({"w": part, "k": -side.reshape(-1, 1)}, np.zeros(len(side)))
        else:
            build.rows({"w": part}, side)

    if sharpe:
        build.rows({"w": ones, "k": -np.ones((1, 1))}, np.zeros(1), equal=True)
        parts: dict[str, object] = {"w": excess.reshape(1, -1)}
        if split:
            parts["trade"] = np.full((1, 2 * n), -fee)
        build.rows(parts, np.ones(1), equal=True)
    else:
        build.rows({"w": ones}, np.ones(1), equal=True)
    floor = np.flatnonzero(problem.lower != 0)
    if floor.size:
        bounded(identity[floor], problem.lower[floor])
    roof = np.flatnonzero(problem.upper < 1) if problem.spec.long_only else np.arange(n)
    if roof.size:
        bounded(-identity[roof], -problem.upper[roof])
    for row in problem.rows:
        if np.isfinite(row.lower):
            bounded(row.coefficients.reshape(1, -1), np.array([row.lower]))
        if np.isfinite(row.upper):
            bounded(-row.coefficients.reshape(1, -1), np.array([-row.upper]))
    if split and problem.current is not None:
        both = sparse.hstack([-identity, identity], format="csr")
        if sharpe:
            build.rows(
                {"w": identity, "trade": both, "k": -problem.current.reshape(-1, 1)},
                np.zeros(n),
                equal=True,
            )
        else:
            build.rows({"w": identity, "trade": both}, problem.current, equal=True)
        if problem.turnover is not None:
            trade = -np.ones((1, 2 * n))
            if sharpe:
                limit = np.array([[problem.turnover]])
                build.rows({"trade": trade, "k": limit}, np.zeros(1))
            else:
                build.rows({"trade": trade}, np.array([-problem.turnover]))


def _measure(
    build: _Builder,
    problem: Problem,
    returns: FloatArray,
    mean: FloatArray,
    free_rate: float,
    weight: float,
) -> None:
    """Add the columns and rows of the measure, charged with `weight`."""
    rm, tail = problem.spec.rm, problem.spec.tail
    rows = len(returns)
    zero, one = np.zeros(rows), np.ones((rows, 1))
    if rm in {"CVaR", "CVRG"}:
        build.columns("v", np.array([weight]), True)
        build.rows({"w": returns, "v": one}, zero, cap=weight / (tail.alpha * rows))
        if rm == "CVRG":
            beta = tail.alpha if tail.beta is None else tail.beta
            build.columns("v2", np.array([weight]), True)
            build.rows({"w": -returns, "v2": one}, zero, cap=weight / (beta * rows))
    elif rm in {"WR", "RG"}:
        build.columns("m", np.array([weight]), True)
        build.rows({"w": returns, "m": one}, zero)
        if rm == "RG":
            build.columns("m2", np.array([weight]), True)
            build.rows({"w": -returns, "m2": one}, zero)
    elif rm == "MAD":
        build.rows({"w": returns - mean}, zero, cap=weight / rows)
    elif rm == "FLPM":
        if problem.spec.obj == "Sharpe":
            parts: dict[str, object] = {"w": returns, "k": np.full((rows, 1), -free_rate)}
            build.rows(parts, zero, cap=weight / rows)
        else:
            build.rows({"w": returns}, np.full(rows, free_rate), cap=weight / rows)
    else:
        charge = np.full(rows, weight / rows) if rm == "ADD" else zero
        identity = sparse.eye_array(rows, format="csr")
        chain = sparse.csr_array(identity - sparse.eye_array(rows, k=-1, format="csr"))
        build.columns("u", charge)
        build.rows({"w": returns, "u": chain}, zero)
        if rm == "MDD":
            build.columns("d", np.array([weight]))
            build.rows({"u": -identity, "d": one}, zero)
        elif rm == "CDaR":
            build.columns("d", np.array([weight]), True)
            build.rows({"u": -identity, "d": one}, zero, cap=weight / (tail.alpha * rows))
