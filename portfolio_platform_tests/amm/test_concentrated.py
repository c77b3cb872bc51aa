"""Concentrated liquidity: tick tables, vectors, ends, and the recorded Whirlpools."""

import base64
import json
from dataclasses import replace
from math import isqrt
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.amm import (
    AdaptiveFeeUnsupported,
    ConcentratedPool,
    ConstantProductPool,
    Dust,
    InsufficientLiquidity,
    InvalidPool,
    ZeroLiquidity,
    pool_from_json,
)
from portfolio_platform.amm import ticks as tick_tables
from portfolio_platform.amm.crossing import walk
from portfolio_platform.amm.ticks import sqrt_price_at_tick, tick_at_sqrt_price
from portfolio_platform_tests.amm.recorded import whirlpool
from portfolio_platform_tests.amm.vectors import golden, staircase, three_positions


@pytest.mark.parametrize(
    ("tick", "whirl", "raydium"),
    [
        (-443636, 4295048016, 4295048016),
        (443636, 79226673515401279992447579055, 79226673521066979257578248091),
        (-18973, 7144089069857984829, 7144089069860152470),
        (18973, 47631316406264071514, 47631316406249619367),
        (0, 2**64, 2**64),
    ],
)
def test_tick_tables_differ_by_program(tick: int, whirl: int, raydium: int) -> None:
    assert sqrt_price_at_tick("whirlpool", tick) == whirl
    assert sqrt_price_at_tick("raydium_clmm", tick) == raydium


def test_constants_follow_from_their_definition() -> None:
    ups, downs = [isqrt((10001 << 192) // 10000)], [isqrt((10000 << 128) // 10001)]
    for power in range(18):
        up, down = 10001 ** (1 << power), 10000 ** (1 << power)
        ups.append((up << 96) // down)
        downs.append((down << 64) // up)
    assert tuple(ups) == tick_tables._WHIRLPOOL_UP
    assert tuple(downs) == tick_tables._WHIRLPOOL_DOWN
    for exact, kept in zip(downs, tick_tables._RAYDIUM_DOWN, strict=True):
        assert abs(kept - exact) < exact * 2.1e-12 + 1


@given(table=st.sampled_from(["whirlpool", "raydium_clmm"]), tick=st.integers(-443636, 443635))
def test_tick_of_a_price_inverts_the_table(table: tick_tables.TickTable, tick: int) -> None:
    here, above = sqrt_price_at_tick(table, tick), sqrt_price_at_tick(table, tick + 1)
    assert here < above
    assert tick_at_sqrt_price(table, here) == tick
    assert tick_at_sqrt_price(table, above - 1) == tick
    assert tick_at_sqrt_price(table, above) == tick + 1


def test_ticks_beyond_the_table_are_refused() -> None:
    with pytest.raises(ValueError):
        sqrt_price_at_tick("whirlpool", 443637)
    with pytest.raises(ValueError):
        tick_at_sqrt_price("whirlpool", 4295048015)


@pytest.mark.parametrize(
    ("liquidity", "exact_in", "a_to_b", "other", "fee"),
    [
        (10**8, True, True, 996, 3),
        (265000, True, True, 920, 38),
        (10**8, True, False, 996, 3),
        (265000, True, False, 918, 39),
        (10**8, False, True, 1005, 4),
        (10**8, False, False, 1005, 4),
        (265000, False, True, 1088, 42),
        (265000, False, False, 1088, 42),
    ],
)
def test_staircase_vectors(
    liquidity: int, exact_in: bool, a_to_b: bool, other: int, fee: int
) -> None:
    made = staircase(liquidity)
    if exact_in:
        quote = made.quote_exact_in("A" if a_to_b else "B", 1000)
        assert quote.amount_out == other
    else:
        quote = made.quote_exact_out("B" if a_to_b else "A", 1000)
        assert quote.amount_in == other
    assert quote.fee == fee


def test_leaving_the_fetched_arrays_is_refused_with_what_fits() -> None:
    made = staircase(265000)
    assert made.quote_exact_in("A", 3428).amount_out == 3032
    with pytest.raises(InsufficientLiquidity) as refused:
        made.quote_exact_in("A", 3429)
    assert refused.value.details["available"] == 3428


@pytest.mark.parametrize(
    ("mint_in", "amount", "out", "fee", "tick", "crossed"),
    [
        ("SOL", 10**9, 149928837, 400000, -18974, 0),
        ("SOL", 100 * 10**9, 14883193645, 40000000, -19121, 0),
        ("SOL", 5000 * 10**9, 107145640744, 2000000002, -65372, 2),
        ("SOL", 50000 * 10**9, 113962843307, 20000000002, -110529, 2),
        ("USDC", 150 * 10**6, 999525584, 60000, -18971, 0),
        ("USDC", 10**12, 713972704076, 400000002, 32975, 2),
        ("USDC", 7, 39, 1, -18973, 0),
    ],
)
def test_three_positions_exact_in(
    mint_in: str, amount: int, out: int, fee: int, tick: int, crossed: int
) -> None:
    made = three_positions()
    quote = made.quote_exact_in(mint_in, amount)
    assert (quote.amount_out, quote.fee, quote.crossed) == (out, fee, crossed)
    after = made.after(quote)
    assert after.tick == tick
    if crossed:
        assert after.liquidity == 200_000_000_000


def test_three_positions_exact_out_and_dust() -> None:
    made = three_positions()
    buy = made.quote_exact_out("SOL", 10 * 10**9)
    assert (buy.amount_in, buy.fee) == (1501718728, 600688)
    assert made.quote_exact_out("USDC", 10**9).amount_in == 6672647614
    assert walk(made, True, 1, True).other == 0
    with pytest.raises(Dust):
        made.quote_exact_in("SOL", 1)


@pytest.mark.real_data
def test_every_golden_vector(real_data: Path) -> None:
    vectors = golden(real_data)["clmm"]
    assert len(vectors) == 10
    for vector in vectors:
        given_, expected = vector["inp"], vector["out"]
        made = ConcentratedPool.of(
            address="golden",
            mint_a="SOL",
            mint_b="USDC",
            program="whirlpool",
            sqrt_price=int(given_["sqrt_price"]),
            tick=given_["tick"],
            liquidity=int(given_["liquidity"]),
            fee_ppm=given_["fee_ppm"],
            tick_spacing=64,
            liquidity_net={int(t): int(net) for t, net in given_["liquidity_net"].items()},
        )
        done = walk(made, given_["a_to_b"], int(given_["amount"]), given_["exact_in"])
        tick = done.tick
        if tick is None:
            tick = tick_at_sqrt_price("whirlpool", done.sqrt_price)
        assert {
            "amount_specified_used": done.used,
            "amount_other": done.other,
            "fee": done.fee,
            "next_sqrt_price": str(done.sqrt_price),
            "next_tick": tick,
            "next_liquidity": str(done.liquidity),
            "ticks_crossed": done.crossed,
            "filled": done.filled,
        } == expected


@pytest.mark.real_data
def test_recorded_raydium_ticks_follow_from_their_prices(real_data: Path) -> None:
    accounts = real_data / "accounts"
    (traded,) = (accounts / "mango_v4_resources").glob("Ds33*")
    dump = json.loads(
        (accounts / "carbon_accounts/raydium-clmm/pool_state_account.json").read_text()
    )
    data = dump.get("account", dump)["data"]
    encoded = data if isinstance(data, str) else data[0]
    for pool in (traded.read_bytes(), base64.b64decode(encoded)):
        sqrt_price = int.from_bytes(pool[253:269], "little")
        tick = int.from_bytes(pool[269:273], "little", signed=True)
        assert tick_at_sqrt_price("raydium_clmm", sqrt_price) == tick


@pytest.mark.real_data
def test_recorded_sol_pool(real_data: Path) -> None:
    made = whirlpool(real_data, "sol_usdc")
    assert f"{float(made.spot_price()) * 1000:.6f}" == "40.362226"
    one = made.quote_exact_in(made.mint_a, 10**9)
    assert (one.amount_out, one.crossed) == (40281456, 0)
    assert made.quote_exact_in(made.mint_a, 1000 * 10**9).amount_out == 40236681588
    several = made.quote_exact_in(made.mint_a, 10_000 * 10**9)
    assert several.crossed > 1
    assert several.amount_out < 10 * 40236681588
    with pytest.raises(InsufficientLiquidity) as refused:
        made.quote_exact_in(made.mint_a, 100_000 * 10**9)
    available = refused.value.details["available"]
    assert made.quote_exact_in(made.mint_a, available).amount_in == available
    with pytest.raises(InsufficientLiquidity):
        made.quote_exact_in(made.mint_a, available + 1)


@pytest.mark.real_data
def test_recorded_samo_pool(real_data: Path) -> None:
    made = whirlpool(real_data, "samo_usdc")
    assert f"{float(made.spot_price()) * 1000:.8f}" == "0.01522729"
    one_tick = made.quote_exact_in(made.mint_a, 1000 * 10**9)
    assert one_tick.crossed == 0
    several = made.quote_exact_in(made.mint_a, 10**6 * 10**9)
    assert several.crossed > 1
    assert several.impact > one_tick.impact
    with pytest.raises(InsufficientLiquidity):
        made.quote_exact_in(made.mint_a, 10**7 * 10**9)


@pytest.mark.real_data
def test_a_missing_array_ends_the_known_world(real_data: Path) -> None:
    whole = whirlpool(real_data, "sol_usdc")
    holed = whirlpool(real_data, "sol_usdc", without=-39424)
    assert holed.lower_tick == -33792
    assert holed.upper_tick == whole.upper_tick
    amount = 40_000 * 10**9
    assert whole.quote_exact_in(whole.mint_a, amount).crossed > 1
    with pytest.raises(InsufficientLiquidity):
        holed.quote_exact_in(holed.mint_a, amount)
    homeless = whirlpool(real_data, "sol_usdc", without=-33792)
    for mint in (homeless.mint_a, homeless.mint_b):
        with pytest.raises(InsufficientLiquidity):
            homeless.quote_exact_in(mint, 10**6)


def test_inside_one_range_it_is_constant_product() -> None:
    liquidity, price = 10**15, 3 * 2**63
    made = ConcentratedPool.of(
        address="P",
        mint_a="A",
        mint_b="B",
        program="raydium_clmm",
        sqrt_price=price,
        tick=tick_at_sqrt_price("raydium_clmm", price),
        liquidity=liquidity,
        fee_ppm=2500,
        tick_spacing=1,
        liquidity_net={-443636: liquidity, 443636: -liquidity},
    )
    virtual = ConstantProductPool(
        address="V",
        mint_a="A",
        mint_b="B",
        reserve_a=liquidity * 2**64 // price,
        reserve_b=liquidity * price // 2**64,
        fee_numerator=25,
    )
    for mint in ("A", "B"):
        ours = made.quote_exact_in(mint, 10**12)
        theirs = virtual.quote_exact_in(mint, 10**12)
        assert abs(ours.amount_out - theirs.amount_out) <= 1
        assert abs(ours.impact - theirs.impact) < 1e-12


def test_an_adaptive_fee_is_refused_by_name() -> None:
    state = three_positions().to_json() | {"adaptive_fee": True}
    made = ConcentratedPool.from_json(state)
    assert made.spot_price() == three_positions().spot_price()
    with pytest.raises(AdaptiveFeeUnsupported):
        made.quote_exact_in("SOL", 10**9)
    with pytest.raises(AdaptiveFeeUnsupported):
        made.max_input("SOL", 10)


def test_empty_and_contradictory_states_are_refused() -> None:
    empty = three_positions().to_json() | {"liquidity": "0", "ticks": [], "nets": []}
    with pytest.raises(ZeroLiquidity):
        ConcentratedPool.from_json(empty).quote_exact_in("SOL", 10**9)
    for wrong in (
        {"sqrt_price": "1"},
        {"liquidity": "-1"},
        {"ticks": [1, 0], "nets": ["1", "1"]},
        {"ticks": [1], "nets": []},
        {"lower_tick": 0},
    ):
        with pytest.raises(InvalidPool):
            ConcentratedPool.from_json(three_positions().to_json() | wrong)


def test_a_map_that_takes_more_than_there_is_is_refused() -> None:
    state = three_positions().to_json() | {"liquidity": "1000"}
    with pytest.raises(InvalidPool, match="below zero above tick -18816"):
        ConcentratedPool.from_json(state)
    state["nets"] = ["1000", "1", *["0"] * 4]
    with pytest.raises(InvalidPool, match="below zero below tick -20288"):
        ConcentratedPool.from_json(state | {"liquidity": "0"})


def test_each_share_of_the_fee_is_rounded_down_on_its_own() -> None:
    shared = replace(three_positions(), fee_ppm=2_500, protocol_share_bps=1_200, fund_share_bps=400)
    quote = shared.quote_exact_in("SOL", 19_000)
    # 12 % and 4 % of 48 are 5.76 and 1.92; 16 % of it would be 7.68.
    assert (quote.fee, quote.protocol_fee) == (48, 5 + 1)
    assert pool_from_json(shared.to_json()) == shared
