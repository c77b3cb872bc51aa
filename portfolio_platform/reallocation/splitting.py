"""How to share one trade among several pools between the same two mints.

The best split equalises the marginal price after fees. For constant product pools with reserves
x, y and kept share g of the input it has the closed form ``d_k = S*r_k/R - x_k/g_k`` with
``r_k = sqrt(x_k*y_k/g_k)``, ``R = sum r_k`` and ``S = D + sum x_k/g_k``; pools with a negative
part are dropped and the rest is solved again. Other curves are met by bisection on the marginal
price.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

from portfolio_platform.amm import AmmPool, ConstantProductPool


def optimal_split(pools: Sequence[AmmPool], mint_in: str, amount: int) -> list[int]:
    """Return the part of `amount` for each pool; the parts sum to `amount`.

    The parts are exact up to rounding to base units. Pools must be open and hold liquidity.
    """
    if len(pools) == 1:
        return [amount]
    if all(
        isinstance(pool, ConstantProductPool)
        and pool.transfer_fee_a is None
        and pool.transfer_fee_b is None
        for pool in pools
    ):
        return _closed_form(pools, mint_in, amount)
    return _equal_marginal(pools, mint_in, amount)


def _closed_form(pools: Sequence[AmmPool], mint_in: str, amount: int) -> list[int]:
    curves: list[tuple[int, int]] = []
    for pool in pools:
        assert isinstance(pool, ConstantProductPool)
        x, y, kept, whole = pool.curve(mint_in)
        curves.append((x * whole // kept, isqrt((x * y * whole << 64) // kept)))
    parts = [0] * len(pools)
    open_pools = list(range(len(pools)))
    while True:
        total = amount + sum(curves[k][0] for k in open_pools)
        roots = sum(curves[k][1] for k in open_pools)
        trial = {k: total * curves[k][1] // roots - curves[k][0] for k in open_pools}
        kept_pools = [k for k in open_pools if trial[k] > 0]
        if len(kept_pools) == len(open_pools):
            break
        # Rounding can leave no positive part at all for an amount of a few units.
        open_pools = kept_pools or [max(open_pools, key=lambda k: (trial[k], -k))]
    for k in open_pools:
        parts[k] = trial[k]
    return _completed(parts, amount)


def _completed(parts: list[int], amount: int) -> list[int]:
    """Give what rounding left over, or took too much, to the largest part."""
    largest = max(range(len(parts)), key=lambda k: (parts[k], -k))
    parts[largest] += amount - sum(parts)
    return parts


def _equal_marginal(pools: Sequence[AmmPool], mint_in: str, amount: int) -> list[int]:
    roots = [pool.marginal_root(mint_in) for pool in pools]
    high = max(roots)

    def parts_at(root: int) -> list[int]:
        return [
            pool.input_to_root(mint_in, root) if own > root else 0
            for pool, own in zip(pools, roots, strict=True)
        ]

    low = high
    step = high >> 12
    upper = [0] * len(pools)
    lower = upper
    while sum(lower) < amount and low > 1:
        low = max(low - max(step, 1), 1)
        step *= 2
        lower = parts_at(low)
    while high - low > max(high >> 44, 1):
        middle = (high + low) // 2
        trial = parts_at(middle)
        if sum(trial) < amount:
            high, upper = middle, trial
        else:
            low, lower = middle, trial
    # Between the two prices lie at most a rounding and, for pools whose price moves in steps,
    # the whole of one step: fill it in order until the amount is reached.
    parts = list(upper)
    missing = amount - sum(parts)
    for k, limit in enumerate(lower):
        take = min(max(limit - parts[k], 0), missing)
        parts[k] += take
        missing -= take
    return _completed(parts, amount)
