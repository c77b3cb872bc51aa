"""How much value can be moved at what cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from portfolio_platform.amm import AmmPool
from portfolio_platform.amm.integers import BPS, U64_MAX
from portfolio_platform.reallocation.inputs import Price
from portfolio_platform.reallocation.rationals import decimal_text, floor_of, ratio
from portfolio_platform.reallocation.routing import PoolBook, fill
from portfolio_platform.reallocation.settings import PlanSettings


@dataclass(frozen=True)
class CapacityPoint:
    """One size of the curve; values in hub base units.

    Attributes
    ----------
    size : int
        Value that is to be deployed.
    moved : int
        Hub units that the pools take within the limits.
    value : Fraction
        What was bought, at the valuation prices: the net value moved.
    limited : tuple of str
        Assets that could not be bought whole.
    """

    size: int
    moved: int
    value: Fraction
    limited: tuple[str, ...]

    @property
    def cost_bps(self) -> Fraction | None:
        """Loss of value per value moved, in basis points; None where nothing moves."""
        return (1 - self.value / self.moved) * BPS if self.moved else None

    def to_json(self) -> dict[str, Any]:
        """Return the point as JSON."""
        cost = self.cost_bps
        return {
            "size": str(self.size),
            "moved": str(self.moved),
            "value": decimal_text(self.value, 6),
            "cost_bps": None if cost is None else decimal_text(cost, 6),
            "limited": list(self.limited),
        }


def capacity_curve(
    pools: Iterable[AmmPool],
    hub: str,
    weights: Mapping[str, Any],
    prices: Mapping[str, Price],
    sizes: Sequence[int],
    settings: PlanSettings | None = None,
) -> tuple[CapacityPoint, ...]:
    """Deploy each size from cash into `weights` and measure what it costs.

    Every size starts from the same pool states; within a size the pools move from trade to trade.
    Impact limit, routing and the intermediates are those of `settings`; an amount that does not
    fit is left out and named.

    Raises
    ------
    KeyError
        A weighted mint has no price.
    """
    settings = settings or PlanSettings()
    book = PoolBook(pools)
    wanted = {mint: ratio(weights[mint]) for mint in sorted(weights) if mint != hub}
    points = []
    for size in sizes:
        state = book.copy()
        moved, value, limited = 0, Fraction(0), []
        for mint, weight in wanted.items():
            amount = min(floor_of(weight * size), U64_MAX)
            if amount <= 0:
                continue
            found = fill(
                state,
                hub,
                mint,
                amount,
                settings.max_impact_bps,
                split=settings.routing,
                intermediates=settings.intermediates if settings.two_hop else (),
            )
            if found.amount_in < amount:
                limited.append(mint)
            state.apply(found.quotes)
            moved += found.amount_in
            value += found.amount_out * prices[mint].value
        points.append(CapacityPoint(size, moved, value, tuple(limited)))
    return tuple(points)
