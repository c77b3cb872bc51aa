"""A plan on the recorded Whirlpools: real ticks, real depth, SAMO and SOL against USDC."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from portfolio_platform.amm import AmmPool
from portfolio_platform.reallocation import (
    Outcome,
    Plan,
    PlanSettings,
    Portfolio,
    Price,
    Reason,
    Token,
    plan,
    replay,
)
from portfolio_platform_tests.amm.recorded import whirlpool

pytestmark = pytest.mark.real_data
AS_OF = datetime(2022, 8, 6, 5, 47, tzinfo=UTC)


def recorded(
    real_data: Path, sol: int, samo: int, cash: int, **settings: object
) -> tuple[Plan, dict[str, AmmPool]]:
    pools = [whirlpool(real_data, "sol_usdc"), whirlpool(real_data, "samo_usdc")]
    sol_mint, samo_mint, usdc = pools[0].mint_a, pools[1].mint_a, pools[0].mint_b
    made = plan(
        Portfolio("recorded", usdc, {sol_mint: sol, samo_mint: samo}, cash),
        {sol_mint: 0.6, samo_mint: 0.3, usdc: 0.1},
        {pool.mint_a: Price(pool.spot_price()) for pool in pools},
        pools,
        PlanSettings.model_validate(settings),
        tokens={sol_mint: Token(9, "SOL"), samo_mint: Token(9, "SAMO"), usdc: Token(6, "USDC")},
        as_of=AS_OF,
    )
    return made, {pool.address: pool for pool in pools}


def test_plan_moves_the_recorded_pools_and_settles(real_data: Path) -> None:
    made, pools = recorded(real_data, 250 * 10**9, 10_000 * 10**9, 1_000 * 10**6)
    assert made.outcome is Outcome.REALLOCATION
    assert [trade.side for trade in made.trades] == ["sell", "buy"]
    sell, buy = made.trades
    assert sell.fill.impact * 10_000 <= 100
    sol_pool = pools[sell.fill.quotes[0].pool]
    assert sell.expected_out == sol_pool.quote_exact_in(sell.mint_in, sell.amount_in).amount_out
    assert buy.fill.quotes[0].crossed > 0
    assert made.summary.cost.basis == 0
    assert replay(made.inputs.to_json(), made.to_json()) is None


def test_what_the_samo_pool_cannot_take_is_named(real_data: Path) -> None:
    made, _ = recorded(real_data, 5_000 * 10**9, 0, 0)
    assert made.outcome is Outcome.FAILED
    assert made.reasons == (Reason.INSUFFICIENT_LIQUIDITY,)
    (failure,) = made.failures
    assert failure.side == "buy"
    assert failure.need is not None
    assert failure.available is not None
    assert 0 < failure.available < failure.need
    partial, _ = recorded(real_data, 5_000 * 10**9, 0, 0, min_fill=0)
    assert partial.outcome is Outcome.REALLOCATION
    assert partial.trades[1].amount_in == failure.available
    assert partial.trades[1].limited_by is Reason.IMPACT_LIMIT
    assert 99 < partial.trades[1].fill.impact * 10_000 <= 100
