"""The registry: which engines cover a problem, in the order in which they are asked."""

from __future__ import annotations

import time
from importlib import import_module
from types import ModuleType

from portfolio_platform.optimization import checks, feasibility
from portfolio_platform.optimization.checks import EngineFailure, Raw
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem
from portfolio_platform.optimization.solution import Attempt, NoAnswer

#: Fastest first. Each engine says itself whether it covers a problem.
ENGINES = ("rules", "exact", "qp", "lp", "ulcer", "smooth", "cuts", "branch", "cone", "riskfolio")
#: Outcomes that are facts about the problem, not about the engine: no other engine is asked.
FINAL = {"infeasible", "unbounded", "no_positive_excess_return"}


def engine(name: str) -> ModuleType:
    """Import an engine on first use."""
    return import_module(f"portfolio_platform.optimization.engines.{name}")


def covering(problem: Problem) -> list[str]:
    """Return the names of the engines that cover `problem`, fastest first."""
    return [name for name in ENGINES if engine(name).covers(problem) is None]


def run(
    problem: Problem, *, only: str | None = None
) -> tuple[FloatArray, Raw, str, tuple[Attempt, ...]]:
    """Ask one engine after the other until an answer passes every check.

    Returns
    -------
    weights, raw, name, attempts
        Settled weights (n,), the engine's own answer, its name, and all attempts in order.

    Raises
    ------
    NoAnswer
        With the last failure, and `attempts` attached, when no engine has an acceptable answer.
    """
    attempts: list[Attempt] = []
    # lazily, so that an engine's libraries are imported only when the engines before it failed
    chosen = (
        iter([only])
        if only is not None
        else (name for name in ENGINES if engine(name).covers(problem) is None)
    )
    status, reason = "numerical", "no engine covers this combination of model and constraints"
    end = None
    for name in chosen:
        start = time.perf_counter()
        if end is None:
            # from here, so that importing the engines is not charged to the first of them
            end = start + problem.spec.time_limit
        if start >= end:
            status = "time_limit"
            break
        try:
            raw = engine(name).solve(_within(problem, end - start) if attempts else problem)
            weights = checks.settle(problem, raw.weights)
            checks.check_gap(raw)
        except EngineFailure as failure:
            status, reason = failure.status, failure.reason
            attempts.append(Attempt(name, status, time.perf_counter() - start, reason))
            if status == "infeasible" and not problem.combinatorial:
                # an engine's word is not enough: either the conflict is found, or the next is asked
                _explain(problem, attempts)
                status = "numerical"
            if status in FINAL:
                break
            continue
        attempts.append(Attempt(name, "optimal", time.perf_counter() - start))
        return weights, raw, name, tuple(attempts)
    _explain(problem, attempts)
    if status == "time_limit":
        # the same words each time: what an engine had left of the limit stands in its attempt
        reason = f"no answer within {problem.spec.time_limit:g} s"
    outcome = NoAnswer(
        status,  # type: ignore[arg-type]
        reason,
        universe=problem.assets,
        excluded=problem.excluded,
    )
    outcome.attempts = tuple(attempts)
    raise outcome


def _within(problem: Problem, seconds: float) -> Problem:
    """Return the problem with what is left of its time."""
    return problem.with_(spec=problem.spec.model_copy(update={"time_limit": seconds}))


def _explain(problem: Problem, attempts: list[Attempt]) -> None:
    try:
        feasibility.explain(problem)
    except NoAnswer as outcome:
        outcome.attempts = tuple(attempts)
        raise
