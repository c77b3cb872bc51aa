"""How fast plans, quotes and capacity curves are: prints figures, asserts nothing about time.

python benchmarks/reallocation.py
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from fractions import Fraction

from portfolio_platform.amm import (
    AmmPool,
    Bin,
    ConcentratedPool,
    ConstantProductPool,
    DlmmPool,
    FeeParameters,
    Volatility,
)
from portfolio_platform.amm.ticks import sqrt_price_at_tick
from portfolio_platform.reallocation import (
    PlanInputs,
    PlanSettings,
    Portfolio,
    Price,
    Token,
    capacity_curve,
    compute,
)

HUB = "USDC"
AS_OF = datetime(2025, 1, 1, tzinfo=UTC)
TOKENS = 30


def concentrated(mint: str, tick: int, draw: random.Random, depth: int) -> ConcentratedPool:
    """A Whirlpool whose depth falls off from the price, with 120 initialised ticks."""
    spacing = 64
    home = tick // spacing * spacing
    nets: dict[int, int] = {}
    for width in range(1, 61):
        piece = depth // 60 + draw.randrange(depth // 600 + 1)
        for edge, change in ((home - width * spacing, piece), (home + width * spacing, -piece)):
            nets[edge] = nets.get(edge, 0) + change
    arrays = home // (88 * spacing)
    return ConcentratedPool.of(
        address=f"clmm-{mint}",
        mint_a=mint,
        mint_b=HUB,
        program="whirlpool",
        sqrt_price=sqrt_price_at_tick("whirlpool", tick),
        tick=tick,
        liquidity=sum(net for edge, net in nets.items() if edge <= tick),
        fee_ppm=400,
        tick_spacing=spacing,
        liquidity_net=nets,
        array_starts=tuple((arrays + k) * 88 * spacing for k in range(-3, 4)),
    )


def binned(mint: str, price: Fraction, draw: random.Random, value: int) -> DlmmPool:
    """A DLMM pair of 100 bins of equal value around the price."""
    step = 10
    active = 0
    while Fraction(10_000 + step, 10_000) ** (active + 1) <= price:
        active += 1
    while Fraction(10_000 + step, 10_000) ** active > price:
        active -= 1
    bins = {
        bin_id: Bin(
            int(value / price) if bin_id >= active else 0,
            value + draw.randrange(value // 10) if bin_id <= active else 0,
        )
        for bin_id in range(active - 50, active + 51)
    }
    return DlmmPool.of(
        address=f"dlmm-{mint}",
        mint_a=mint,
        mint_b=HUB,
        active_id=active,
        bin_step=step,
        fees=FeeParameters(10_000, 30, 600, 5_000, 40_000, 350_000),
        volatility=Volatility(0, 0, active, 0),
        now=1_000,
        bins=bins,
    )


def market(draw: random.Random) -> tuple[list[AmmPool], dict[str, Price]]:
    """30 tokens, two pools each: constant product, and concentrated, binned or another."""
    pools: list[AmmPool] = []
    prices: dict[str, Price] = {}
    for number in range(TOKENS):
        mint = f"token-{number:02d}"
        tick = draw.randrange(-20_000, 2_000)
        root = sqrt_price_at_tick("whirlpool", tick)
        price = Fraction(root * root, 1 << 128)
        value = draw.randrange(2, 20) * 10**12
        pools.append(
            ConstantProductPool(
                address=f"cp-{mint}",
                mint_a=mint,
                mint_b=HUB,
                reserve_a=int(value / price),
                reserve_b=value,
            )
        )
        if number % 3 == 0:
            pools.append(concentrated(mint, tick, draw, value * 20))
        elif number % 3 == 1:
            pools.append(binned(mint, price, draw, value // 50))
        else:
            pools.append(
                ConstantProductPool(
                    address=f"second-{mint}",
                    mint_a=mint,
                    mint_b=HUB,
                    reserve_a=int(value * 3 / price),
                    reserve_b=value * 3,
                    fee_numerator=30,
                )
            )
        prices[mint] = Price(price)
    return pools, prices


def milliseconds(work: Callable[[], object], repeat: int) -> tuple[float, float]:
    """Median time on the clock and on the processor; they part where the machine is shared."""
    clock, processor = [], []
    for _ in range(repeat):
        started = time.perf_counter(), time.process_time()
        work()
        clock.append((time.perf_counter() - started[0]) * 1e3)
        processor.append((time.process_time() - started[1]) * 1e3)
    return statistics.median(clock), statistics.median(processor)


def shown(label: str, work: Callable[[], object], repeat: int) -> None:
    clock, processor = milliseconds(work, repeat)
    print(f"{label:28s} {clock:8.2f} ms on the clock, {processor:8.2f} ms of one core")


def main() -> None:
    draw = random.Random(7)
    pools, prices = market(draw)
    mints = sorted(prices)
    raw = [draw.randrange(1, 100) for _ in mints]
    weights = {mint: Fraction(part, sum(raw)) for mint, part in zip(mints, raw, strict=True)}
    holdings = {mint: int(draw.randrange(10, 60) * 10**9 / prices[mint].value) for mint in mints}
    tokens = {mint: Token(6, mint) for mint in (*mints, HUB)}
    inputs = PlanInputs.build(
        Portfolio("benchmark", HUB, holdings, 10**11),
        weights,
        prices,
        pools,
        PlanSettings(),
        tokens=tokens,
        as_of=AS_OF,
    )
    made = compute(inputs)
    split = sum(len(trade.fill.quotes) > 1 for trade in made.trades)
    print(
        f"market: {len(mints)} tokens, {len(pools)} pools; plan: {made.outcome.value}, "
        f"{len(made.trades)} trades, {split} of them split, {len(made.steps)} steps"
    )
    shown("plan", lambda: compute(inputs), 15)

    def whole() -> str:
        result = compute(PlanInputs.from_json(inputs.to_json()))
        return result.content_hash + result.inputs_hash

    shown("plan, JSON and both hashes", whole, 7)
    sizes = [10**9 * 2**k // 32 for k in range(10)] + [10**10 * k for k in range(1, 41)]
    shown(
        f"capacity curve, {len(sizes)} sizes",
        lambda: capacity_curve(pools, HUB, weights, prices, sizes),
        3,
    )
    for point in capacity_curve(pools, HUB, weights, prices, sizes)[9::8]:
        cost = point.cost_bps
        print(
            f"    {point.size / 1e6:14,.0f} USDC  {float(cost) if cost else 0:8.2f} bps  "
            f"{len(point.limited)} limited"
        )
    by_kind = {pool.kind: pool for pool in reversed(pools)}
    for kind, pool in sorted(by_kind.items()):
        for label, amount in (("inside", 10**8), ("across", 5 * 10**11)):
            count = 20_000
            started = time.process_time()
            for k in range(count):
                quote = pool.quote_exact_in(HUB, amount + k)
            rate = count / (time.process_time() - started)
            print(f"{kind} quotes, {label} ({quote.crossed} crossed): {rate:,.0f} per core second")


if __name__ == "__main__":
    main()
