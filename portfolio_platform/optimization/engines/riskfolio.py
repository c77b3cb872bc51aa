"""riskfolio itself, for what no faster engine covers, with the time limit of the spec enforced.

Models known to be slow run in a child process that is killed at the limit: a thread cannot stop a
native solver. The others run here, with the limit handed to the solver and checked afterwards.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from typing import Any

import numpy as np

from portfolio_platform.optimization.checks import EngineFailure, Raw
from portfolio_platform.optimization.engines.rules import fill
from portfolio_platform.optimization.names import HIERARCHICAL_MODELS
from portfolio_platform.optimization.problem import Problem

SLOW_MEASURES = frozenset(
    {"TG", "TGRG", "GMD", "RLVaR", "RLDaR", "RVRG", "KT", "SKT", "RLDaR_Rel", "EM", "ESM"}
)
SLOW_MODELS = frozenset({"OWA", "WC"})
SLOW_SIZE = 100


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
    if spec.model == "OWA" and spec.obj == "MaxRet":
        return None
    return None


def solve(problem: Problem) -> Raw:
    """Ask riskfolio.

    Raises
    ------
    EngineFailure
        ``time_limit``; ``numerical`` when it has no answer, an incomplete one, or raises.
    """
    request = _request(problem)
    spec = problem.spec
    slow = spec.rm in SLOW_MEASURES or problem.model in SLOW_MODELS or problem.size > SLOW_SIZE
    reply = _in_child(request, spec.time_limit) if slow else _here(request, spec.time_limit)
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


def _here(request: dict[str, Any], limit: float) -> dict[str, Any]:
    from portfolio_platform.optimization.engines import riskfolio_call

    start = time.perf_counter()
    try:
        reply = riskfolio_call.call(request)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        NameError,
        TypeError,
        ValueError,
    ) as error:
        raise EngineFailure("numerical", f"riskfolio: {type(error).__name__}: {error}") from error
    if time.perf_counter() - start > limit:
        raise EngineFailure("time_limit", f"riskfolio took longer than {limit:g} s")
    return reply


def _in_child(request: dict[str, Any], limit: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "portfolio_platform.optimization.engines.riskfolio_call"]
    try:
        done = subprocess.run(
            command, input=pickle.dumps(request), capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        raise EngineFailure("time_limit", f"riskfolio was stopped after {limit:g} s") from None
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise EngineFailure("numerical", f"riskfolio: {''.join(last)}")
    reply: dict[str, Any] = pickle.loads(done.stdout)
    return reply
