"""Ensembles: a strategy of strategies, weights of weights."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from portfolio_platform.optimization.estimators import covariance_matrix
from portfolio_platform.optimization.panel import Instant, PricePanel
from portfolio_platform.optimization.solution import Attempt, MomentsMeta, NoAnswer, Solution
from portfolio_platform.optimization.spec import StrategySpec


def decide_ensemble(
    spec: StrategySpec,
    panel: PricePanel,
    as_of: Instant,
    *,
    current: Mapping[str, float] | None = None,
) -> Solution:
    """Decide every member and mix their weights with the members' shares.

    A member without an answer makes the ensemble one without an answer: its share is not handed to
    the others in silence. Name a ``fallback`` in the member to have one.

    Raises
    ------
    NoAnswer
        With the status of the first member that has none, and its name.
    """
    from portfolio_platform.optimization.decide import decide

    total = sum(member.weight for member in spec.members)
    mixed: dict[str, float] = {}
    excluded: dict[str, str] = {}
    attempts: list[Attempt] = []
    mean = 0.0
    for member in spec.members:
        answer = decide(member.spec, panel, as_of, current=current)
        attempts += answer.attempts
        if not answer.ok:
            raise NoAnswer(
                answer.status,
                f"member {member.name}: {answer.reason}",
                universe=answer.universe,
                excluded=answer.excluded,
            )
        share = member.weight / total
        for asset, weight in answer.weights.items():
            mixed[asset] = mixed.get(asset, 0.0) + share * weight
        for asset, reason in answer.excluded.items():
            excluded.setdefault(asset, f"{member.name}: {reason}")
        mean += share * (answer.expected_return or 0.0)
    weights = dict(sorted(mixed.items()))
    excluded = {asset: reason for asset, reason in excluded.items() if asset not in weights}
    meta, volatility = _outlook(spec, panel.until(as_of), weights)
    return Solution(
        status="optimal",
        weights=weights,
        violation=abs(sum(weights.values()) - 1.0),
        engine="ensemble",
        attempts=tuple(attempts),
        universe=tuple(weights),
        excluded=excluded,
        expected_return=mean,
        volatility=volatility,
        moments=meta,
    )


def _outlook(
    spec: StrategySpec, panel: PricePanel, weights: dict[str, float]
) -> tuple[MomentsMeta, float]:
    """Return the sample covariance of what is held over the ensemble's lookback."""
    recent = panel.last(spec.lookback + 1)
    held = [asset for asset, weight in weights.items() if weight != 0]
    prices = recent.close[:, [panel.assets.index(asset) for asset in held]]
    rows = np.isfinite(prices).all(axis=1) & (prices > 0).all(axis=1)
    returns = prices[rows][1:] / prices[rows][:-1] - 1.0
    if len(returns) < 2:
        covariance = np.zeros((len(held), len(held)))
    else:
        covariance = covariance_matrix(returns, spec.covariance, "hist", spec.time_limit)
    vector = np.array([weights[asset] for asset in held])
    variance = max(0.0, float(vector @ covariance @ vector))
    meta = MomentsMeta(
        mean_method="members",
        covariance_method="hist",
        observations=len(returns),
        effective_observations=float(len(returns)),
        psd_repair=None,
        covariance=covariance,
        first=str(recent.times[0]),
        last=str(recent.times[-1]),
    )
    return meta, float(np.sqrt(variance * spec.bars_per_year))
