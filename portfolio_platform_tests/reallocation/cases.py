"""Random portfolios, drawn by Hypothesis or by a seeded generator."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from portfolio_platform.amm import AmmPool, ConcentratedPool, ConstantProductPool
from portfolio_platform.amm.ticks import MIN_TICK, tick_at_sqrt_price
from portfolio_platform.reallocation import Plan, PlanInputs, PlanSettings, Portfolio, Price, Token
from portfolio_platform.reallocation.planner import compute
from portfolio_platform_tests.reallocation.markets import AS_OF, HUB

Pick = Callable[[int, int], int]
"""(low, high) -> an integer between, both included."""


@dataclass(frozen=True)
class Case:
    """A portfolio and its market; `single` when each asset has one pool, at its price."""

    holdings: dict[str, int]
    cash: int
    weights: dict[str, Fraction]
    pools: list[AmmPool]
    settings: PlanSettings
    single: bool

    def inputs(self, *, order: random.Random | None = None) -> PlanInputs:
        def mixed(values: dict[str, Any]) -> dict[str, Any]:
            items = list(values.items())
            if order is not None:
                order.shuffle(items)
            return dict(items)

        pools = list(self.pools)
        if order is not None:
            order.shuffle(pools)
        prices = {
            pool.mint_a: Price(pool.spot_price())
            for pool in sorted(self.pools, key=lambda pool: pool.address, reverse=True)
        }
        tokens = {mint: Token(6, mint) for mint in (*prices, HUB)}
        return PlanInputs.build(
            Portfolio("case", HUB, mixed(self.holdings), self.cash),
            mixed(self.weights),
            mixed(prices),
            pools,
            self.settings,
            tokens=mixed(tokens),
            as_of=AS_OF,
        )

    def planned(self, *, order: random.Random | None = None) -> Plan:
        return compute(self.inputs(order=order))

    def executed(self, made: Plan) -> Case:
        """The case after the steps of a plan, pools and holdings moved."""
        pools = {pool.address: pool for pool in self.pools}
        holdings, cash = dict(self.holdings), self.cash
        for step in made.steps:
            quote = step.quote
            pools[quote.pool] = pools[quote.pool].after(quote)
            for mint, change in (
                (quote.mint_in, -quote.amount_in),
                (quote.mint_out, quote.amount_out),
            ):
                if mint == HUB:
                    cash += change
                else:
                    holdings[mint] = holdings.get(mint, 0) + change
        return replace(self, pools=list(pools.values()), holdings=holdings, cash=cash)


def _log(pick: Pick, low: int, high: int) -> int:
    """Pick evenly among orders of magnitude, between 10**low and 10**high."""
    scale = 10 ** pick(low, high - 1)
    return pick(scale, 10 * scale)


def _full_range(address: str, mint: str, x: int, y: int, fee_ppm: int) -> ConcentratedPool:
    """A concentrated pool with about the reserves and the price of a constant product one."""
    root = int((Fraction(y, x) * 2**128).__ceil__() ** 0.5)
    liquidity = x * root >> 64
    return ConcentratedPool.of(
        address=address,
        mint_a=mint,
        mint_b=HUB,
        program="raydium_clmm",
        sqrt_price=root,
        tick=tick_at_sqrt_price("raydium_clmm", root),
        liquidity=liquidity,
        fee_ppm=fee_ppm,
        tick_spacing=1,
        liquidity_net={MIN_TICK: liquidity, -MIN_TICK: -liquidity},
    )


def _depth(pool: AmmPool) -> int:
    """Base units of the asset near the price, as a constant product pool holds them."""
    if isinstance(pool, ConcentratedPool):
        return (pool.liquidity << 64) // pool.sqrt_price
    assert isinstance(pool, ConstantProductPool)
    return pool.reserve_a


def case(pick: Pick) -> Case:
    """One to six assets in pools of 10^9 to 10^15 units, as the facts describe them."""
    count = pick(1, 6)
    single = pick(0, 2) > 0
    pools: list[AmmPool] = []
    holdings: dict[str, int] = {}
    parts: dict[str, int] = {}
    for k in range(count):
        mint = f"T{k}"
        x, y = _log(pick, 9, 15), _log(pick, 9, 14)
        bps = pick(1, 100)
        kind = pick(0, 3)
        if kind == 0:
            pools.append(_full_range(f"z-{mint}", mint, x, y, bps * 100))
        else:
            pools.append(
                ConstantProductPool(
                    address=f"z-{mint}",
                    mint_a=mint,
                    mint_b=HUB,
                    reserve_a=x,
                    reserve_b=y,
                    fee_numerator=bps,
                )
            )
        if not single and pick(0, 1):
            pools.append(
                ConstantProductPool(
                    address=f"a-{mint}",
                    mint_a=mint,
                    mint_b=HUB,
                    reserve_a=max(x * pick(980, 1020) // 1000, 1),
                    reserve_b=y,
                    fee_numerator=pick(1, 100),
                )
            )
        parts[mint] = pick(0, 10)
    own = {pool.mint_a: pool.spot_price() for pool in pools if pool.address[0] == "z"}
    # Mostly a size that the shallowest pool can take, now and then far more.
    depth = min(int(pool.spot_price() * _depth(pool)) for pool in pools)
    size = max(depth * pick(1, 100) // (10**4 if pick(0, 5) else 10**2), 10**4)
    for mint, price in own.items():
        if pick(0, 4):
            holdings[mint] = int(size * pick(1, 20) / 10 / price)
    total = sum(parts.values())
    invested = Fraction(pick(90, 100), 100) if total and pick(0, 9) else Fraction(0)
    weights = {
        mint: invested * part / total if total else Fraction(0) for mint, part in parts.items()
    }
    weights[HUB] = 1 - sum(weights.values())
    worth = sum((quantity * own[mint] for mint, quantity in holdings.items()), Fraction(0))
    cash = int(worth) * pick(0, 30) // 100 if worth and pick(0, 3) else size
    settings = PlanSettings(
        cash_buffer=int(worth) * pick(0, 5) // 100,
        min_notional=pick(0, 1) * int(worth) // 1000,
        min_fill=Fraction(pick(0, 1)),
        max_impact_bps=(50, 100, 1000)[pick(0, 2)],
        abs_band_bps=Fraction((0, 0, 50)[pick(0, 2)]),
    )
    return Case(holdings, cash, weights, pools, settings, single)


def seeded(seed: int) -> Case:
    return case(random.Random(seed).randint)
