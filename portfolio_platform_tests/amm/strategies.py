"""Random pools of every kind, between mints A and B."""

from __future__ import annotations

from hypothesis import strategies as st

from portfolio_platform.amm import (
    AmmPool,
    Bin,
    ConcentratedPool,
    ConstantProductPool,
    DlmmPool,
    FeeParameters,
    TransferFee,
    Volatility,
)
from portfolio_platform.amm.dlmm import bin_price
from portfolio_platform.amm.ticks import TickTable, sqrt_price_at_tick

AMOUNTS = st.integers(1, 10**15)
TRANSFER_FEES = st.none() | st.builds(
    TransferFee, bps=st.integers(0, 2_000), max=st.integers(0, 10**9)
)


@st.composite
def constant_product(draw: st.DrawFn) -> ConstantProductPool:
    return ConstantProductPool(
        address="cp",
        mint_a="A",
        mint_b="B",
        reserve_a=draw(st.integers(10**6, 10**15)),
        reserve_b=draw(st.integers(10**6, 10**15)),
        fee_numerator=draw(st.integers(0, 30_000)),
        fee_denominator=1_000_000,
        creator_fee_numerator=draw(st.sampled_from([0, 0, 500])),
        creator_fee_on=draw(st.sampled_from(["input", "a", "b"])),
        outside_fee_ppm=(120_000, 40_000),
    )


@st.composite
def concentrated(draw: st.DrawFn) -> ConcentratedPool:
    """A full-range position and up to four others, the price anywhere among them."""
    program: TickTable = draw(st.sampled_from(["whirlpool", "raydium_clmm"]))
    spacing = draw(st.sampled_from([1, 8, 64]))
    edge = 443_636 // spacing * spacing
    positions = [(-edge, edge, draw(st.integers(10**6, 10**12)))]
    for _ in range(draw(st.integers(0, 4))):
        low = draw(st.integers(-400, 399))
        high = draw(st.integers(low + 1, 400))
        positions.append((low * spacing, high * spacing, draw(st.integers(1, 10**13))))
    tick = draw(st.integers(-420, 420)) * spacing
    nets: dict[int, int] = {}
    for low, high, liquidity in positions:
        nets[low] = nets.get(low, 0) + liquidity
        nets[high] = nets.get(high, 0) - liquidity
    below = sqrt_price_at_tick(program, tick)
    above = sqrt_price_at_tick(program, tick + 1)
    return ConcentratedPool.of(
        address="clmm",
        mint_a="A",
        mint_b="B",
        program=program,
        sqrt_price=draw(st.integers(below, above - 1)),
        tick=tick,
        liquidity=sum(liquidity for low, high, liquidity in positions if low <= tick < high),
        fee_ppm=draw(st.integers(0, 20_000)),
        tick_spacing=spacing,
        liquidity_net=nets,
        protocol_share_bps=draw(st.integers(0, 2_500)),
        fund_share_bps=draw(st.sampled_from([0, 400])),
    )


@st.composite
def dlmm(draw: st.DrawFn) -> DlmmPool:
    step = draw(st.sampled_from([1, 10, 25, 100]))
    active = draw(st.integers(-200, 200))
    width = draw(st.integers(0, 30))
    sizes = st.integers(0, 10**12)
    bins = {
        bin_id: Bin(
            draw(sizes) if bin_id >= active else 0,
            draw(sizes) if bin_id <= active else 0,
            draw(st.sampled_from([0, bin_price(step, bin_id)])),
        )
        for bin_id in range(active - width, active + width + 1)
    }
    return DlmmPool.of(
        address="dlmm",
        mint_a="A",
        mint_b="B",
        active_id=active,
        bin_step=step,
        fees=FeeParameters(10_000, 30, 600, 5_000, 40_000, 350_000),
        volatility=Volatility(
            draw(st.integers(0, 350_000)),
            draw(st.integers(0, 200_000)),
            active + draw(st.integers(-5, 5)),
            1_000_000,
        ),
        now=1_000_000 + draw(st.integers(0, 1_000)),
        bins=bins,
        protocol_share_bps=draw(st.integers(0, 2_500)),
    )


@st.composite
def any_pool(draw: st.DrawFn) -> AmmPool:
    return draw(st.one_of(constant_product(), concentrated(), dlmm()))
