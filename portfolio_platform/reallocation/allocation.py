"""Sharing a total by weight under caps."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction


def water_fill(
    total: Fraction, weights: Mapping[str, Fraction], caps: Mapping[str, Fraction]
) -> dict[str, Fraction]:
    """Share `total` in proportion to `weights`, never above the caps.

    All assets that reach their cap in a pass are closed together and the remainder is shared
    again among the open ones, so the result does not depend on any order. What is left when all
    are capped stays unallocated: the sum is ``min(total, sum of caps)`` over positive weights.

    Raises
    ------
    ValueError
        A weight, a cap or the total is negative.
    """
    if total < 0 or any(w < 0 for w in weights.values()) or any(c < 0 for c in caps.values()):
        raise ValueError("total, weights and caps are not negative")
    shares = dict.fromkeys(weights, Fraction(0))
    open_assets = {asset for asset, weight in weights.items() if weight > 0}
    rest = Fraction(total)
    while open_assets and rest > 0:
        weight_sum = sum((weights[asset] for asset in open_assets), Fraction(0))
        full = {
            asset
            for asset in open_assets
            if asset in caps and rest * weights[asset] >= caps[asset] * weight_sum
        }
        if not full:
            for asset in open_assets:
                shares[asset] = rest * weights[asset] / weight_sum
            break
        for asset in full:
            shares[asset] = Fraction(caps[asset])
        rest -= sum((shares[asset] for asset in full), Fraction(0))
        open_assets -= full
    return shares
