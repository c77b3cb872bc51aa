"""Bad input: a typed reason each, nothing traded, the current portfolio still shown."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from portfolio_platform.amm import TransferFee
from portfolio_platform.reallocation import (
    Outcome,
    Plan,
    PlanSettings,
    Price,
    Reason,
    SnapshotInfo,
    Token,
)
from portfolio_platform.reallocation.settings import WRAPPED_SOL
from portfolio_platform_tests.reallocation.markets import (
    AS_OF,
    BALANCED,
    DRIFTED,
    TOKENS,
    mids,
    planned,
    pool,
    pools,
)

FEE = TransferFee(50, 5_000)


def refused(result: Plan, reason: Reason, *, shown: dict[str, int] = DRIFTED) -> Plan:
    assert result.outcome is Outcome.FAILED
    assert reason in result.reasons
    assert reason in {failure.reason for failure in result.failures}
    assert result.trades == result.steps == ()
    assert result.after == result.before
    document = result.to_json()
    assert {a["mint"]: int(a["quantity"]) for a in document["before"]["assets"]} == shown
    assert document["failures"]
    assert all(failure["detail"] for failure in document["failures"])
    return result


def paused() -> list[Any]:
    return pools(SOL=pool("SOL", 50_000_000_000_000, 7_500_000_000_000, paused=True))


def empty() -> list[Any]:
    return pools(SOL=pool("SOL", 50_000_000_000_000, 0))


def test_empty_portfolio() -> None:
    refused(planned({}, 0), Reason.EMPTY_PORTFOLIO, shown={"SOL": 0, "JUP": 0, "BONK": 0})


def test_unknown_token() -> None:
    held = DRIFTED | {"SPAM": 5}
    result = refused(planned(held, 0), Reason.UNKNOWN_TOKEN, shown=held)
    assert {failure.asset for failure in result.failures} == {"SPAM"}
    assert result.before.nav is None


def test_missing_decimals() -> None:
    tokens = TOKENS | {"JUP": Token(None, "JUP")}
    result = refused(planned(DRIFTED, 0, tokens=tokens), Reason.DECIMALS_MISSING)
    assert result.failures[0].asset == "JUP"


def test_missing_price() -> None:
    prices = mids(pools())
    del prices["JUP"]
    result = refused(planned(DRIFTED, 0, prices=prices), Reason.PRICE_MISSING)
    assert result.before.nav is None
    shown = {a["mint"]: a["value"] for a in result.to_json()["before"]["assets"]}
    assert shown["JUP"] is None
    assert shown["SOL"] == "90000000000.000000"


def test_a_price_of_zero_is_no_price() -> None:
    prices = mids(pools()) | {"JUP": Price(0 * mids(pools())["JUP"].value)}
    refused(planned(DRIFTED, 0, prices=prices), Reason.PRICE_MISSING)


@pytest.mark.parametrize(
    "weights",
    [
        {"SOL": "1/2", "JUP": "3/10"},
        {"SOL": "1/2", "JUP": "3/10", "BONK": "3/10"},
        {"SOL": "6/5", "JUP": "-1/5", "BONK": 0},
        {},
    ],
)
def test_targets_that_do_not_sum_to_one(weights: dict[str, str]) -> None:
    refused(planned(DRIFTED, 0, weights=weights), Reason.TARGETS_NOT_NORMALISED)


def test_float_weights_that_sum_to_one_within_1e_9_are_accepted() -> None:
    weights = {"SOL": 0.1 + 0.2 + 0.2, "JUP": 0.3 - 4e-10, "BONK": 0.2}
    assert planned(DRIFTED, 0, weights=weights).outcome is Outcome.REALLOCATION


def test_weights_for_a_token_that_no_pool_trades() -> None:
    result = refused(planned(DRIFTED, 0, states=pools()[:2], prices=mids(pools())), Reason.NO_POOL)
    (failure,) = result.failures
    assert (failure.asset, failure.side, failure.available) == ("BONK", "buy", 0)


def test_paused_pool() -> None:
    result = refused(planned(DRIFTED, 0, states=paused()), Reason.POOL_PAUSED)
    assert "pool-SOL: pool_paused" in result.failures[0].detail


def test_pool_without_liquidity() -> None:
    prices = mids(pools())
    refused(planned(DRIFTED, 0, states=empty(), prices=prices), Reason.ZERO_LIQUIDITY)


def test_frozen_token_account() -> None:
    result = refused(planned(DRIFTED, 0, frozen=frozenset({"SOL"})), Reason.ACCOUNT_FROZEN)
    assert {failure.asset for failure in result.failures} == {"SOL"}
    result = refused(planned(DRIFTED, 0, frozen=frozenset({"USDC"})), Reason.ACCOUNT_FROZEN)
    assert {failure.asset for failure in result.failures} == {"SOL"}


def test_transfer_fee_mint() -> None:
    tokens = TOKENS | {"JUP": replace(TOKENS["JUP"], transfer_fee=FEE)}
    refused(planned(DRIFTED, 0, tokens=tokens), Reason.TRANSFER_FEE_MINT)


def test_transfer_fee_mint_that_is_allowed_is_priced_with_its_fee() -> None:
    tokens = TOKENS | {"JUP": replace(TOKENS["JUP"], transfer_fee=FEE)}
    settings = PlanSettings(allow_transfer_fee_mints=True)
    taxed = pools(JUP=pool("JUP", 8_000_000_000_000, 6_400_000_000_000, transfer_fee_a=FEE))
    result = planned(DRIFTED, 0, tokens=tokens, states=taxed, settings=settings)
    plain = planned(DRIFTED, 0)
    bought = {trade.asset: trade.expected_out for trade in result.trades}
    before = {trade.asset: trade.expected_out for trade in plain.trades}
    assert bought["JUP"] == before["JUP"] - 5_000
    assert result.summary.cost.fee > plain.summary.cost.fee


def test_a_pool_that_does_not_know_the_transfer_fee_is_not_used() -> None:
    tokens = TOKENS | {"JUP": replace(TOKENS["JUP"], transfer_fee=FEE)}
    settings = PlanSettings(allow_transfer_fee_mints=True)
    refused(planned(DRIFTED, 0, tokens=tokens, settings=settings), Reason.TRANSFER_FEE_MINT)


@pytest.mark.parametrize("amount", [2**64, -1])
def test_amounts_beyond_64_bits(amount: int) -> None:
    held = DRIFTED | {"SOL": amount}
    refused(planned(held, 0), Reason.AMOUNT_OUT_OF_RANGE, shown=held)
    refused(planned(DRIFTED, amount), Reason.AMOUNT_OUT_OF_RANGE)


def test_accounts_of_different_slots() -> None:
    spread = SnapshotInfo(100, 101)
    refused(planned(DRIFTED, 0, snapshot=spread), Reason.SNAPSHOT_INCOHERENT)
    allowed = PlanSettings(max_slot_spread=1)
    assert planned(DRIFTED, 0, snapshot=spread, settings=allowed).outcome is Outcome.REALLOCATION
    backwards = SnapshotInfo(101, 100)
    refused(planned(DRIFTED, 0, snapshot=backwards), Reason.SNAPSHOT_INCOHERENT)


@pytest.mark.parametrize("age", [61, -1, None])
def test_stale_prices(age: int | None) -> None:
    moment = None if age is None else AS_OF - timedelta(seconds=age)
    prices = {mint: replace(p, observed_at=moment) for mint, p in mids(pools()).items()}
    settings = PlanSettings(max_price_age_seconds=60)
    refused(planned(DRIFTED, 0, prices=prices, settings=settings), Reason.STALE_DATA)
    fresh = {
        mint: replace(p, observed_at=AS_OF - timedelta(seconds=60)) for mint, p in prices.items()
    }
    assert planned(DRIFTED, 0, prices=fresh, settings=settings).outcome is Outcome.REALLOCATION


def test_stale_snapshot() -> None:
    settings = PlanSettings(max_snapshot_age_seconds=60)
    refused(planned(DRIFTED, 0, settings=settings), Reason.STALE_DATA)
    old = SnapshotInfo(1, 1, AS_OF - timedelta(seconds=61))
    refused(planned(DRIFTED, 0, settings=settings, snapshot=old), Reason.STALE_DATA)
    new = SnapshotInfo(1, 1, AS_OF)
    assert planned(DRIFTED, 0, settings=settings, snapshot=new).outcome is Outcome.REALLOCATION


def test_a_wallet_that_cannot_pay_its_network_fees() -> None:
    settings = PlanSettings(sol_fee_reserve=10_000_000)
    refused(planned(DRIFTED, 0, settings=settings), Reason.FEE_RESERVE)
    assert planned({}, 0, settings=settings).reasons == (Reason.EMPTY_PORTFOLIO,)


def test_several_reasons_are_all_named() -> None:
    tokens = TOKENS | {"JUP": Token(None, "JUP")}
    result = planned(
        DRIFTED, 0, weights={"SOL": 1, "JUP": 1}, tokens=tokens, snapshot=SnapshotInfo(1, 2)
    )
    assert set(result.reasons) == {
        Reason.TARGETS_NOT_NORMALISED,
        Reason.DECIMALS_MISSING,
        Reason.SNAPSHOT_INCOHERENT,
    }


def test_zero_holdings_of_unknown_tokens_are_nobodys_business() -> None:
    assert planned(DRIFTED | {"SPAM": 0}, 0).outcome is Outcome.REALLOCATION


def test_times_without_a_zone_are_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="timezone"):
        planned(DRIFTED, 0, as_of=AS_OF.replace(tzinfo=None))


def test_settings_that_make_no_sense() -> None:
    for wrong in (
        {"lower_band": "1.01"},
        {"upper_band": "0.99"},
        {"min_fill": 2},
        {"max_impact_bps": 10_000},
        {"abs_band_bps": -1},
        {"token_caps": {WRAPPED_SOL: 2}},
        {"unheard_of": 1},
        {"lower_band": "nan"},
        {"lower_band": float("inf")},
        {"cash_buffer": -1},
    ):
        with pytest.raises(ValueError):
            PlanSettings.model_validate(wrong)


def test_a_short_fee_reserve_matters_only_where_something_must_move() -> None:
    settings = PlanSettings(sol_fee_reserve=10_000_000)
    settled = planned(BALANCED, 0, settings=settings)
    assert settled.outcome is Outcome.NO_REALLOCATION_NEEDED
    assert planned(DRIFTED, 0, settings=settings).reasons == (Reason.FEE_RESERVE,)
