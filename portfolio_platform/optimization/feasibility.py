"""Can any weights hold the constraints? If not, which few constraints conflict, in words."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem, Row, needs_mean
from portfolio_platform.optimization.solution import NoAnswer

_ROOM = 1e-9
#: Subsets of constraints larger than this are not searched one by one.
_LARGEST_SUBSET = 3


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
    if problem.rows or problem.trades:
        if _best(problem, np.zeros(problem.size), problem.rows, turnover=True) is None:
            raise _outcome(problem, "infeasible", _conflict(problem))
        if _hunts_excess(problem):
            excess = problem.mean - problem.risk_free
            best = _best(problem, excess, problem.rows, turnover=True, cost=problem.cost)
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


def _best(
    problem: Problem,
    gain: FloatArray,
    rows: tuple[Row, ...],
    *,
    turnover: bool,
    caps: bool = True,
    floors: bool = True,
    cost: float = 0.0,
) -> float | None:
    """Return max gain·w over the chosen constraints, or None when nothing is feasible."""
    from scipy.optimize import linprog

    count = problem.size
    low = problem.lower if floors else np.minimum(problem.lower, 0.0)
    high = problem.upper if caps else np.maximum(problem.upper, 1.0)
    limited = turnover and problem.turnover is not None
    split = problem.current is not None and (limited or cost > 0)
    width = 3 * count if split else count
    bounds = list(zip(low, high, strict=True)) + [(0.0, None)] * (width - count)
    above, limits = [], []
    for row in rows:
        if np.isfinite(row.upper):
            above.append(np.pad(row.coefficients, (0, width - count)))
            limits.append(row.upper)
        if np.isfinite(row.lower):
            above.append(np.pad(-row.coefficients, (0, width - count)))
            limits.append(-row.lower)
    equal = [np.concatenate([np.ones(count), np.zeros(width - count)])]
    sides = [1.0]
    if split and problem.current is not None:
        if limited and problem.turnover is not None:
            above.append(np.concatenate([np.zeros(count), np.ones(2 * count)]))
            limits.append(problem.turnover)
        identity = np.eye(count)
        equal.extend(np.hstack([identity, -identity, identity]))
        sides.extend(problem.current)
    answer = linprog(
        np.concatenate([-gain, np.full(width - count, cost)]),
        A_ub=np.array(above) if above else None,
        b_ub=np.array(limits) if limits else None,
        A_eq=np.array(equal),
        b_eq=np.array(sides),
        bounds=bounds,
        method="highs",
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
    scale = problem.spec.budget
    units: list[tuple[str, Row | str]] = [(_words(row, scale), row) for row in _sides(problem.rows)]
    if (problem.upper < 1).any():
        units.append((_bound_words(problem.upper * scale, "caps", "upper bounds"), "caps"))
    if (problem.lower > 0).any():
        units.append((_bound_words(problem.lower * scale, "floors", "lower bounds"), "floors"))
    if problem.turnover is not None:
        units.append((f"turnover ≤ {problem.turnover * scale:g} from the current weights", "turn"))

    def feasible(chosen: tuple[tuple[str, Row | str], ...]) -> bool:
        kinds = [unit for _, unit in chosen]
        rows = tuple(unit for unit in kinds if isinstance(unit, Row))
        return (
            _best(
                problem,
                np.zeros(problem.size),
                rows,
                turnover="turn" in kinds,
                caps="caps" in kinds,
                floors="floors" in kinds,
            )
            is not None
        )

    for size in range(1, min(_LARGEST_SUBSET, len(units)) + 1):
        for chosen in combinations(units, size):
            if not feasible(chosen):
                return "conflict: " + "; ".join(words for words, _ in chosen)
    left = list(units)
    for unit in units:
        without = tuple(other for other in left if other is not unit)
        if not feasible(without):
            left = list(without)
    return "conflict: " + "; ".join(words for words, _ in left)


def _bound_words(values: FloatArray, short: str, words: str) -> str:
    if np.ptp(values) == 0:
        return f"{short} of {values[0]:g} per asset"
    return f"{words} of single assets"
