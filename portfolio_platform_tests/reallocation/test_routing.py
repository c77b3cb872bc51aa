"""Splits over several pools and routes through an intermediate."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from portfolio_platform.amm import AmmError, AmmPool, ConstantProductPool
from portfolio_platform.reallocation import Reason, simulate_quote
from portfolio_platform.reallocation.routing import PoolBook, fill, fill_direct
from portfolio_platform.reallocation.splitting import _equal_marginal, optimal_split
from portfolio_platform_tests.amm.recorded import whirlpool
from portfolio_platform_tests.amm.strategies import concentrated, constant_product, dlmm
from portfolio_platform_tests.amm.vectors import three_positions

SOL = 10**9
DEEP = ConstantProductPool(
    address="deep", mint_a="SOL", mint_b="USDC", reserve_a=50_000 * SOL, reserve_b=7_500_000 * 10**6
)
CLOSE = ConstantProductPool(
    address="close",
    mint_a="SOL",
    mint_b="USDC",
    reserve_a=20_000 * SOL,
    reserve_b=3_020_000 * 10**6,
    fee_numerator=30,
)


@pytest.mark.parametrize(
    ("amount", "parts", "out"),
    [
        (1_000, (669.5216, 330.4784), 147_802.9196),
        (100, (27.3212, 72.6788), 14_987.7843),
        (10, (0, 10), 1_504.7199),
    ],
)
def test_split_vectors(amount: int, parts: tuple[float, float], out: float) -> None:
    split = optimal_split([DEEP, CLOSE], "SOL", amount * SOL)
    assert sum(split) == amount * SOL
    assert [part / SOL for part in split] == pytest.approx(parts, abs=5e-5)
    quote = simulate_quote([DEEP, CLOSE], "SOL", "USDC", amount * SOL)
    assert quote.fill.amount_out / 10**6 == pytest.approx(out, abs=5e-5)


def test_the_split_of_1000_gains_75_bps_on_the_best_single_pool() -> None:
    split = simulate_quote([DEEP, CLOSE], "SOL", "USDC", 1_000 * SOL)
    single = simulate_quote([DEEP, CLOSE], "SOL", "USDC", 1_000 * SOL, split=False)
    assert single.fill.amount_out / 10**6 == pytest.approx(146_698.3676, abs=5e-5)
    gain = Fraction(split.fill.amount_out, single.fill.amount_out) - 1
    assert 75 <= gain * 10_000 < 76


def pair(draw: st.DrawFn, count: int) -> list[AmmPool]:
    kinds = st.one_of(constant_product(), concentrated(), dlmm())
    return [replace(draw(kinds), address=f"pool-{k}") for k in range(count)]


@st.composite
def pairs(draw: st.DrawFn) -> list[AmmPool]:
    return pair(draw, draw(st.integers(2, 4)))


@given(pools=st.lists(constant_product(), min_size=2, max_size=5), amount=st.integers(1, 10**14))
def test_closed_form_and_bisection_agree(pools: list[ConstantProductPool], amount: int) -> None:
    plain = [replace(pool, creator_fee_numerator=0, address=str(k)) for k, pool in enumerate(pools)]

    def out(parts: list[int]) -> int:
        total = 0
        for pool, part in zip(plain, parts, strict=True):
            try:
                total += pool.quote_exact_in("A", part).amount_out if part else 0
            except AmmError:
                assume(False)
        return total

    closed, bisected = optimal_split(plain, "A", amount), _equal_marginal(plain, "A", amount)
    assert sum(closed) == sum(bisected) == amount
    assert min(closed) >= 0
    assert min(bisected) >= 0
    worth = max(pool.spot("A") for pool in plain) + 1
    assert abs(out(closed) - out(bisected)) <= len(plain) * (2 * worth + 2) + out(closed) // 10**9


@given(pools=pairs(), mint=st.sampled_from(["A", "B"]), amount=st.integers(1, 10**13))
def test_routing_is_never_worse_than_the_best_single_pool(
    pools: list[AmmPool], mint: str, amount: int
) -> None:
    other = "B" if mint == "A" else "A"
    shared = simulate_quote(pools, mint, other, amount)
    alone = [simulate_quote([pool], mint, other, amount) for pool in pools]
    sold = max(answer.fill.amount_in for answer in alone)
    assert shared.fill.amount_in >= sold
    if shared.fill.amount_in == sold:
        full = [a.fill.amount_out for a in alone if a.fill.amount_in == sold]
        assert shared.fill.amount_out >= max(full)
    assert sum(quote.amount_in for quote in shared.fill.quotes) == shared.fill.amount_in
    assert len({quote.pool for quote in shared.fill.quotes}) == len(shared.fill.quotes)


@given(
    pools=pairs(),
    mint=st.sampled_from(["A", "B"]),
    amount=st.integers(1, 10**13),
    bps=st.integers(1, 500),
    cap=st.none() | st.integers(0, 10**12),
)
def test_limits_hold_in_every_pool(
    pools: list[AmmPool], mint: str, amount: int, bps: int, cap: int | None
) -> None:
    other = "B" if mint == "A" else "A"
    found = fill_direct(
        PoolBook(pools), mint, other, amount, bps, allowance=lambda address, source: cap
    )
    for quote in found.quotes:
        assert quote.within_impact(bps)
        assert cap is None or quote.amount_in <= cap
    assert found.amount_in <= amount
    assert (found.limited_by is None) == (found.amount_in == amount)


@given(pools=pairs(), amount=st.integers(1, 10**12))
def test_the_order_of_pools_changes_nothing(pools: list[AmmPool], amount: int) -> None:
    forward = simulate_quote(pools, "A", "B", amount)
    assert forward == simulate_quote(pools[::-1], "A", "B", amount)


def test_two_hops_are_taken_when_they_give_more() -> None:
    direct = ConstantProductPool(
        address="direct", mint_a="JUP", mint_b="USDC", reserve_a=10**12, reserve_b=8 * 10**11
    )
    to_sol = ConstantProductPool(
        address="via", mint_a="JUP", mint_b="SOL", reserve_a=10**14, reserve_b=533 * 10**12
    )
    pools = [direct, to_sol, DEEP]
    large = simulate_quote(pools, "JUP", "USDC", 5 * 10**10, intermediates=("SOL", "USDC"))
    assert [quote.pool for quote in large.fill.quotes] == ["via", "deep"]
    assert large.fill.hops[0][0].amount_out == large.fill.hops[1][0].amount_in
    alone = simulate_quote(pools, "JUP", "USDC", 5 * 10**10, intermediates=())
    assert large.fill.amount_out > alone.fill.amount_out
    small = simulate_quote(pools, "JUP", "USDC", 10**6, intermediates=("SOL",))
    assert [quote.pool for quote in small.fill.quotes] == ["direct"]


def test_two_hops_together_keep_the_limit() -> None:
    to_sol = ConstantProductPool(
        address="via", mint_a="JUP", mint_b="SOL", reserve_a=10**13, reserve_b=53 * 10**12
    )
    found = fill(PoolBook([to_sol, DEEP]), "JUP", "USDC", 10**12, 100, intermediates=("SOL",))
    assert found.limited_by is Reason.INSUFFICIENT_LIQUIDITY
    assert 0 < found.amount_in < 10**12
    assert found.impact * 10_000 <= 100
    assert found.impact * 10_000 > 99


def test_a_quote_that_cannot_be_filled_names_its_reason() -> None:
    pool = three_positions()
    empty = replace(DEEP, address="empty", reserve_a=0)
    paused = replace(DEEP, address="paused", paused=True)
    adaptive = replace(pool, address="adaptive", adaptive_fee=True)
    for pools, mint, amount, reason in (
        ([], "SOL", SOL, Reason.NO_POOL),
        ([empty], "SOL", SOL, Reason.ZERO_LIQUIDITY),
        ([paused], "SOL", SOL, Reason.POOL_PAUSED),
        ([adaptive], "SOL", SOL, Reason.ADAPTIVE_FEE_UNSUPPORTED),
        ([DEEP], "SOL", 1, Reason.DUST),
        ([DEEP], "SOL", 2**64, Reason.AMOUNT_OUT_OF_RANGE),
        ([DEEP], "SOL", 0, Reason.AMOUNT_OUT_OF_RANGE),
    ):
        answer = simulate_quote(pools, mint, "USDC", amount)
        assert answer.reason is reason
        shown = answer.to_json()
        assert shown["refused"] == reason.value
        assert shown["amount_out"] is None


def test_a_refused_pool_does_not_stop_the_others() -> None:
    paused = replace(DEEP, address="a-paused", paused=True)
    answer = simulate_quote([paused, CLOSE], "SOL", "USDC", SOL)
    assert answer.reason is None
    assert answer.to_json()["refused_pools"] == {"a-paused": "pool_paused"}


@pytest.mark.real_data
def test_quote_over_the_recorded_pools(real_data: Path) -> None:
    sol, samo = whirlpool(real_data, "sol_usdc"), whirlpool(real_data, "samo_usdc")
    answer = simulate_quote([sol, samo], sol.mint_a, sol.mint_b, SOL)
    assert answer.fill.amount_out == 40281456
    assert answer.min_out == 40281456 * 9950 // 10_000
    # SAMO to SOL exists through USDC only.
    through = simulate_quote(
        [sol, samo], samo.mint_a, sol.mint_a, 10_000 * SOL, intermediates=(sol.mint_b,)
    )
    assert len(through.fill.hops) == 2
    usdc = samo.quote_exact_in(samo.mint_a, 10_000 * SOL).amount_out
    assert through.fill.amount_out == sol.quote_exact_in(sol.mint_b, usdc).amount_out
    beyond = simulate_quote([sol], sol.mint_a, sol.mint_b, 10**6 * SOL)
    assert beyond.reason is Reason.INSUFFICIENT_LIQUIDITY
    assert 0 < beyond.fill.amount_in < 10**5 * SOL


def test_the_same_pool_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        PoolBook([DEEP, DEEP])
