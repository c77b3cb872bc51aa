"""Trades and their steps, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from portfolio_platform.amm import Quote
from portfolio_platform.amm.integers import BPS, ceil_div
from portfolio_platform.reallocation.rationals import decimal_text
from portfolio_platform.reallocation.reasons import Reason
from portfolio_platform.reallocation.routing import Fill


def min_out(expected: int, slippage_bps: int) -> int:
    """Return the smallest acceptable output of an exact-in trade."""
    return expected * (BPS - slippage_bps) // BPS


def max_in(expected: int, slippage_bps: int) -> int:
    """Return the largest acceptable input of an exact-out trade."""
    return ceil_div(expected * (BPS + slippage_bps), BPS)


@dataclass(frozen=True)
class Cost:
    """Loss of value at the valuation prices, in hub base units, split so that it adds up.

    `fee` are pool and transfer fees, `impact` the movement of the pools, `basis` the distance
    between the spot prices of the pools and the valuation prices (negative where the pool is
    better), `rounding` what is lost to whole base units, `network` the fees of the network.
    """

    fee: Fraction = Fraction(0)
    impact: Fraction = Fraction(0)
    basis: Fraction = Fraction(0)
    rounding: Fraction = Fraction(0)
    network: Fraction = Fraction(0)

    @property
    def total(self) -> Fraction:
        """Sum of all parts."""
        return self.fee + self.impact + self.basis + self.rounding + self.network

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.fee + other.fee,
            self.impact + other.impact,
            self.basis + other.basis,
            self.rounding + other.rounding,
            self.network + other.network,
        )

    def to_json(self) -> dict[str, str]:
        """Return the parts and the total in hub base units, six places."""
        parts = ("fee", "impact", "basis", "rounding", "network", "total")
        return {part: decimal_text(getattr(self, part), 6) for part in parts}


@dataclass(frozen=True)
class Trade:
    """One change of one asset: a sell into the hub or a buy from it."""

    asset: str
    side: str
    fill: Fill
    min_out: int
    limited_by: Reason | None

    @property
    def mint_in(self) -> str:
        return self.fill.hops[0][0].mint_in

    @property
    def mint_out(self) -> str:
        return self.fill.hops[-1][0].mint_out

    @property
    def amount_in(self) -> int:
        """Base units sent."""
        return self.fill.amount_in

    @property
    def expected_out(self) -> int:
        """Base units received in the simulation."""
        return self.fill.amount_out

    @property
    def fee(self) -> int:
        """Pool fees taken of the input in the first hop, in base units of `mint_in`."""
        return sum(quote.fee for quote in self.fill.hops[0])

    def to_json(self) -> dict[str, Any]:
        """Return the trade as JSON; amounts are decimal strings."""
        return {
            "asset": self.asset,
            "side": self.side,
            "mint_in": self.mint_in,
            "mint_out": self.mint_out,
            "wanted_in": str(self.fill.wanted),
            "amount_in": str(self.amount_in),
            "expected_out": str(self.expected_out),
            "min_out": str(self.min_out),
            "fee": str(self.fee),
            "impact_bps": decimal_text(self.fill.impact * BPS, 6),
            "hops": len(self.fill.hops),
            "pools": [quote.pool for quote in self.fill.quotes],
            "limited_by": self.limited_by and self.limited_by.value,
            "refused_pools": dict(sorted(self.fill.refusals.items())),
        }


@dataclass(frozen=True)
class Step:
    """One swap against one pool, in the order of execution."""

    number: int
    trade: int
    asset: str
    side: str
    quote: Quote
    min_out: int

    def to_json(self) -> dict[str, Any]:
        """Return the step as JSON.

        `price_limit` is the worst acceptable price, base units out per base unit in, exact.
        """
        quote = self.quote
        return {
            "number": self.number,
            "trade": self.trade,
            "asset": self.asset,
            "side": self.side,
            "pool": quote.pool,
            "kind": quote.kind,
            "mint_in": quote.mint_in,
            "mint_out": quote.mint_out,
            "amount_in": str(quote.amount_in),
            "expected_out": str(quote.amount_out),
            "min_out": str(self.min_out),
            "fee": str(quote.fee),
            "fee_out": str(quote.fee_out),
            "transfer_fee_in": str(quote.transfer_fee_in),
            "transfer_fee_out": str(quote.transfer_fee_out),
            "impact_bps": decimal_text(quote.impact * BPS, 6),
            "crossed": quote.crossed,
            "price_limit": str(Fraction(self.min_out, quote.amount_in)),
        }


def steps_of(trades: tuple[Trade, ...], slippage_bps: int) -> tuple[Step, ...]:
    """Return the swaps of the trades in execution order, numbered from one."""
    steps: list[Step] = []
    for number, trade in enumerate(trades, start=1):
        for quote in trade.fill.quotes:
            steps.append(
                Step(
                    len(steps) + 1,
                    number,
                    trade.asset,
                    trade.side,
                    quote,
                    min_out(quote.amount_out, slippage_bps),
                )
            )
    return tuple(steps)


def cost_of(trade: Trade, values: Mapping[str, Fraction]) -> Cost:
    """Split the loss of one trade at valuation prices (hub base units per base unit).

    A mint on the way that has no valuation price is valued at the spot price of the pool that
    sells it; what it is worth cancels out over the two hops.
    """
    known = dict(values)
    for quote in reversed(trade.fill.quotes):
        if quote.mint_in not in known:
            known[quote.mint_in] = quote.source.spot(quote.mint_in) * known[quote.mint_out]
    total = Cost()
    for quote in trade.fill.quotes:
        price_in, price_out = known[quote.mint_in], known[quote.mint_out]
        spot = quote.source.spot(quote.mint_in)
        ideal = quote.net_in * spot * price_out
        lost = ideal * quote.impact
        fee = (quote.fee + quote.transfer_fee_in) * price_in + (
            quote.fee_out + quote.transfer_fee_out
        ) * price_out
        received = (quote.amount_out + quote.fee_out + quote.transfer_fee_out) * price_out
        total += Cost(
            fee=fee,
            impact=lost,
            basis=quote.net_in * price_in - ideal,
            rounding=ideal - lost - received,
        )
    return total
