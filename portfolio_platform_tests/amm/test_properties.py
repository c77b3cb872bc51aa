"""What holds for every pool, every amount and every transfer fee."""

import copy
import pickle
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from portfolio_platform.amm import (
    AmmError,
    AmmPool,
    AmountOutOfRange,
    PoolPaused,
    Quote,
    StaleQuote,
    TransferFee,
    UnknownMint,
    pool_from_json,
)
from portfolio_platform_tests.amm.strategies import AMOUNTS, TRANSFER_FEES, any_pool

LONG_FORMS: dict[str, Callable[[], None]] = {}
LONG = settings(max_examples=3_000, deadline=None, suppress_health_check=list(HealthCheck))


def property_of(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable], Callable]:
    """Test with the usual number of examples, and keep the form with many for the nightly run."""

    def decorate(check: Callable) -> Callable:
        LONG_FORMS[check.__name__] = LONG(given(**strategies)(check))
        return given(**strategies)(check)

    return decorate


MINTS = st.sampled_from(["A", "B"])


def quoted(pool: AmmPool, mint: str, amount: int) -> Quote:
    try:
        return pool.quote_exact_in(mint, amount)
    except AmmError:
        assume(False)
        raise


@property_of(pool=any_pool(), mint=MINTS, amount=AMOUNTS)
def test_output_is_at_most_the_spot_value(pool: AmmPool, mint: str, amount: int) -> None:
    quote = quoted(pool, mint, amount)
    assert quote.amount_out <= quote.net_in * pool.spot(mint)
    assert 0 <= quote.impact < 1
    assert 0 <= quote.protocol_fee <= quote.fee + quote.fee_out
    assert quote.fee <= quote.amount_in


@property_of(pool=any_pool(), mint=MINTS, amount=AMOUNTS)
def test_exact_out_of_exact_in_never_costs_less(pool: AmmPool, mint: str, amount: int) -> None:
    sold = quoted(pool, mint, amount)
    # The last base unit before the end of a range costs what the whole way to the end costs.
    assume(sold.impact < 0.5)
    bought = pool.quote_exact_out(sold.mint_out, sold.amount_out)
    assert bought.amount_in <= amount
    again = quoted(pool, mint, bought.amount_in)
    assert again.amount_out >= sold.amount_out - 1


@property_of(pool=any_pool(), mint=MINTS, amount=AMOUNTS)
def test_out_and_back_never_gains(pool: AmmPool, mint: str, amount: int) -> None:
    there = quoted(pool, mint, amount)
    back = quoted(pool.after(there), there.mint_out, there.amount_out)
    assert back.amount_out <= amount


@property_of(pool=any_pool(), mint=MINTS, amount=AMOUNTS, data=st.data())
def test_impact_and_output_rise_with_the_amount(
    pool: AmmPool, mint: str, amount: int, data: st.DataObject
) -> None:
    large = quoted(pool, mint, amount)
    small = quoted(pool, mint, data.draw(st.integers(1, amount)))
    assert small.amount_out <= large.amount_out
    # The path of the smaller trade is rounded on its own: allow the width of one price step.
    assert small.impact <= large.impact + 1e-9 + 2 / small.net_in


@property_of(pool=any_pool(), mint=MINTS, amount=AMOUNTS, data=st.data())
def test_splitting_a_trade_over_one_pool_gives_no_more(
    pool: AmmPool, mint: str, amount: int, data: st.DataObject
) -> None:
    whole = quoted(pool, mint, amount)
    first = quoted(pool, mint, data.draw(st.integers(1, max(amount - 1, 1))))
    assume(first.amount_in < amount)
    second = quoted(pool.after(first), mint, amount - first.amount_in)
    # Each range rounds on its own: a base unit of the input, worth its price, or of the output.
    rounding = (1 + whole.crossed) * (1 + pool.spot(mint))
    assert first.amount_out + second.amount_out <= whole.amount_out + rounding


@property_of(pool=any_pool(), mint=MINTS, bps=st.integers(0, 2_000))
def test_largest_input_keeps_the_limit_exactly(pool: AmmPool, mint: str, bps: int) -> None:
    try:
        largest = pool.max_input(mint, bps)
    except AmmError:
        assume(False)
        raise
    if largest:
        assert quoted(pool, mint, largest).within_impact(bps)
    try:
        beyond = pool.quote_exact_in(mint, largest + 3 + largest // 10**6)
    except AmmError:
        return
    assert not beyond.within_impact(bps)


@settings(max_examples=50)
@property_of(pool=any_pool())
def test_a_pool_survives_its_json_and_being_copied(pool: AmmPool) -> None:
    assert pool_from_json(pool.to_json()) == pool
    with suppress(AmmError):
        pool.quote_exact_in("A", 1000)
    assert pickle.loads(pickle.dumps(pool)) == copy.deepcopy(pool) == pool


@property_of(pool=any_pool(), mint=MINTS, amount=AMOUNTS, fee=TRANSFER_FEES, fee_out=TRANSFER_FEES)
def test_transfer_fees_are_taken_before_and_after(
    pool: AmmPool,
    mint: str,
    amount: int,
    fee: TransferFee | None,
    fee_out: TransferFee | None,
) -> None:
    sides = (fee, fee_out) if mint == "A" else (fee_out, fee)
    taxed = replace(pool, transfer_fee_a=sides[0], transfer_fee_b=sides[1])
    quote = quoted(taxed, mint, amount)
    plain = pool.quote_exact_in(mint, amount - (fee.fee(amount) if fee else 0))
    assert quote.transfer_fee_in == (fee.fee(amount) if fee else 0)
    assert quote.amount_out == (fee_out.received(plain.amount_out) if fee_out else plain.amount_out)
    assume(quote.impact < 0.5)
    bought = taxed.quote_exact_out(quote.mint_out, quote.amount_out)
    assert bought.amount_in <= amount
    assert bought.amount_out >= quote.amount_out


@property_of(sent=st.integers(1, 10**18), bps=st.integers(0, 10_000), most=st.integers(0, 10**18))
def test_transfer_fee_inverses(sent: int, bps: int, most: int) -> None:
    fee = TransferFee(bps, most)
    arrived = fee.received(sent)
    assert 0 <= arrived <= sent
    smallest = fee.to_receive(arrived)
    assert smallest <= sent
    assert fee.received(smallest) >= arrived
    assert smallest == 0 or fee.received(smallest - 1) < arrived
    largest = fee.largest_for(arrived)
    assert fee.received(largest) <= arrived < fee.received(largest + 1)


def test_recorded_transfer_fee_rounds_up_to_its_maximum() -> None:
    fee = TransferFee(50, 5_000)
    assert [fee.fee(n) for n in (0, 1, 200, 201, 10**6, 10**6 + 1, 10**9)] == [
        0,
        1,
        1,
        2,
        5_000,
        5_000,
        5_000,
    ]


@property_of(pool=any_pool())
def test_refusals_that_do_not_depend_on_the_curve(pool: AmmPool) -> None:
    with pytest.raises(UnknownMint):
        pool.quote_exact_in("C", 1)
    for amount in (0, -1, 2**64):
        with pytest.raises(AmountOutOfRange):
            pool.quote_exact_in("A", amount)
    with pytest.raises(PoolPaused):
        replace(pool, paused=True).quote_exact_in("A", 10)


@property_of(pool=any_pool(), mint=MINTS, amount=AMOUNTS)
def test_a_quote_applies_to_its_own_state_only(pool: AmmPool, mint: str, amount: int) -> None:
    quote = quoted(pool, mint, amount)
    moved = pool.after(quote)
    assume(moved != pool)
    with pytest.raises(StaleQuote):
        moved.after(quote)


@pytest.mark.nightly
@pytest.mark.parametrize("name", sorted(LONG_FORMS))
def test_long_form(name: str) -> None:
    LONG_FORMS[name]()
