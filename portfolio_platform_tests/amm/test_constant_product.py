"""Constant product: public vectors, own vectors, the rules of both Raydium programs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.amm import (
    ConstantProductPool,
    Dust,
    InsufficientLiquidity,
    InvalidPool,
    ZeroLiquidity,
)
from portfolio_platform.amm.constant_product import (
    deposit_for_shares,
    swap_exact_in,
    swap_exact_out,
)
from portfolio_platform_tests.amm.vectors import golden

SIDE = st.integers(1, 10**15)


@pytest.mark.parametrize(
    ("amount", "x", "y", "out"),
    [
        (10, 4_000_000, 70_000_000_000, 174999),
        (20, 29980, 10_000, 6),
        (19, 29980, 10_000, 6),
        (18, 29980, 10_000, 6),
        (10, 20000, 30000, 14),
        (10, 19991, 30000, 14),
        (10, 19990, 30000, 15),
        (100, 60000, 30000, 49),
        (99, 60000, 30000, 49),
        (98, 60000, 30000, 48),
    ],
)
def test_public_vectors_without_fee(amount: int, x: int, y: int, out: int) -> None:
    assert swap_exact_in(x, y, amount, 0, 10_000) == (out, 0)


@pytest.mark.parametrize(
    ("a", "b", "shares", "supply", "paid"),
    [(2, 49, 5, 10, (1, 25)), (100, 202, 5, 101, (5, 10)), (5, 501, 2, 10, (1, 101))],
)
def test_deposit_rounds_up(a: int, b: int, shares: int, supply: int, paid: tuple[int, int]) -> None:
    assert deposit_for_shares(a, b, shares, supply) == paid


@pytest.mark.parametrize(
    ("x", "y", "amount", "out", "fee", "impact"),
    [
        (50 * 10**12, 7_500_000_000_000, 10**10, 1495951557, 25000000, "1.9946"),
        (50 * 10**12, 7_500_000_000_000, 10**12, 146698367567, 2500000000, "195.5978"),
        (7_500_000_000_000, 50 * 10**12, 15 * 10**9, 99551394967, 37500000, "19.9103"),
        (10**12, 150_000_000_000, 10**11, 13605364855, 250000000, "907.0243"),
        (123456789, 987654321, 400, 3191, 1, "0.0323"),
    ],
)
def test_own_vectors(x: int, y: int, amount: int, out: int, fee: int, impact: str) -> None:
    quote = pool(x, y).quote_exact_in("A", amount)
    assert (quote.amount_out, quote.fee) == (out, fee)
    assert f"{quote.impact_bps:.4f}" == impact


def pool(x: int, y: int) -> ConstantProductPool:
    return ConstantProductPool(address="P", mint_a="A", mint_b="B", reserve_a=x, reserve_b=y)


def test_one_unit_is_dust() -> None:
    assert swap_exact_in(123456789, 987654321, 1, 25, 10_000) == (0, 1)
    with pytest.raises(Dust):
        pool(123456789, 987654321).quote_exact_in("A", 1)


def test_exact_out_vector() -> None:
    quote = pool(50 * 10**12, 7_500_000_000_000).quote_exact_out("A", 10**12)
    assert (quote.mint_in, quote.amount_in) == ("B", 153444836582)


def test_impact_limit_vector_never_exceeds_and_misses_by_two_at_most() -> None:
    whole = pool(50 * 10**12, 7_500_000_000_000)
    limit = whole.max_input("A", 50)
    assert limit == 251885996397
    assert whole.quote_exact_in("A", limit + 1).within_impact(50)
    assert not whole.quote_exact_in("A", limit + 2).within_impact(50)


@pytest.mark.real_data
def test_every_golden_vector(real_data: Path) -> None:
    vectors = golden(real_data)["cp_v4"]
    assert len(vectors) == 6
    for v in vectors:
        assert swap_exact_in(
            v["reserve_in"], v["reserve_out"], v["amount_in"], v["fee_num"], v["fee_den"]
        ) == (v["amount_out"], v["fee"])


@given(x=SIDE, y=st.integers(2, 10**15), data=st.data(), bps=st.integers(0, 300))
def test_exact_out_is_sufficient_and_minimal(x: int, y: int, data: st.DataObject, bps: int) -> None:
    wanted = data.draw(st.integers(1, y - 1))
    paid, _ = swap_exact_out(x, y, wanted, bps, 10_000)
    assert swap_exact_in(x, y, paid, bps, 10_000)[0] >= wanted
    if paid > 1:
        assert swap_exact_in(x, y, paid - 1, bps, 10_000)[0] < wanted


def test_asking_for_the_whole_reserve_is_refused_with_what_there_is() -> None:
    with pytest.raises(InsufficientLiquidity) as refused:
        pool(10**9, 10**9).quote_exact_out("B", 10**9)
    assert refused.value.details["available"] == 10**9 - 1


def test_amm_v4_trades_against_vaults_less_the_profit_to_be_taken() -> None:
    made = ConstantProductPool.raydium_amm_v4(
        address="P",
        mint_a="A",
        mint_b="B",
        vault_a=1_000_500,
        vault_b=2_000_700,
        need_take_pnl_a=500,
        need_take_pnl_b=700,
        fee_numerator=25,
        fee_denominator=10_000,
    )
    assert (made.reserve_a, made.reserve_b) == (1_000_000, 2_000_000)
    quote = made.quote_exact_in("A", 10_000)
    after = made.after(quote)
    assert (quote.fee, quote.protocol_fee) == (25, 0)
    assert (after.reserve_a, after.reserve_b) == (1_010_000, 2_000_000 - quote.amount_out)


def cp_swap(creator_fee_on: str) -> ConstantProductPool:
    return ConstantProductPool.raydium_cp_swap(
        address="P",
        mint_a="A",
        mint_b="B",
        vault_a=10_000_060,
        vault_b=20_000_006,
        owed_a=(10, 20, 30),
        owed_b=(1, 2, 3),
        trade_fee_ppm=2_500,
        protocol_share_ppm=120_000,
        fund_share_ppm=40_000,
        creator_fee_ppm=500,
        creator_fee_on=creator_fee_on,
    )


def test_cp_swap_fee_shares_leave_the_reserves() -> None:
    made = cp_swap("input")
    assert (made.reserve_a, made.reserve_b) == (10_000_000, 20_000_000)
    quote = made.quote_exact_in("A", 100_001)
    # Together ceil(100001 * 3000/1e6) = 301, of which the creator floor(301 * 500/3000) = 50,
    # protocol floor(251 * 12 %) = 30, fund floor(251 * 4 %) = 10.
    assert (quote.fee, quote.fee_out, quote.protocol_fee) == (301, 0, 90)
    net = 100_001 - 301
    assert quote.amount_out == net * 20_000_000 // (10_000_000 + net)
    after = made.after(quote)
    assert after.reserve_a == 10_000_000 + 100_001 - 90
    assert after.reserve_b == 20_000_000 - quote.amount_out


def test_cp_swap_creator_fee_on_the_output() -> None:
    made = cp_swap("b")
    quote = made.quote_exact_in("A", 100_001)
    fee = 251  # ceil(100001 * 2500/1e6)
    net = 100_001 - fee
    swapped = net * 20_000_000 // (10_000_000 + net)
    creator = -(-swapped * 500 // 1_000_000)
    assert (quote.fee, quote.fee_out) == (fee, creator)
    assert quote.amount_out == swapped - creator
    assert made.after(quote).reserve_b == 20_000_000 - swapped
    assert cp_swap("b").quote_exact_in("B", 100_001).fee_out == 0


def test_exact_out_of_cp_swap_pays_the_creator_on_top() -> None:
    quote = cp_swap("b").quote_exact_out("B", 50_000)
    assert quote.amount_out == 50_000
    assert quote.fee_out == -(-50_000 * 1_000_000 // 999_500) - 50_000


def test_states_no_program_could_hold_are_refused() -> None:
    with pytest.raises(ZeroLiquidity):
        pool(0, 10**9).spot_price()
    with pytest.raises(ZeroLiquidity):
        pool(10**9, 0).quote_exact_in("A", 10)
    with pytest.raises(InvalidPool):
        pool(2**64, 1)
    with pytest.raises(InvalidPool):
        ConstantProductPool(
            address="P", mint_a="A", mint_b="B", reserve_a=1, reserve_b=1, fee_numerator=10_000
        )
