"""decide: the one step from known prices to weights, the same live and in the past."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from portfolio_platform.optimization import feasibility, posterior, registry
from portfolio_platform.optimization.checks import violation
from portfolio_platform.optimization.moments import Moments, estimate_moments
from portfolio_platform.optimization.objective import objective
from portfolio_platform.optimization.panel import FloatArray, Instant, PricePanel, instant
from portfolio_platform.optimization.problem import Problem, build
from portfolio_platform.optimization.solution import NoAnswer, Solution
from portfolio_platform.optimization.spec import StrategySpec


def decide(
    spec: StrategySpec,
    panel: PricePanel,
    as_of: Instant,
    *,
    current: Mapping[str, float] | None = None,
) -> Solution:
    """Decide the weights of `spec` at `as_of` from what `panel` knew by then.

    Parameters
    ----------
    spec
        The strategy.
    panel
        Prices; rows later than `as_of` are never looked at.
    as_of
        Aware datetime, or naive UTC ``datetime64``.
    current
        Weights held now; turnover and cost are measured from them.

    Returns
    -------
    Solution
        Weights with their certificate, or a typed outcome with its reason. The same inputs give
        the same bits, whatever the order of the panel's columns.
    """
    start = time.perf_counter()
    stamp = str(instant(as_of))
    try:
        if spec.model == "ensemble":
            from portfolio_platform.optimization.ensembles import decide_ensemble

            solution = decide_ensemble(spec, panel, as_of, current=current)
        else:
            moments = estimate_moments(spec, panel, as_of, current=current)
            solution = _solve(spec, moments)
    except NoAnswer as outcome:
        solution = _other_problem(spec, panel, as_of, current, outcome)
    return replace(solution, seconds=time.perf_counter() - start, as_of=stamp)


def solve(spec: StrategySpec, moments: Moments) -> Solution:
    """Solve `spec` on given moments: the optimisation without the data rules.

    Returns
    -------
    Solution
        As ``decide``; ``fallback`` is not consulted.
    """
    start = time.perf_counter()
    try:
        solution = _solve(spec, moments)
    except NoAnswer as outcome:
        solution = _failed(outcome)
    return replace(solution, seconds=time.perf_counter() - start)


class Decider:
    """Decides at many times with what was loaded for the first: same answers as ``decide``."""

    def __init__(self, spec: StrategySpec) -> None:
        self.spec = spec

    def decide(
        self,
        panel: PricePanel,
        as_of: Instant,
        current: Mapping[str, float] | None = None,
    ) -> Solution:
        """Return ``decide(spec, panel, as_of, current=current)``."""
        return decide(self.spec, panel, as_of, current=current)


def _solve(spec: StrategySpec, moments: Moments, *, only: str | None = None) -> Solution:
    moments = posterior.apply(spec, moments)
    problem = build(spec, moments)
    feasibility.check(problem)
    weights, raw, name, attempts = registry.run(problem, only=only)
    final = with_cash(spec, moments, weights)
    expected_return, volatility = _outlook(spec, problem, weights)
    value = objective(problem, weights)
    return Solution(
        status="optimal",
        weights=final,
        objective=raw.objective if value is None else value,
        gap=raw.gap,
        violation=max(violation(problem, weights), abs(sum(final.values()) - 1.0)),
        engine=name,
        solver=raw.solver,
        iterations=raw.iterations,
        attempts=attempts,
        universe=tuple(sorted(final)),
        excluded=moments.excluded,
        moments=moments.meta,
        expected_return=expected_return,
        volatility=volatility,
    )


def with_cash(spec: StrategySpec, moments: Moments, weights: FloatArray) -> dict[str, float]:
    """Return asset to weight of the whole portfolio: the budget's share and equal parts of cash."""
    final = dict(zip(moments.assets, (weights * spec.budget).tolist(), strict=True))
    for asset in moments.cash:
        final[asset] = (1.0 - spec.budget) / len(moments.cash)
    return dict(sorted(final.items()))


def _outlook(spec: StrategySpec, problem: Problem, weights: FloatArray) -> tuple[float, float]:
    """Return expected return and volatility of the whole portfolio, per year."""
    bars = spec.bars_per_year
    cash_return = (1.0 - spec.budget) * problem.risk_free
    mean = spec.budget * float(problem.mean @ weights) + cash_return
    variance = max(0.0, float(weights @ problem.covariance @ weights))
    return mean * bars, float(spec.budget * np.sqrt(variance * bars))


def _failed(outcome: NoAnswer) -> Solution:
    return Solution(
        status=outcome.status,
        reason=outcome.reason,
        attempts=outcome.attempts,
        universe=tuple(sorted(outcome.universe)),
        excluded=outcome.excluded,
    )


def _other_problem(
    spec: StrategySpec,
    panel: PricePanel,
    as_of: Instant,
    current: Mapping[str, float] | None,
    outcome: NoAnswer,
) -> Solution:
    """Answer with the alternatives the spec names, in order; say which one answered and why."""
    for name in spec.fallback:
        if name == "previous":
            total = sum(current.values()) if current else 0.0
            if current and abs(total - 1.0) <= 1e-9:
                return replace(
                    _failed(outcome),
                    status="optimal",
                    weights=dict(sorted(current.items())),
                    universe=tuple(sorted(current)),
                    violation=abs(total - 1.0),
                    engine="none",
                    fallback="previous",
                )
            continue
        other = decide(_alternative(spec, name), panel, as_of, current=current)
        if other.ok:
            return replace(
                other,
                fallback=name,
                reason=f"{outcome.status}: {outcome.reason}",
                attempts=outcome.attempts + other.attempts,
            )
    return _failed(outcome)


def _alternative(spec: StrategySpec, name: str) -> StrategySpec:
    data = spec.model_dump(
        include={
            "universe",
            "lookback",
            "bar_interval",
            "returns",
            "winsorize",
            "covariance",
            "risk_free_rate",
            "budget",
            "cash_cap",
            "time_limit",
        }
    )
    if name == "min_variance":
        keep = {"bounds", "groups", "linear"} if spec.model == "Classic" else set()
        return StrategySpec.model_validate(data | spec.model_dump(include=keep))
    return StrategySpec.model_validate(data | {"model": name})
