"""The least ulcer index as a sparse quadratic programme in weights and drawdowns (PIQP).

With simple, uncompounded returns x_t and weights w the drawdown is the smallest d >= 0 with
``d_t >= d_{t-1} - x_t·w``, and the ulcer index is ``sqrt(Σd_t²/T)``: a programme of n + T variables
whose only dense block is the returns. As a second-order cone it costs several times more.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from portfolio_platform.optimization import certificates
from portfolio_platform.optimization.checks import EngineFailure, Raw, to_budget
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.problem import Problem

MODELS = frozenset({"Classic", "BL", "BLB", "FM"})
TOLERANCE = 1e-12


def covers(problem: Problem) -> str | None:
    """Return why this engine cannot take the problem, or None."""
    spec = problem.spec
    if problem.model not in MODELS or spec.rm != "UCI":
        return "not the ulcer index"
    if spec.obj != "MinRisk" or spec.kelly is not None:
        return "not the least risk"
    if problem.combinatorial or problem.trades:
        return "assets are chosen in or out, or trading is limited or paid for"
    return None


def solve(problem: Problem) -> Raw:
    """Solve with PIQP and certify with the Lagrangian bound of its multipliers.

    Raises
    ------
    EngineFailure
        ``infeasible`` or ``numerical``.
    """
    import piqp
    from scipy import sparse

    count, (length, _) = problem.size, problem.returns.shape
    unit = float(problem.returns.std()) or 1.0
    returns = problem.returns / unit
    rows = np.array([row.coefficients for row in problem.rows]).reshape(-1, count)
    solver: Any = piqp.SparseSolver()
    settings = solver.settings
    settings.eps_abs = settings.eps_rel = TOLERANCE
    settings.eps_duality_gap_abs = settings.eps_duality_gap_rel = TOLERANCE
    chain = sparse.eye_array(length) - sparse.eye_array(length, k=-1)
    inequalities = [[sparse.csc_array(returns), chain]]
    if len(rows):
        inequalities.append([sparse.csc_array(rows), sparse.csc_array((len(rows), length))])
    solver.setup(
        sparse.csc_matrix(
            sparse.diags_array(np.r_[np.zeros(count), np.full(length, 1.0 / length)])
        ),
        np.zeros(count + length),
        sparse.csc_matrix(np.r_[np.ones(count), np.zeros(length)][None, :]),
        np.ones(1),
        sparse.csc_matrix(sparse.block_array(inequalities)),
        np.r_[np.zeros(length), [row.lower for row in problem.rows]],
        np.r_[np.full(length, np.inf), [row.upper for row in problem.rows]],
        np.r_[problem.lower, np.zeros(length)],
        np.r_[problem.upper, np.full(length, np.inf)],
    )
    status, result = solver.solve(), solver.result
    if status == piqp.PIQP_PRIMAL_INFEASIBLE:
        raise EngineFailure("infeasible", "PIQP proved that no weights hold the constraints")
    if status not in {piqp.PIQP_SOLVED, piqp.PIQP_MAX_ITER_REACHED}:
        raise EngineFailure("numerical", f"PIQP: {status}")
    weights = to_budget(np.array(result.x)[:count], problem.lower, problem.upper)
    prices = np.asarray(result.z_l), np.asarray(result.z_u)
    gap = _gap(
        problem,
        returns,
        weights,
        np.maximum(prices[0][:length], 0.0),
        prices[1][length:] - prices[0][length:],
    )
    return Raw(weights, "piqp", certificate="qp", gap=gap, iterations=int(result.info.iter))


def _gap(
    problem: Problem,
    returns: FloatArray,
    weights: FloatArray,
    prices: FloatArray,
    rows: FloatArray,
) -> float:
    """Return a bound on (index − least index)/index from multipliers of the drawdown chain.

    Minimised over d >= 0 the Lagrangian of ``Σd²/2T`` leaves ``-T/2·Σ max(0, λ_t − λ_{t+1})²`` and
    a linear function of the weights; any λ >= 0 gives a valid bound.
    """
    length = len(returns)
    wealth = np.concatenate([[0.0], np.cumsum(returns @ weights)])
    depth = np.maximum.accumulate(wealth) - wealth
    reached = float(depth @ depth) / (2 * length)
    if reached <= 0:
        return 0.0
    slope = np.maximum(prices - np.append(prices[1:], 0.0), 0.0)
    bound = certificates.linear_bound(problem, -(prices @ returns), rows)
    bound -= length / 2 * float(slope @ slope)
    return 1.0 - float(np.sqrt(min(max(bound, 0.0) / reached, 1.0)))
