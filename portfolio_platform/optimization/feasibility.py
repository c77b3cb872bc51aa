"""Can any weights hold the constraints? If not, which few constraints conflict, in words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from portfolio_platform.optimization.panel import BoolArray, FloatArray
from portfolio_platform.optimization.problem import Problem, Row, needs_mean
from portfolio_platform.optimization.solution import NoAnswer

_ROOM = 1e-9
#: Subsets of constraints larger than this are not searched one by one.
_LARGEST_SUBSET = 3
#: Seconds for the question whether any choice of assets is feasible.
_PATIENCE = 5.0


def check(problem: Problem) -> None:
    """Refuse at once what needs no solver to see: bounds, minimum weight, excess return in a box.

    Raises
    ------
    NoAnswer
        ``infeasible`` or ``no_positive_excess_return``.
    """
    _check_box(problem)
    if problem.spec.minimum_weight > 0:
        _check_minimum_weight(problem)
    if _hunts_excess(problem) and problem.box:
        best = greedy(problem.mean - problem.risk_free, problem.lower, problem.upper)
        if best <= 0:
            raise _no_excess(problem)


def explain(problem: Problem) -> None:
    """Find out why engines found nothing, with linear programmes; return when there is an answer.

    Raises
    ------
    NoAnswer
        ``infeasible`` with the smallest conflicting set of constraints in words, or
        ``no_positive_excess_return``.
    """
    if problem.rows or problem.trades or problem.combinatorial:
        every = _Chosen.all(problem)
        if _best(problem, np.zeros(problem.size), every) is None:
            raise _outcome(problem, "infeasible", _conflict(problem))
        if _hunts_excess(problem):
            excess = problem.mean - problem.risk_free
            best = _best(problem, excess, every, cost=problem.cost)
            # an engine that found nothing beside a return of rounding size was right
            if best is None or best <= 1e-12 * float(np.abs(excess).max()):
                raise _no_excess(problem)


def _hunts_excess(problem: Problem) -> bool:
    spec = problem.spec
    return needs_mean(problem) and spec.obj == "Sharpe" and spec.kelly is None


def _no_excess(problem: Problem) -> NoAnswer:
    costs = " after trading costs" if problem.trades and problem.cost > 0 else ""
    yearly = problem.risk_free * problem.spec.bars_per_year
    return _outcome(
        problem,
        "no_positive_excess_return",
        f"no admissible weights have an expected return{costs} above the risk-free rate "
        f"({yearly:.4g} a year)",
    )


def greedy(gain: FloatArray, lower: FloatArray, upper: FloatArray) -> float:
    """Return max gain·w over Σw = 1 and bounds, by filling the best assets first."""
    weights = lower.astype(np.float64).copy()
    rest = 1.0 - weights.sum()
    for place in np.argsort(-gain, kind="stable"):
        step = min(rest, upper[place] - lower[place])
        weights[place] += step
        rest -= step
    return float(gain @ weights)


def _outcome(problem: Problem, status: str, reason: str) -> NoAnswer:
    return NoAnswer(
        status,  # type: ignore[arg-type]
        reason,
        universe=problem.assets,
        excluded=problem.excluded,
    )


def _check_box(problem: Problem) -> None:
    lower, upper, scale = problem.lower, problem.upper, problem.spec.budget
    wrong = np.flatnonzero(lower > upper + _ROOM)
    if wrong.size:
        place = int(wrong[0])
        raise _outcome(
            problem,
            "infeasible",
            f"{problem.assets[place]}: lower bound {lower[place] * scale:g} is above "
            f"upper bound {upper[place] * scale:g}",
        )
    if upper.sum() < 1 - _ROOM:
        total = float(upper.sum()) * scale
        raise _outcome(problem, "infeasible", f"caps sum to {total:g}, below {scale:g}")
    if lower.sum() > 1 + _ROOM:
        total = float(lower.sum()) * scale
        raise _outcome(problem, "infeasible", f"lower bounds sum to {total:g}, above {scale:g}")


def _check_minimum_weight(problem: Problem) -> None:
    spec = problem.spec
    least = spec.minimum_weight / spec.budget
    if least > problem.upper.max() + _ROOM:
        raise _outcome(
            problem, "infeasible", f"minimum weight {spec.minimum_weight:g} is above every cap"
        )


@dataclass(frozen=True)
class _Chosen:
    """Which constraints are looked at: all of them, or a subset that is asked for a conflict."""

    rows: tuple[Row, ...]
    turnover: bool
    caps: BoolArray
    floors: BoolArray
    cardinality: bool
    minimum: bool

    @classmethod
    def all(cls, problem: Problem) -> _Chosen:
        every = np.ones(problem.size, dtype=bool)
        return cls(problem.rows, True, every, every, True, True)


def _best(
    problem: Problem, gain: FloatArray, chosen: _Chosen, *, cost: float = 0.0
) -> float | None:
    """Return max gain·w over the chosen constraints, or None when nothing is feasible."""
    from scipy.optimize import linprog

    count, spec = problem.size, problem.spec
    low = np.where(chosen.floors, problem.lower, np.minimum(problem.lower, 0.0))
    high = np.where(chosen.caps, problem.upper, np.maximum(problem.upper, 1.0))
    limited = chosen.turnover and problem.turnover is not None
    split = problem.current is not None and (limited or cost > 0)
    most = spec.cardinality if chosen.cardinality else None
    least = spec.minimum_weight / spec.budget if chosen.minimum else 0.0
    trades, picks = 2 * count * split, count * (most is not None or least > 0)
    width = count + trades + picks
    bounds = list(zip(low, high, strict=True)) + [(0.0, None)] * trades + [(0.0, 1.0)] * picks
    above, limits = [], []

    def at_most(part: FloatArray, place: int, limit: float) -> None:
        above.append(np.pad(part, (place, width - place - len(part))))
        limits.append(limit)

    for row in chosen.rows:
        if np.isfinite(row.upper):
            at_most(row.coefficients, 0, row.upper)
        if np.isfinite(row.lower):
            at_most(-row.coefficients, 0, -row.lower)
    equal = [np.pad(np.ones(count), (0, width - count))]
    sides = [1.0]
    identity = np.eye(count)
    if split and problem.current is not None:
        if limited and problem.turnover is not None:
            at_most(np.ones(trades), count, problem.turnover)
        equal.extend(np.hstack([identity, -identity, identity, np.zeros((count, picks))]))
        sides.extend(problem.current)
    if picks:
        at_most(np.ones(count), width - count, count if most is None else float(most))
        for place in range(count):
            held = np.zeros(width)
            held[place], held[width - count + place] = 1.0, -min(high[place], 1.0)
            at_most(held, 0, 0.0)
            held = np.zeros(width)
            held[place], held[width - count + place] = -1.0, least
            at_most(held, 0, 0.0)
    answer = linprog(
        np.concatenate([-gain, np.full(trades, cost), np.zeros(picks)]),
        A_ub=np.array(above) if above else None,
        b_ub=np.array(limits) if limits else None,
        A_eq=np.array(equal),
        b_eq=np.array(sides),
        bounds=bounds,
        method="highs",
        integrality=np.repeat([0, 1], [width - picks, picks]) if picks else None,
        options={"time_limit": _PATIENCE} if picks else {},
    )
    if answer.status == 2:
        return None
    return float(-answer.fun) if answer.status == 0 else float("inf")


def _words(row: Row, scale: float) -> str:
    if row.lower == row.upper:
        return f"{row.name} = {row.lower * scale:g}"
    parts = []
    if np.isfinite(row.lower):
        parts.append(f"≥ {row.lower * scale:g}")
    if np.isfinite(row.upper):
        parts.append(f"≤ {row.upper * scale:g}")
    return f"{row.name} {' and '.join(parts)}"


def _sides(rows: tuple[Row, ...]) -> list[Row]:
    single = []
    for row in rows:
        if np.isfinite(row.lower):
            single.append(Row(row.name, row.coefficients, row.lower, np.inf))
        if np.isfinite(row.upper):
            single.append(Row(row.name, row.coefficients, -np.inf, row.upper))
    return single


def _conflict(problem: Problem) -> str:
    """Name a smallest set of constraints that no weights with Σw = 1 satisfy together."""
    spec, scale, count = problem.spec, problem.spec.budget, problem.size
    units: list[tuple[str, Row | str]] = [(_words(row, scale), row) for row in _sides(problem.rows)]
    if (problem.upper < 1).any():
        units.append(("", "caps"))
    if (problem.lower > 0).any():
        units.append(("", "floors"))
    if problem.turnover is not None:
        units.append((f"turnover ≤ {problem.turnover * scale:g} from the current weights", "turn"))
    if spec.cardinality is not None:
        units.append((f"cardinality ≤ {spec.cardinality}", "cardinality"))
    if spec.minimum_weight > 0:
        units.append((f"minimum weight {spec.minimum_weight:g}", "minimum"))

    def chosen(kinds: Sequence[Row | str], only: dict[str, BoolArray] | None = None) -> _Chosen:
        full = {kind: np.full(count, kind in kinds) for kind in ("caps", "floors")} | (only or {})
        return _Chosen(
            tuple(kind for kind in kinds if isinstance(kind, Row)),
            "turn" in kinds,
            full["caps"],
            full["floors"],
            "cardinality" in kinds,
            "minimum" in kinds,
        )

    def feasible(picked: _Chosen) -> bool:
        return _best(problem, np.zeros(count), picked) is not None

    left = _smallest(units, lambda kinds: feasible(chosen(kinds)))
    kinds = [kind for _, kind in left]
    parts = []
    # of bounds, too, only those that are needed are named
    only = {kind: np.full(count, kind in kinds) for kind in ("caps", "floors")}
    for words, kind in left:
        if isinstance(kind, str) and kind in only:
            values = problem.upper if kind == "caps" else problem.lower
            short = "caps" if kind == "caps" else "floors"
            if np.ptp(values) == 0:
                parts.append(f"{short} of {values[0] * scale:g} per asset")
                continue
            for place in range(count):
                only[kind][place] = False
                if feasible(chosen(kinds, only)):
                    only[kind][place] = True
            parts.append(_bound_words(problem, kind, only[kind]))
        else:
            parts.append(words)
    return "conflict: " + "; ".join(parts)


def _smallest(
    units: list[tuple[str, Row | str]], feasible: Callable[[Sequence[Row | str]], bool]
) -> list[tuple[str, Row | str]]:
    for size in range(1, min(_LARGEST_SUBSET, len(units)) + 1):
        for picked in combinations(units, size):
            if not feasible([kind for _, kind in picked]):
                return list(picked)
    left = list(units)
    for unit in units:
        without = [other for other in left if other is not unit]
        if not feasible([kind for _, kind in without]):
            left = without
    return left


def _bound_words(problem: Problem, kind: str, named: BoolArray) -> str:
    sign, values = ("≤", problem.upper) if kind == "caps" else ("≥", problem.lower)
    shown = values * problem.spec.budget
    return "; ".join(
        f"{problem.assets[place]} {sign} {shown[place]:g}" for place in np.flatnonzero(named)
    )
