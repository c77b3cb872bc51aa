"""What a portfolio's risk is made of: contributions, tail, drawdown, diversification."""

from __future__ import annotations

from typing import Any

import numpy as np

from portfolio_platform.optimization import measures
from portfolio_platform.optimization.moments import Moments
from portfolio_platform.optimization.panel import FloatArray
from portfolio_platform.optimization.solution import Solution
from portfolio_platform.optimization.spec import StrategySpec


def risk_report(spec: StrategySpec, moments: Moments, solution: Solution) -> dict[str, Any]:
    """Return the risk of a solution in numbers, JSON-safe.

    Volatility and expected return are per year; CVaR, VaR and drawdown are of one bar's scenarios
    over the lookback at today's weights.

    - ``contributions``: wᵢ(Sw)ᵢ/wᵀSw, summing to 1 (Euler; Roncalli 2013).
    - ``diversification_ratio``: Σwᵢσᵢ/σ(w) (Choueifaty and Coignard 2008).
    - ``effective_bets``: exp of the entropy of the variance shares of the principal components
      (Meucci 2009).
    - ``effective_assets``: 1/Σw².
    """
    if not solution.ok:
        return {"status": solution.status, "reason": solution.reason}
    weights = np.array([solution.weights.get(asset, 0.0) for asset in moments.assets])
    covariance = moments.covariance
    slope = covariance @ weights
    variance = float(weights @ slope)
    tail = spec.tail
    scenarios = np.nan_to_num(moments.returns) @ weights
    bars = spec.bars_per_year
    everything = np.array(list(solution.weights.values()))
    deviation = float(np.sqrt(max(variance, 0.0)))
    parts = weights * slope / variance if variance > 0 else np.zeros_like(weights)
    share = np.abs(weights) @ np.sqrt(np.diag(covariance))
    return {
        "status": solution.status,
        "expected_return": solution.expected_return,
        "volatility": deviation * float(np.sqrt(bars)),
        "value_at_risk": float(
            np.sort(-scenarios)[::-1][int(np.floor(tail.alpha * len(scenarios)))]
        ),
        "conditional_value_at_risk": measures.conditional_value_at_risk(scenarios, tail.alpha),
        "tail_probability": tail.alpha,
        "maximum_drawdown": _compounded_drawdown(scenarios),
        "contributions": dict(zip(moments.assets, parts.tolist(), strict=True)),
        "group_weights": _by_group(moments, weights),
        "group_contributions": _by_group(moments, parts),
        "diversification_ratio": float(share / deviation) if deviation > 0 else None,
        "effective_bets": _effective_bets(covariance, weights),
        "effective_assets": float(1.0 / (everything @ everything)),
        "largest_weight": float(everything.max()),
        "cash": float(sum(solution.weights.get(asset, 0.0) for asset in moments.cash)),
    }


def _compounded_drawdown(x: FloatArray) -> float:
    wealth = np.concatenate([[1.0], np.cumprod(1.0 + x)])
    return float((1.0 - wealth / np.maximum.accumulate(wealth)).max())


def _by_group(moments: Moments, values: FloatArray) -> dict[str, float]:
    sums: dict[str, float] = {}
    for group, value in zip(moments.groups, values, strict=True):
        name = group or "other"
        sums[name] = sums.get(name, 0.0) + float(value)
    return dict(sorted(sums.items()))


def _effective_bets(covariance: FloatArray, weights: FloatArray) -> float | None:
    values, vectors = np.linalg.eigh(covariance)
    shares = np.maximum(values, 0.0) * (vectors.T @ weights) ** 2
    total = float(shares.sum())
    if total <= 0:
        return None
    shares = shares[shares > 0] / total
    return float(np.exp(-(shares * np.log(shares)).sum()))
