"""Weights against the limits of their own spec, judged again from what was stored."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from portfolio_platform.optimization.spec import StrategySpec
from portfolio_platform.optimization.universe import chooses_cash

TOLERANCE = 1e-9
"""What a stored weight or a sum of them may be beyond a limit."""


def broken_limits(
    spec: StrategySpec,
    weights: Mapping[str, float],
    *,
    groups: Mapping[str, str],
    stable: Collection[str],
) -> list[str]:
    """Say in words which limits of a spec the weights break; nothing of the solver is believed.

    Parameters
    ----------
    weights : mapping of str to float
        Mint -> share of the portfolio, as stored.
    groups : mapping of str to str
        Mint -> its group; mints of no group are absent.
    stable : collection of str
        Mints of stablecoins. Where the spec sets a budget below 1 they hold the rest and have no
        bounds of their own.

    Returns
    -------
    list of str
        Empty when every limit holds within `TOLERANCE`.
    """
    found = []
    total = sum(weights.values())
    if not np.isfinite(list(weights.values())).all() or abs(total - 1) > TOLERANCE:
        found.append(f"weights sum to {total:.12g}")
    chosen = {
        mint: weight for mint, weight in weights.items() if chooses_cash(spec) or mint not in stable
    }

    def judge(name: str, value: float, lower: float | None, upper: float | None) -> None:
        if lower is not None and value < lower - TOLERANCE:
            found.append(f"{name} is {value:.12g}, below {lower:g}")
        if upper is not None and value > upper + TOLERANCE:
            found.append(f"{name} is {value:.12g}, above {upper:g}")

    for mint, weight in sorted(chosen.items()):
        own = spec.bounds.assets.get(mint)
        lower = spec.bounds.lower if own is None or own.lower is None else own.lower
        upper = spec.bounds.upper if own is None or own.upper is None else own.upper
        judge(mint, weight, lower, upper)
    if chooses_cash(spec):
        judge("stablecoins", sum(weights.get(mint, 0.0) for mint in stable), None, spec.cash_cap)
    else:
        judge("the invested share", sum(chosen.values()), None, spec.budget)
    for group in spec.groups:
        held = sum(weight for mint, weight in chosen.items() if groups.get(mint) == group.group)
        judge(f"group {group.group}", held, group.lower, group.upper)
    for row in spec.linear:
        value = sum(share * weights.get(mint, 0.0) for mint, share in row.coefficients.items())
        size = max(1.0, max(abs(share) for share in row.coefficients.values()))
        judge(
            f"constraint {row.name}",
            value / size,
            None if row.lower is None else row.lower / size,
            None if row.upper is None else row.upper / size,
        )
    held_ones = [weight for weight in chosen.values() if weight > 0]
    if spec.cardinality is not None and len(held_ones) > spec.cardinality:
        found.append(f"{len(held_ones)} assets are held, more than {spec.cardinality}")
    if spec.minimum_weight > 0 and held_ones:
        judge("the smallest holding", min(held_ones), spec.minimum_weight, None)
    return found


def turnover(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Share of the portfolio that changes hands between two weight sets, ½·Σ|w − v|."""
    mints = before.keys() | after.keys()
    return sum(abs(after.get(mint, 0.0) - before.get(mint, 0.0)) for mint in mints) / 2
