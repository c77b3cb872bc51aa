"""Each threshold of a portfolio changes its outcome, and only where it should."""

from dataclasses import replace
from datetime import timedelta
from fractions import Fraction

import pytest

from portfolio_platform.amm import ConstantProductPool
from portfolio_platform.reallocation import (
    Outcome,
    Outlook,
    PlanSettings,
    Portfolio,
    Price,
    Reason,
    Token,
    plan,
)
from portfolio_platform.reallocation.settings import WRAPPED_SOL
from portfolio_platform.reallocation.trades import max_in, min_out
from portfolio_platform_tests.reallocation.markets import (
    AS_OF,
    BALANCED,
    DRIFTED,
    TOKENS,
    executed,
    mids,
    planned,
    pool,
    pools,
)

SHALLOW = pool("SOL", 500_000_000_000, 75_000_000_000)


def test_cooldown_holds_until_its_last_second() -> None:
    settings = PlanSettings(cooldown_seconds=3600)
    for age, outcome in ((3599, Outcome.NO_REALLOCATION_NEEDED), (3600, Outcome.REALLOCATION)):
        result = planned(
            DRIFTED, 0, settings=settings, last_reallocation_at=AS_OF - timedelta(seconds=age)
        )
        assert result.outcome is outcome
    assert planned(DRIFTED, 0, settings=settings).outcome is Outcome.REALLOCATION


def test_within_the_band_comes_before_the_cooldown() -> None:
    settings = PlanSettings(cooldown_seconds=3600)
    result = planned(BALANCED, 0, settings=settings, last_reallocation_at=AS_OF)
    assert result.reasons == (Reason.WITHIN_BAND,)
    result = planned(DRIFTED, 0, settings=settings, last_reallocation_at=AS_OF)
    assert result.reasons == (Reason.COOLDOWN,)
    assert result.triggers


def test_benefit_must_exceed_the_simulated_cost() -> None:
    settings = PlanSettings(cost_vs_benefit=True)
    cost = planned(DRIFTED, 0).summary.cost.total
    for benefit, outcome in (
        (None, Outcome.NO_REALLOCATION_NEEDED),
        (cost, Outcome.NO_REALLOCATION_NEEDED),
        (cost + Fraction(1, 1000), Outcome.REALLOCATION),
    ):
        result = planned(DRIFTED, 0, settings=settings, expected_benefit=benefit)
        assert result.outcome is outcome
    held_back = planned(DRIFTED, 0, settings=settings)
    assert held_back.reasons == (Reason.COST_EXCEEDS_BENEFIT,)
    assert held_back.trades == ()


def outlook(sol: float, bonk: float) -> Outlook:
    return Outlook(
        ("BONK", "SOL"), (bonk, sol), ((0.0004, 0.0), (0.0, 0.0001)), periods_per_year=365
    )


def test_an_outlook_gives_the_benefit_where_none_is_named() -> None:
    # Towards a better asset it pays, towards a worse one it does not, at the same cost.
    good = PlanSettings(cost_vs_benefit=True, benefit_horizon_days=90)
    result = planned(DRIFTED, 0, settings=good, outlook=outlook(0.0, 0.01))
    assert result.outcome is Outcome.REALLOCATION
    benefit = result.summary.expected_benefit
    assert benefit is not None
    assert benefit > result.summary.cost.total
    weights = [
        {asset.mint: asset.weight for asset in state.assets}
        for state in (result.before, result.after)
    ]
    gain = 0.0
    for sign, held in zip((-1, 1), weights, strict=True):
        bonk, sol = float(held["BONK"] or 0), float(held["SOL"] or 0)
        gain += sign * 365 * (bonk * 0.01 - bonk**2 * 0.0004 - sol**2 * 0.0001)
    assert float(benefit) == pytest.approx(150_000_000_000 * gain * 90 / 365, rel=1e-8)
    bad = planned(DRIFTED, 0, settings=good, outlook=outlook(0.01, 0.0))
    assert bad.reasons == (Reason.COST_EXCEEDS_BENEFIT,)
    soon = PlanSettings(cost_vs_benefit=True, benefit_horizon_days="1/100")
    held_back = planned(DRIFTED, 0, settings=soon, outlook=outlook(0.0, 0.01))
    assert held_back.reasons == (Reason.COST_EXCEEDS_BENEFIT,)
    named = planned(DRIFTED, 0, settings=good, outlook=outlook(0.0, 0.01), expected_benefit=1)
    assert named.reasons == (Reason.COST_EXCEEDS_BENEFIT,)


def test_bands_are_per_portfolio() -> None:
    wide = PlanSettings(lower_band="0.7", upper_band="1.25")
    assert planned(DRIFTED, 0, settings=wide).outcome is Outcome.NO_REALLOCATION_NEEDED


def test_absolute_band_silences_small_assets_but_never_an_exit() -> None:
    # BONK is 0.5 % of the portfolio instead of 1 %: half its target, but little of the whole.
    weights = {"SOL": "69/100", "JUP": "3/10", "BONK": "1/100"}
    held = {"SOL": 693_333_333_333, "JUP": 56_250_000_000, "BONK": 5_000_000_000_000}
    assert planned(held, 0, weights=weights).outcome is Outcome.REALLOCATION
    banded = PlanSettings(abs_band_bps=100)
    result = planned(held, 0, weights=weights, settings=banded)
    assert result.reasons == (Reason.WITHIN_BAND,)
    gone = {"SOL": "7/10", "JUP": "3/10"}
    result = planned(held, 0, weights=gone, settings=banded)
    assert ("sell", "BONK") in [(trade.side, trade.asset) for trade in result.trades]
    quiet = PlanSettings(min_notional=2_000_000_000)
    result = planned(held, 0, weights=gone, settings=quiet)
    assert result.reasons == (Reason.BELOW_MIN_NOTIONAL,)


def test_partial_fill_takes_what_the_impact_limit_leaves() -> None:
    settings = PlanSettings(min_fill=0)
    result = planned(DRIFTED, 0, states=pools(SOL=SHALLOW), settings=settings)
    assert result.outcome is Outcome.REALLOCATION
    assert result.reasons == (Reason.IMPACT_LIMIT,)
    sell = result.trades[0]
    assert (sell.amount_in, sell.fill.wanted) == (5063162957, 100000000000)
    half = PlanSettings(min_fill="1/2")
    assert planned(DRIFTED, 0, states=pools(SOL=SHALLOW), settings=half).outcome is Outcome.FAILED


def test_partial_policy_leaves_out_what_fails_and_keeps_the_rest() -> None:
    settings = PlanSettings(policy="partial")
    result = planned(DRIFTED, 10_000_000_000, states=pools(SOL=SHALLOW), settings=settings)
    assert result.outcome is Outcome.REALLOCATION
    assert [failure.asset for failure in result.failures] == ["SOL"]
    assert {trade.asset for trade in result.trades} == {"BONK", "JUP"}
    nothing = planned(
        {"SOL": 10**12},
        0,
        weights={"USDC": 1},
        states=pools(SOL=SHALLOW),
        settings=settings,
    )
    assert nothing.outcome is Outcome.FAILED


def test_pool_caps_stop_before_the_impact_limit() -> None:
    settings = PlanSettings(pool_caps={"pool-SOL": 10_000_000_000}, min_fill=0)
    result = planned(DRIFTED, 0, settings=settings)
    sell = result.trades[0]
    assert sell.amount_in == 66_666_666_666  # at 0.15 one more would exceed the cap
    assert sell.limited_by is Reason.CAP_REACHED
    strict = PlanSettings(default_pool_cap=10_000_000_000)
    result = planned(DRIFTED, 0, settings=strict)
    assert result.outcome is Outcome.FAILED
    assert result.reasons[0] is Reason.CAP_REACHED


def test_a_pool_cap_counts_over_the_whole_plan() -> None:
    # JUP trades against SOL only, so its buy and the sell of SOL share the SOL/USDC pool.
    states = [
        *pools()[:1],
        pools()[2],
        ConstantProductPool(
            address="jup-sol",
            mint_a="JUP",
            mint_b="SOL",
            reserve_a=8_000_000_000_000,
            reserve_b=42_666_666_666_666,
        ),
    ]
    prices = mids(pools())
    cap = 20_000_000_000
    settings = PlanSettings(
        pool_caps={"pool-SOL": cap}, min_fill=0, intermediates=("SOL",), max_impact_bps=200
    )
    result = planned(DRIFTED, 0, states=states, prices=prices, settings=settings)
    through = sum(
        quote.amount_in * (prices["SOL"].value if quote.mint_in == "SOL" else 1)
        for step in result.steps
        if (quote := step.quote).pool == "pool-SOL"
    )
    assert len([step for step in result.steps if step.quote.pool == "pool-SOL"]) == 2
    assert cap * Fraction(99, 100) < through <= cap


def test_token_caps_share_the_excess_by_weight() -> None:
    settings = PlanSettings(token_caps={"SOL": "1/4"})
    result = planned(DRIFTED, 0, settings=settings)
    targets = {asset.mint: asset.target_weight for asset in result.before.assets}
    assert targets == {
        "SOL": Fraction(1, 4),
        "JUP": Fraction(3, 4) * Fraction(3, 5),
        "BONK": Fraction(3, 4) * Fraction(2, 5),
    }


def test_trade_cap_bounds_each_token() -> None:
    settings = PlanSettings(max_trade_notional=1_000_000_000, min_fill=0)
    result = planned(DRIFTED, 0, settings=settings)
    for trade in result.trades:
        price = 1 if trade.side == "buy" else Fraction(3, 20)
        assert trade.amount_in * price <= 1_000_000_000
        if trade.side == "sell":
            assert trade.limited_by is Reason.CAP_REACHED


def test_minimum_notional_drops_trades() -> None:
    settings = PlanSettings(min_notional=7_480_000_000)
    result = planned(DRIFTED, 0, settings=settings)
    assert {trade.side for trade in result.trades} == {"sell"}
    assert {skipped.asset for skipped in result.skipped} == {"JUP", "BONK"}
    larger = PlanSettings(min_notional=15_000_000_001)
    result = planned(DRIFTED, 0, settings=larger)
    assert result.outcome is Outcome.NO_REALLOCATION_NEEDED
    assert result.reasons == (Reason.BELOW_MIN_NOTIONAL,)


def test_slippage_bounds() -> None:
    for bps in (0, 50, 10_000):
        for trade in planned(DRIFTED, 0, settings=PlanSettings(slippage_bps=bps)).trades:
            assert trade.min_out == trade.expected_out * (10_000 - bps) // 10_000
    assert (min_out(999, 50), max_in(999, 50)) == (994, 1004)


def sol_portfolio() -> tuple[dict[str, int], dict[str, Token], list[ConstantProductPool]]:
    state = replace(pools()[0], mint_a=WRAPPED_SOL)
    assert isinstance(state, ConstantProductPool)
    return {WRAPPED_SOL: 10 * 10**9}, {**TOKENS, WRAPPED_SOL: Token(9, "SOL")}, [state]


def test_reserve_for_network_fees_is_neither_valued_nor_sold() -> None:
    held, tokens, states = sol_portfolio()
    settings = PlanSettings(sol_fee_reserve=10**8, network_fee_lamports=5_000)
    result = planned(held, 0, weights={"USDC": 1}, tokens=tokens, states=states, settings=settings)
    assert result.trades[0].amount_in == 10 * 10**9 - 10**8
    assert result.before.nav == (10 * 10**9 - 10**8) * Fraction(3, 20)
    assert result.summary.cost.network == 5_000 * Fraction(3, 20)
    holdings, cash, moved = executed(result)
    assert holdings[WRAPPED_SOL] == 10**8
    again = planned(
        holdings, cash, weights={"USDC": 1}, tokens=tokens, states=moved, settings=settings
    )
    assert again.outcome is Outcome.NO_REALLOCATION_NEEDED


def test_the_reserve_is_kept_where_sol_is_the_hub() -> None:
    state = ConstantProductPool(
        address="jup-sol",
        mint_a="JUP",
        mint_b=WRAPPED_SOL,
        reserve_a=8 * 10**15,
        reserve_b=4 * 10**16,
    )
    result = plan(
        Portfolio("p", WRAPPED_SOL, {}, 10**10),
        {"JUP": 1},
        {"JUP": Price(state.spot_price())},
        [state],
        PlanSettings(sol_fee_reserve=10**8),
        tokens={"JUP": Token(6, "JUP"), WRAPPED_SOL: Token(9, "SOL")},
        as_of=AS_OF,
    )
    assert result.before.nav == 10**10 - 10**8
    assert result.after.cash == 10**8


def test_a_reserve_too_small_for_the_steps_is_refused() -> None:
    held, tokens, states = sol_portfolio()
    settings = PlanSettings(sol_fee_reserve=4_999, network_fee_lamports=5_000)
    result = planned(held, 0, weights={"USDC": 1}, tokens=tokens, states=states, settings=settings)
    assert result.reasons == (Reason.FEE_RESERVE,)
    assert result.trades == ()


def test_a_reserve_that_fees_have_drawn_on_still_pays() -> None:
    _, tokens, states = sol_portfolio()
    settings = PlanSettings(sol_fee_reserve=10**8, network_fee_lamports=5_000)
    drawn = {WRAPPED_SOL: 10**8 - 40_000}
    cash = 10**10
    more = {"tokens": tokens, "states": states, "settings": settings}
    result = planned(drawn, cash, weights={WRAPPED_SOL: "1/2", "USDC": "1/2"}, **more)
    assert result.outcome is Outcome.REALLOCATION
    (buy,) = result.trades
    assert buy.side == "buy"
    summary = result.summary
    assert summary.nav_before == cash
    assert summary.nav_after is not None
    assert summary.cost.total == summary.nav_before - summary.nav_after + summary.cost.network
    gone = planned({WRAPPED_SOL: 4_999}, cash, weights={WRAPPED_SOL: 1}, **more)
    assert gone.reasons == (Reason.FEE_RESERVE,)
    (failure,) = gone.failures
    assert (failure.need, failure.available) == (5_000, 4_999)
    assert planned({}, cash, weights={WRAPPED_SOL: 1}, **more).reasons == (Reason.FEE_RESERVE,)


def test_routing_splits_and_can_be_switched_off() -> None:
    twin = pool("SOL", 50_000_000_000_000, 7_500_000_000_000, address="twin-SOL")
    states = [*pools(), twin]
    split = planned(DRIFTED, 0, states=states, prices=mids(pools()))
    whole = planned(
        DRIFTED, 0, states=states, prices=mids(pools()), settings=PlanSettings(routing=False)
    )
    sold, single = split.trades[0], whole.trades[0]
    assert [quote.amount_in for quote in sold.fill.quotes] == [50_000_000_000] * 2
    assert len(single.fill.quotes) == 1
    assert sold.expected_out > single.expected_out
    assert [step.number for step in split.steps] == list(range(1, len(split.steps) + 1))
    assert sum(step.min_out for step in split.steps[:2]) <= sold.min_out


def test_hub_weight_and_cash_buffer_are_kept() -> None:
    weights = {"SOL": "1/2", "USDC": "1/2"}
    result = planned({}, 10_000_000_000, weights=weights)
    assert result.after.cash == 5_000_000_000
    open_sum = PlanSettings(allow_cash_target=True)
    short = planned({}, 10_000_000_000, weights={"SOL": "1/2"}, settings=open_sum)
    assert short.after.cash == result.after.cash


@pytest.mark.parametrize("display", [150, "150", 150.0, Fraction(150)])
def test_prices_as_people_quote_them(display: object) -> None:
    assert Price.from_display(display, 9, 6).value == Fraction(3, 20)


def test_a_cap_that_leaves_dust_is_named_as_the_cap() -> None:
    result = planned(DRIFTED, 0, settings=PlanSettings(default_pool_cap=1))
    assert result.outcome is Outcome.FAILED
    assert set(result.reasons) == {Reason.CAP_REACHED}
