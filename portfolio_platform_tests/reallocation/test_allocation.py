"""Water-fill under caps: vectors, order, sums."""

from fractions import Fraction
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.reallocation import water_fill

ASSETS = list("ABCDEF")
PARTS = st.fractions(0, 1000, max_denominator=50)


def exact(**values: int) -> dict[str, Fraction]:
    return {asset: Fraction(value) for asset, value in values.items()}


@pytest.mark.parametrize(
    ("total", "weights", "caps", "shares"),
    [
        (300, exact(A=1, B=1, C=1), exact(A=10), exact(A=10, B=145, C=145)),
        (1000, exact(A=50, B=30, C=20), exact(A=100), exact(A=100, B=540, C=360)),
        (
            1000,
            exact(A=50, B=30, C=20),
            exact(A=100, B=200, C=300),
            exact(A=100, B=200, C=300),
        ),
    ],
)
def test_vectors_in_every_order(
    total: int,
    weights: dict[str, Fraction],
    caps: dict[str, Fraction],
    shares: dict[str, Fraction],
) -> None:
    for order in permutations(weights):
        assert water_fill(Fraction(total), {a: weights[a] for a in order}, caps) == shares


@given(
    total=PARTS,
    weights=st.dictionaries(st.sampled_from(ASSETS), PARTS, min_size=1),
    caps=st.dictionaries(st.sampled_from(ASSETS), PARTS),
)
def test_what_is_shared(
    total: Fraction, weights: dict[str, Fraction], caps: dict[str, Fraction]
) -> None:
    shares = water_fill(total, weights, caps)
    positive = [asset for asset, weight in weights.items() if weight > 0]
    assert all(shares[asset] <= caps.get(asset, total) for asset in positive)
    assert all(shares[asset] == 0 for asset in weights if asset not in positive)
    room = [caps[asset] for asset in positive if asset in caps]
    if len(room) == len(positive):
        assert sum(shares.values()) == min(total, sum(room, Fraction(0)))
    else:
        assert sum(shares.values()) == total
    # Fair: what is below its cap has the same share per weight, and no capped asset has more.
    free = {shares[a] / weights[a] for a in positive if a not in caps or shares[a] < caps[a]}
    assert len(free) <= 1
    for level in free:
        assert all(shares[a] / weights[a] <= level for a in positive)


def test_negative_arguments_are_refused() -> None:
    for total, weights, caps in ((-1, 1, 1), (1, -1, 1), (1, 1, -1)):
        with pytest.raises(ValueError):
            water_fill(Fraction(total), exact(A=weights), exact(A=caps))
