"""StableSwap: vectors of the exact curve, and the unit that stays with the pool."""

import pytest

from portfolio_platform.amm import InsufficientLiquidity, InvalidPool, StablePool, ZeroLiquidity
from portfolio_platform.amm.stable import invariant


def pool(amplification: int, x: int, y: int, **more: int) -> StablePool:
    return StablePool(
        address="P", mint_a="A", mint_b="B", reserve_a=x, reserve_b=y, ann=2 * amplification, **more
    )


@pytest.mark.parametrize(
    ("amplification", "x", "y", "amount", "d", "out"),
    [
        (100, 10**12, 10**12, 10**9, 2 * 10**12, 999990099.0982),
        (100, 10**12, 10**12, 10**11, 2 * 10**12, 99900110864.7585),
        (100, 15 * 10**11, 5 * 10**11, 10**11, 1996715821544.2591, 97804479048.6687),
        (1000, 8 * 10**11, 12 * 10**11, 10**11, 1999958377555.8268, 100031534729.3139),
        (1, 10**12, 10**12, 10**11, 2 * 10**12, 95227299777.1097),
    ],
)
def test_vectors_of_the_exact_curve(
    amplification: int, x: int, y: int, amount: int, d: float, out: float
) -> None:
    made = pool(amplification, x, y)
    assert invariant(x, y, 2 * amplification) == pytest.approx(d, abs=1)
    assert made._real_out(True, amount) / 2**32 == pytest.approx(out, abs=1e-4)
    assert made.quote_exact_in("A", amount).amount_out == int(out) - 1


def test_equal_reserves_have_price_one_and_decimals_scale_it() -> None:
    assert pool(100, 10**12, 10**12).spot_price() == 1
    scaled = pool(100, 10**15, 10**12, scale_b=1000)
    assert scaled.spot_price() * 1000 == 1
    plain = pool(100, 10**12, 10**12).quote_exact_in("A", 10**9).amount_out
    assert scaled.quote_exact_in("A", 10**12).amount_out == plain


def test_fee_is_taken_of_the_output() -> None:
    made = pool(100, 10**12, 10**12, fee_numerator=4)
    quote = made.quote_exact_in("A", 10**9)
    assert (quote.fee, quote.fee_out) == (0, -(-999990098 * 4 // 10_000))
    assert quote.amount_out == 999990098 - quote.fee_out
    assert made.after(quote).reserve_b == 10**12 - quote.amount_out
    exact = made.quote_exact_out("B", quote.amount_out)
    assert exact.amount_in <= 10**9


def test_a_higher_amplification_is_a_flatter_curve() -> None:
    outs = [pool(a, 10**12, 10**12).quote_exact_in("A", 10**11).amount_out for a in (1, 10, 1000)]
    assert outs == sorted(outs)


def test_refusals() -> None:
    with pytest.raises(ZeroLiquidity):
        pool(100, 0, 10).quote_exact_in("A", 1)
    with pytest.raises(InsufficientLiquidity):
        pool(100, 10**9, 10**9).quote_exact_out("B", 10**9)
    with pytest.raises(InvalidPool):
        pool(0, 1, 1)
    with pytest.raises(InvalidPool):
        pool(1, 1, 1, scale_a=0)
