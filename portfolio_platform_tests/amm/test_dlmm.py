"""DLMM: fee and bin vectors, volatility over time, bins one after the other."""

from pathlib import Path

import pytest

from portfolio_platform.amm import (
    Bin,
    DlmmPool,
    FeeParameters,
    InsufficientLiquidity,
    Volatility,
    ZeroLiquidity,
)
from portfolio_platform.amm.dlmm import bin_price
from portfolio_platform.amm.dlmm_fee import (
    base_fee,
    fee_of_gross,
    fee_on_net,
    total_fee,
    variable_fee,
)
from portfolio_platform_tests.amm.vectors import golden

FREE = FeeParameters(0, 30, 600, 5_000, 0, 350_000)
PAID = FeeParameters(10_000, 30, 600, 5_000, 40_000, 350_000)
QUIET = Volatility(0, 0, 0, 1_000)
THREE_HALVES = 3 * 2**63


def pool(
    bins: dict[int, Bin],
    *,
    fees: FeeParameters = FREE,
    volatility: Volatility = QUIET,
    now: int = 10_000,
    step: int = 10,
    arrays: tuple[int, ...] | None = None,
    active: int = 0,
) -> DlmmPool:
    return DlmmPool.of(
        address="P",
        mint_a="X",
        mint_b="Y",
        active_id=active,
        bin_step=step,
        fees=fees,
        volatility=volatility,
        now=now,
        bins=bins,
        array_indexes=arrays,
    )


@pytest.mark.parametrize(
    ("step", "factor", "accumulator", "control", "total"),
    [
        (10, 10_000, 0, 40_000, 1_000_000),
        (10, 10_000, 50_000, 40_000, 1_100_000),
        (25, 10_000, 100_000, 30_000, 4_375_000),
        (100, 10_000, 350_000, 7_500, 100_000_000),
        (1, 10_000, 0, 0, 100_000),
    ],
)
def test_fee_vectors(step: int, factor: int, accumulator: int, control: int, total: int) -> None:
    assert total_fee(base_fee(step, factor), variable_fee(step, accumulator, control)) == total


@pytest.mark.real_data
def test_every_golden_fee(real_data: Path) -> None:
    vectors = golden(real_data)["dlmm_fee"]
    assert len(vectors) == 5
    for v in vectors:
        base = base_fee(v["bin_step"], v["base_factor"], 0)
        variable = variable_fee(v["bin_step"], v["vol_acc"], v["var_fee_control"])
        assert (base, variable, total_fee(base, variable)) == (v["base"], v["var"], v["total_1e9"])


def test_fee_from_gross_and_on_net() -> None:
    assert (fee_of_gross(10**9, 10**6), fee_on_net(10**9, 10**6)) == (1000000, 1001002)
    assert (fee_of_gross(10**9, 10**8), fee_on_net(10**9, 10**8)) == (100000000, 111111112)


def test_price_vectors() -> None:
    assert abs(bin_price(25, 100) / 2**64 - 1.2836248887384678) < 1e-15
    assert abs(bin_price(100, -500) / 2**64 - 0.006907376181289486) < 1e-17


def test_bin_vectors() -> None:
    deep = pool({0: Bin(10**6, 10**6, THREE_HALVES)})
    assert deep.quote_exact_in("X", 101).amount_out == 151
    assert deep.quote_exact_in("Y", 101).amount_out == 67
    # 67 X take all of 100 Y, 150 Y all of 100 X; one unit more finds nothing.
    shallow = pool({0: Bin(100, 100, THREE_HALVES)})
    assert shallow.quote_exact_in("X", 67).amount_out == 100
    assert shallow.quote_exact_in("Y", 150).amount_out == 100
    for mint, most in (("X", 67), ("Y", 150)):
        with pytest.raises(InsufficientLiquidity) as refused:
            shallow.quote_exact_in(mint, most + 1)
        assert refused.value.details["available"] == most


def test_references_follow_the_clock() -> None:
    last = Volatility(80_000, 20_000, -3, 1_000)
    assert last.referenced(5, 1_000 + 29, PAID) == last
    assert last.referenced(5, 1_000 + 30, PAID) == Volatility(80_000, 40_000, 5, 1_000)
    assert last.referenced(5, 1_000 + 599, PAID) == Volatility(80_000, 40_000, 5, 1_000)
    assert last.referenced(5, 1_000 + 600, PAID) == Volatility(80_000, 0, 5, 1_000)
    assert last.at(5, PAID) == 100_000
    assert last.at(400, PAID) == 350_000


def test_the_fee_rises_bin_by_bin() -> None:
    bins = {i: Bin(0, 1_000_000, bin_price(10, i)) for i in range(-3, 1)}
    made = pool(bins, fees=PAID)
    quote = made.quote_exact_in("X", 3_500_000)
    assert quote.crossed == 3
    rest, fees, out = 3_500_000, 0, 0
    for distance, bin_id in enumerate((0, -1, -2, -3)):
        rate = total_fee(base_fee(10, 10_000), variable_fee(10, distance * 10_000, 40_000))
        price = bin_price(10, bin_id)
        paid = -(-(1_000_000 << 64) // price)
        fee = fee_on_net(paid, rate)
        if rest <= paid + fee:
            fee = fee_of_gross(rest, rate)
            out += (rest - fee) * price >> 64
            rest = 0
        else:
            rest -= paid + fee
            out += 1_000_000
        fees += fee
    assert rest == 0
    assert (quote.amount_out, quote.fee) == (out, fees)
    after = made.after(quote)
    assert after.active_id == -3
    assert after.volatility == Volatility(30_000, 0, 0, 10_000)
    assert after.bins[-1].y == 0
    assert after.fee_rate() > made.fee_rate()


def test_a_computed_price_agrees_with_the_stored_one() -> None:
    stored = pool({0: Bin(10**9, 10**9, bin_price(10, 0)), -1: Bin(0, 10**9, bin_price(10, -1))})
    computed = pool({0: Bin(10**9, 10**9), -1: Bin(0, 10**9)})
    assert stored.quote_exact_in("X", 10**9 + 7).amount_out == (
        computed.quote_exact_in("X", 10**9 + 7).amount_out
    )


def test_bins_beyond_a_missing_array_do_not_count() -> None:
    bins = {i: Bin(0, 1_000) for i in range(-150, 1)}
    assert pool(bins, arrays=(-3, -2, -1, 0)).lower_id == -210
    holed = pool(bins, arrays=(-3, -1, 0))
    assert holed.lower_id == -70
    assert min(holed.ids) == -70
    homeless = pool(bins, arrays=(-1,))
    assert homeless.ids == (0,)


def test_an_untouched_pair_is_refused() -> None:
    with pytest.raises(ZeroLiquidity):
        pool({}).spot_price()
    with pytest.raises(ZeroLiquidity):
        pool({0: Bin(0, 10)}).quote_exact_in("Y", 5)
