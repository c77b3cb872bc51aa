"""riskfolio itself, for what no faster engine covers, with the time limit of the spec enforced.

It runs in the kept process of ``worker``, which is killed at the limit.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from portfolio_platform.optimization.checks import EngineFailure, Raw
from portfolio_platform.optimization.engines import worker
from portfolio_platform.optimization.engines.rules import fill
from portfolio_platform.optimization.names import HIERARCHICAL_MODELS
from portfolio_platform.optimization.problem import Problem


def covers(problem: Problem) -> str | None:
    """Return why riskfolio cannot take the problem, or None."""
    spec = problem.spec
    if problem.model == "ensemble":
        return "not a riskfolio model"
    if not spec.long_only:
        return "negative bounds"
    if problem.trades:
        return "riskfolio limits turnover per asset, not in total, and knows no cost"
    if problem.combinatorial:
        return "cardinality needs a mixed-integer solver for every measure"
    return None


def solve(problem: Problem) -> Raw:
    """Ask riskfolio.

    Raises
    ------
    EngineFailure
        ``time_limit``; ``numerical`` when it has no answer, an incomplete one, or raises.
    """
    try:
        reply = worker.ask("weights", _request(problem), problem.spec.time_limit)
    except worker.Overdue as overdue:
        raise EngineFailure("time_limit", str(overdue)) from None
    except worker.Broken as broken:
        raise EngineFailure("numerical", str(broken)) from broken
    weights = reply["weights"]
    if weights is None:
        raise EngineFailure("numerical", reply["said"] or "riskfolio returned None")
    if not np.isfinite(weights).all():
        raise EngineFailure("numerical", "riskfolio returned weights that are not finite")
    if problem.model in HIERARCHICAL_MODELS:
        total = float(weights.sum())
        if abs(total - 1.0) > 1e-6 or weights.min() < 0:
            raise EngineFailure("numerical", f"riskfolio's weights sum to {total:.6g}")
        return Raw(fill(weights / total, problem.lower, problem.upper), "riskfolio")
    return Raw(weights, "clarabel via riskfolio", certificate="conic")


def _request(problem: Problem) -> dict[str, Any]:
    rows, limits = [], []
    identity = np.eye(problem.size)
    for place in np.flatnonzero(problem.upper < 1):
        rows.append(identity[place])
        limits.append(problem.upper[place])
    for place in np.flatnonzero(problem.lower > 0):
        rows.append(-identity[place])
        limits.append(-problem.lower[place])
    for row in problem.rows:
        if np.isfinite(row.upper):
            rows.append(row.coefficients)
            limits.append(row.upper)
        if np.isfinite(row.lower):
            rows.append(-row.coefficients)
            limits.append(-row.lower)
    return {
        "spec": problem.spec.model_dump(mode="json"),
        "assets": list(problem.assets),
        "returns": problem.returns,
        "mean": problem.mean,
        "covariance": problem.covariance,
        "risk_free": problem.risk_free,
        "risk_budget": problem.risk_budget,
        "rows": np.array(rows) if rows else np.empty((0, problem.size)),
        "limits": np.array(limits),
        "time_limit": problem.spec.time_limit,
    }
