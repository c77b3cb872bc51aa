"""The efficient frontier of a strategy's constraints, as data for a plot."""

from __future__ import annotations

from typing import Any

import numpy as np

from portfolio_platform.optimization import names, posterior, registry
from portfolio_platform.optimization.moments import Moments
from portfolio_platform.optimization.objective import risk_of
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem, Row, build
from portfolio_platform.optimization.solution import NoAnswer, Solution
from portfolio_platform.optimization.spec import StrategySpec

#: Measures a frontier is drawn in; another one of the spec is drawn in volatility.
DRAWN = frozenset(
    {"MV", "CVaR", "MAD", "CDaR", "WR", "FLPM", "MDD", "ADD", "RG", "CVRG"}
    | {"EVaR", "MSV", "SLPM", "UCI", "EDaR", "GMD"}
)


def efficient_frontier(
    spec: StrategySpec,
    moments: Moments,
    *,
    points: int = 20,
    solution: Solution | None = None,
) -> dict[str, Any]:
    """Return minimum-risk portfolios for returns between that of least risk and the largest.

    Parameters
    ----------
    spec, moments
        The strategy and its moments; bounds, groups and turnover of the spec hold on each point.
        Allocation rules (risk parity, HRP, …) are shown against the long-only frontier.
    points
        Number of points, at least 2.
    solution
        The chosen portfolio, to be marked.

    Returns
    -------
    dict
        JSON-safe: ``measure``; ``points`` with annual ``expected_return`` and ``volatility``, the
        measure per bar as ``risk`` and ``weights``; ``chosen`` in the same terms, or None;
        ``reason`` when there is no frontier.
    """
    drawn = _drawn(spec)
    empty: dict[str, Any] = {"measure": drawn.rm, "points": [], "chosen": None}
    try:
        moments = posterior.apply(spec, moments)
        problem = build(drawn, moments)
        least, *_ = registry.run(problem)
        best, *_ = registry.run(
            problem.with_(spec=drawn.model_copy(update={"obj": "MaxRet"}), cost=0.0)
        )
    except NoAnswer as outcome:
        return empty | {"reason": f"{outcome.status}: {outcome.reason}"}
    low, high = float(problem.mean @ least), float(problem.mean @ best)
    line = [_point(problem, least)]
    if high > low and points > 1:
        for target in np.linspace(low, high, points)[1:-1]:
            floor = Row("return", problem.mean / abs(high - low), target / abs(high - low), np.inf)
            try:
                weights, *_ = registry.run(problem.with_(rows=(*problem.rows, floor)))
            except NoAnswer:
                continue
            line.append(_point(problem, weights))
        line.append(_point(problem, best))
    return empty | {"points": line, "chosen": _chosen(problem, solution)}


def _drawn(spec: StrategySpec) -> StrategySpec:
    """Return the spec whose minimum risk is drawn: the constraints, MinRisk, a drawable measure."""
    rm = spec.rm if spec.rm in DRAWN else "MV"
    if spec.model not in names.PROGRAMME_MODELS - {"WC", "OWA"}:
        changes: dict[str, Any] = {"model": "Classic", "risk_budget": None}
        rm = "MV"
    else:
        changes = {"model": "Classic", "views": (), "factors": None}
    return spec.model_copy(
        update={
            **changes,
            "rm": rm,
            "obj": "MinRisk",
            "kelly": None,
            "cost_bps": 0.0,
            "cardinality": None,
            "minimum_weight": 0.0,
        }
    )


def _point(problem: Problem, weights: FloatArray) -> dict[str, Any]:
    bars, budget = problem.spec.bars_per_year, problem.spec.budget
    mean = budget * float(problem.mean @ weights) + (1 - budget) * problem.risk_free
    variance = max(0.0, float(weights @ problem.covariance @ weights))
    risk = risk_of(problem, weights)
    return {
        "expected_return": mean * bars,
        "volatility": budget * float(np.sqrt(variance * bars)),
        "risk": None if risk is None else budget * risk,
        "weights": {
            asset: budget * float(weight)
            for asset, weight in zip(problem.assets, weights, strict=True)
            if weight > 1e-9 or weight < -1e-9
        },
    }


def _chosen(problem: Problem, solution: Solution | None) -> dict[str, Any] | None:
    if solution is None or not solution.ok:
        return None
    held = np.array([solution.weights.get(asset, 0.0) for asset in problem.assets])
    return _point(problem, held / problem.spec.budget)
