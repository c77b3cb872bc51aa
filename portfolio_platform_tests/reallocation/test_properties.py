"""What holds for every portfolio, every market and every setting."""

import json
import random
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_platform.reallocation import Outcome, Plan, PlanInputs, Reason, compute, replay
from portfolio_platform_tests.reallocation.cases import Case, case, seeded
from portfolio_platform_tests.reallocation.markets import HUB

SHORT, LONG = 80, 3_000
SEEDED = 3_000


@st.composite
def cases(draw: st.DrawFn) -> Case:
    return case(lambda low, high: draw(st.integers(low, high)))


def check_plan(drawn: Case, made: Plan) -> None:
    """Every promise of a single plan."""
    limit = drawn.settings.max_impact_bps
    holdings, cash = dict(drawn.holdings), drawn.cash
    if made.outcome is not Outcome.REALLOCATION:
        assert made.trades == made.steps == ()
        assert made.after == made.before
        assert made.reasons
        return
    sides = [trade.side for trade in made.trades]
    assert sides == sorted(sides, reverse=True), "sells come first"
    for trade in made.trades:
        assert 0 <= trade.min_out <= trade.expected_out
        assert 0 < trade.amount_in <= trade.fill.wanted
        for quote in trade.fill.quotes:
            assert quote.impact_num * 10_000 <= limit * quote.impact_den
        if trade.side == "sell":
            assert trade.amount_in <= holdings[trade.asset]
            holdings[trade.asset] -= trade.amount_in
            cash += trade.expected_out
        else:
            assert trade.amount_in <= cash
            cash -= trade.amount_in
            holdings[trade.asset] = holdings.get(trade.asset, 0) + trade.expected_out
        assert cash >= 0
    assert cash == made.after.cash >= min(drawn.settings.cash_buffer, drawn.cash)
    assert {asset.mint: asset.quantity for asset in made.after.assets if asset.quantity} == {
        mint: quantity for mint, quantity in holdings.items() if quantity
    }
    summary = made.summary
    assert summary.nav_before is not None
    assert summary.nav_after is not None
    assert summary.cost.total == summary.nav_before - summary.nav_after
    assert summary.cost.fee >= 0
    assert summary.cost.impact >= 0
    if drawn.single:
        assert summary.cost.basis == 0
        assert summary.nav_after <= summary.nav_before
    if drawn.settings.min_fill == 1:
        assert all(trade.amount_in == trade.fill.wanted for trade in made.trades)


def check_everything(drawn: Case, seed: int) -> Plan:
    made = drawn.planned()
    check_plan(drawn, made)
    shuffled = drawn.planned(order=random.Random(seed))
    assert shuffled.to_json() == made.to_json()
    assert shuffled.content_hash == made.content_hash
    moved = drawn.executed(made)
    assert moved.cash == made.after.cash
    assert {asset.mint: asset.quantity for asset in made.after.assets} == {
        asset.mint: moved.holdings.get(asset.mint, 0) for asset in made.after.assets
    }
    return made


@settings(max_examples=SHORT, suppress_health_check=list(HealthCheck), deadline=None)
@given(drawn=cases(), seed=st.integers(0, 10**6))
def test_promises_of_a_plan(drawn: Case, seed: int) -> None:
    check_everything(drawn, seed)


@pytest.mark.nightly
@settings(max_examples=LONG, suppress_health_check=list(HealthCheck), deadline=None)
@given(drawn=cases(), seed=st.integers(0, 10**6))
def test_promises_of_a_plan_long(drawn: Case, seed: int) -> None:
    check_everything(drawn, seed)


@settings(max_examples=60, suppress_health_check=list(HealthCheck), deadline=None)
@given(drawn=cases())
def test_a_stored_plan_is_computed_again_from_its_stored_inputs(drawn: Case) -> None:
    made = drawn.planned()
    inputs = json.loads(json.dumps(made.inputs.to_json()))
    stored = json.loads(json.dumps(made.to_json()))
    assert replay(inputs, stored) is None
    assert PlanInputs.from_json(inputs) == made.inputs
    assert compute(PlanInputs.from_json(inputs)).content_hash == made.content_hash


def why_not_done(first: Plan) -> str | None:
    """Why a second pass may still want to trade, None when it may not."""
    if any(trade.limited_by is not None for trade in first.trades):
        return "stopped by the impact limit"
    if any(skipped.reason is Reason.BELOW_MIN_NOTIONAL for skipped in first.skipped):
        return "stopped by the minimum notional"
    # A pool that moved by more than half the band moves the value of what it trades out of it.
    if any(quote.impact * 40 > 1 for trade in first.trades for quote in trade.fill.quotes):
        return "the trades moved the prices"
    return None


def check_convergence(seeds: range) -> Counter[str]:
    """Second passes: none needed, or a reason that is counted."""
    counts: Counter[str] = Counter()
    for seed in seeds:
        drawn = seeded(seed)
        # Shuffling and hashing cost more than planning.
        first = check_everything(drawn, seed) if seed % 10 == 0 else drawn.planned()
        check_plan(drawn, first)
        counts[first.outcome.value] += 1
        if first.outcome is not Outcome.REALLOCATION:
            continue
        second = drawn.executed(first).planned()
        if second.outcome is Outcome.NO_REALLOCATION_NEEDED:
            counts["settled"] += 1
            continue
        reason = why_not_done(first)
        assert reason is not None, (seed, second.outcome, second.reasons, second.triggers)
        counts[reason] += 1
    return counts


def test_three_thousand_portfolios_keep_every_promise_and_settle() -> None:
    counts = check_convergence(range(SEEDED))
    assert counts["settled"] > counts["reallocation"] * 3 / 4
    assert min(counts["reallocation"], counts["failed"], counts["no_reallocation_needed"]) > 50


@pytest.mark.nightly
def test_many_more_portfolios_settle() -> None:
    counts = check_convergence(range(SEEDED, 5 * SEEDED))
    assert counts["settled"] > counts["reallocation"] * 3 / 4


def test_atomic_plans_settle_within_two_passes() -> None:
    settled = 0
    for seed in range(150):
        drawn = seeded(seed)
        if drawn.settings.min_fill < 1 or not drawn.single:
            continue
        made = drawn.planned()
        for _ in range(2):
            if made.outcome is not Outcome.REALLOCATION:
                break
            drawn = drawn.executed(made)
            made = drawn.planned()
            settled += made.outcome is Outcome.NO_REALLOCATION_NEEDED
        assert made.outcome is not Outcome.REALLOCATION, seed
    assert settled > 10


def test_weights_of_the_hub_are_cash() -> None:
    drawn = seeded(1)
    assert drawn.weights[HUB] > 0
    assert HUB not in {asset.mint for asset in drawn.planned().before.assets}
