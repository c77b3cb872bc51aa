"""What one trade would give now, without a portfolio around it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from portfolio_platform.amm import AmmPool
from portfolio_platform.amm.integers import BPS, U64_MAX
from portfolio_platform.reallocation.rationals import decimal_text
from portfolio_platform.reallocation.reasons import Reason
from portfolio_platform.reallocation.routing import Fill, PoolBook, fill
from portfolio_platform.reallocation.settings import USDC, WRAPPED_SOL
from portfolio_platform.reallocation.trades import min_out


@dataclass(frozen=True)
class SimulatedQuote:
    """Answer to a question for a price: a fill, or the typed refusal of it.

    Attributes
    ----------
    fill : Fill
        How far the pools take the amount; with a refusal only to show what there is.
    min_out : int
        Smallest acceptable output; 0 with a refusal.
    reason : Reason or None
        Why the amount is refused.
    """

    mint_in: str
    mint_out: str
    amount: int
    fill: Fill
    min_out: int
    reason: Reason | None

    @property
    def spot(self) -> Fraction | None:
        """Price before the trade along the route of the largest part, out per in."""
        if not self.fill.hops:
            return None
        price = Fraction(1)
        for hop in self.fill.hops:
            largest = max(hop, key=lambda quote: quote.amount_in)
            price *= largest.source.spot(largest.mint_in)
        return price

    def to_json(self) -> dict[str, Any]:
        """Return the answer as JSON; amounts are base units in decimal strings."""
        refused = self.reason is not None
        quotes = self.fill.quotes
        spot = self.spot
        return {
            "mint_in": self.mint_in,
            "mint_out": self.mint_out,
            "amount_in": str(self.amount),
            "amount_out": None if refused else str(self.fill.amount_out),
            "min_out": None if refused else str(self.min_out),
            "refused": self.reason and self.reason.value,
            "available_in": str(self.fill.amount_in),
            "impact_bps": decimal_text(self.fill.impact * BPS, 6) if quotes else None,
            "spot_price": None if spot is None else str(spot),
            "average_price": str(Fraction(self.fill.amount_out, self.fill.amount_in))
            if quotes
            else None,
            "crossed": sum(quote.crossed for quote in quotes),
            "hops": len(self.fill.hops),
            "legs": [quote.to_json() for quote in quotes],
            "refused_pools": dict(sorted(self.fill.refusals.items())),
        }


def simulate_quote(
    pools: Iterable[AmmPool],
    mint_in: str,
    mint_out: str,
    amount: int,
    *,
    slippage_bps: int = 50,
    max_impact_bps: int = BPS - 1,
    split: bool = True,
    intermediates: Iterable[str] = (WRAPPED_SOL, USDC),
) -> SimulatedQuote:
    """Sell `amount` base units of `mint_in` over the best route through the pools.

    Never raises for what the market cannot do: the answer then carries the reason and the
    largest amount that would go through.
    """
    if not 0 < amount <= U64_MAX:
        nothing = Fill((), amount, 0, 0, Reason.AMOUNT_OUT_OF_RANGE)
        return SimulatedQuote(mint_in, mint_out, amount, nothing, 0, Reason.AMOUNT_OUT_OF_RANGE)
    found = fill(
        PoolBook(pools),
        mint_in,
        mint_out,
        amount,
        max_impact_bps,
        split=split,
        intermediates=intermediates,
    )
    reason = None
    if found.amount_in < amount:
        reason = found.limited_by or Reason.INSUFFICIENT_LIQUIDITY
    worst = 0 if reason else min_out(found.amount_out, slippage_bps)
    return SimulatedQuote(mint_in, mint_out, amount, found, worst, reason)
