"""Only what passes every gate flows on; crashes pass, stale and empty sources do not."""

import math
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.price_points import (
    PricePoint,
    oracle_point,
    pool_price,
    reserve_point,
    stake_pool_point,
)
from portfolio_platform.solana.prices import GateSettings, best, best_by_mint, judge
from portfolio_platform.solana.snapshot import AccountRecord
from portfolio_platform_tests.solana.conftest import recorded

NOW = datetime(2024, 11, 2, 8, 8, tzinfo=UTC)
SOL, USDC = programs.WRAPPED_SOL, programs.USDC
GATES = GateSettings()


def point(price: float | None, source: str = "pyth_price_update_v2", **more: Any) -> PricePoint:
    fields: dict[str, Any] = {
        "mint": SOL,
        "source": source,
        "pubkey": f"{source}-{price}",
        "slot": 100,
        "price": price,
        **more,
    }
    if source.startswith("pyth"):
        fields = {
            "confidence": (price or 0) * 0.001,
            "published_at": NOW - timedelta(seconds=5),
            "age_slots": 10,
            "has_clock": True,
        } | fields
    return PricePoint(**fields)


def only(points: list[PricePoint], **more: Any) -> list[Any]:
    return judge(points, GATES, now=NOW, **more)


def decoded(record: AccountRecord) -> Decoded:
    answer = record.decode()
    assert isinstance(answer, Decoded)
    return answer


@pytest.mark.real_data
def test_the_recorded_stale_oracle_is_refused_although_its_timestamp_is_fresh(
    real_data: Path,
) -> None:
    record = recorded(real_data, "marginfi/sol_pyth_oracle.json", slot=299058490)
    (verdict,) = only([oracle_point(SOL, record, decoded(record))])
    assert verdict.price == 119.23378
    assert verdict.age_seconds == 20.0  # looks fresh
    assert verdict.verdict == "refused"
    assert "oracle_not_trading" in verdict.reasons
    assert "slot_too_old" in verdict.reasons


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "slot", "now", "price"),
    [
        (
            "mango_v4_resources/7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE.bin",
            276582015,
            datetime(2024, 7, 9, 13, 58, 10, tzinfo=UTC),
            140.615937,
        ),
        (
            "pyth/pyth_push_sol_price.bin",
            277875170,
            datetime(2024, 7, 16, 12, 36, 50, tzinfo=UTC),
            156.797691,
        ),
        (
            "marginfi/sol_pyth_price_feed.json",
            311798340,
            datetime(2025, 1, 4, 9, 48, 20, tzinfo=UTC),
            215.681371,
        ),
    ],
)
def test_recorded_oracles_are_accepted_at_their_own_time(
    real_data: Path, name: str, slot: int, now: datetime, price: float
) -> None:
    record = recorded(real_data, name, slot=slot)
    (verdict,) = judge([oracle_point(SOL, record, decoded(record))], GATES, now=now)
    assert verdict.verdict == "accepted", verdict.reasons
    assert verdict.price == pytest.approx(price, abs=5e-7)


@pytest.mark.real_data
def test_a_timestamp_of_zero_is_an_unknown_age_and_not_1970(real_data: Path) -> None:
    record = recorded(
        real_data, "pyth_solend/J83w4HKfqxwcq3BEMMkPFSppX3gqekLyLJBexebFVkix.bin", slot=64338668
    )
    (verdict,) = only([oracle_point(SOL, record, decoded(record))])
    assert verdict.age_seconds is None
    assert verdict.reasons == ("timestamp_unknown",)


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("carbon_accounts/orca-whirlpool/whirlpool_account.json", "never_traded"),
        (
            "meteora_dlmm/FJbEo74c2W4QLBBVUfUvi8VBWXtMdJVPuFpq2f6UV1iB/"
            "FJbEo74c2W4QLBBVUfUvi8VBWXtMdJVPuFpq2f6UV1iB.json",
            "never_traded",
        ),
    ],
)
def test_pools_that_never_traded_carry_the_reason(real_data: Path, name: str, reason: str) -> None:
    record = recorded(real_data, name)
    spot = pool_price(decoded(record), {}, dict.fromkeys(_mints(record), 9))
    assert spot is not None
    assert reason in spot.problems


def _mints(record: AccountRecord) -> list[str]:
    return [value for name, value in decoded(record).values.items() if name.startswith("mint_")]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "decimals", "depth"),
    [
        ("mango_v4_resources/Ds33rQ1d4AXwxqyeXX6Pc3G4pFNr6iWb3dd8YfBBQMPr.bin", (9, 6), 6.10),
        (
            "orca_whirlpool/sol_usdc_wp_whirlpool."
            "HJPjoWUrhoZzkNfRpHuieeFk9WcZWjwy6PBjZ81ngndJ.json",
            (9, 6),
            180_363,
        ),
        (
            "orca_whirlpool/samo_usdc_wp_whirlpool."
            "9vqYJjDUFecLL2xPUC4Rc7hyCtZ6iJ4mDiVZX7aFXoAe.json",
            (9, 6),
            3_280,
        ),
    ],
)
def test_depth_tells_dust_from_a_market(
    real_data: Path, name: str, decimals: tuple[int, int], depth: float
) -> None:
    record = recorded(real_data, name)
    spot = pool_price(decoded(record), {}, dict(zip(_mints(record), decimals, strict=False)))
    assert spot is not None
    assert spot.depth_b == pytest.approx(depth, rel=1e-3)
    deep = spot.depth_b is not None and spot.depth_b >= GATES.min_depth
    assert deep == (depth > 100)


@pytest.mark.real_data
def test_a_stale_byte_alone_does_not_refuse_a_reserve(real_data: Path) -> None:
    record = recorded(real_data, "kamino/kamino_usdc_reserve.json", slot=377723100)
    now = datetime(2025, 11, 3, 20, 30, 50, tzinfo=UTC)
    (verdict,) = judge([reserve_point(record, decoded(record))], GATES, now=now)
    assert verdict.verdict == "accepted", verdict.reasons
    assert verdict.price == pytest.approx(0.99989052)


@pytest.mark.real_data
def test_a_dust_stake_pool_is_too_thin_and_a_real_one_is_priced_through_sol(
    real_data: Path,
) -> None:
    dust = recorded(real_data, "stake_pools/jup-pool.json")
    real = recorded(real_data, "stake_pools/jito-stake-pool.json")
    mints = [decoded(one).values["pool_mint"] for one in (dust, real)]
    verdicts = only(
        [
            point(60.0),
            stake_pool_point(mints[0], dust, decoded(dust), None),
            stake_pool_point(mints[1], real, decoded(real), 539),
        ]
    )
    by_mint = {one.mint: one for one in verdicts}
    assert by_mint[mints[0]].reasons == ("too_thin",)
    assert by_mint[mints[1]].price == pytest.approx(60.0 * 1.0734001570)
    (late,) = only([point(60.0), stake_pool_point(mints[1], real, decoded(real), 541)])[1:]
    assert late.reasons == ("rate_outdated",)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"published_at": NOW - timedelta(seconds=121)}, "too_old"),
        ({"published_at": NOW + timedelta(seconds=31)}, "published_in_future"),
        ({"published_at": None}, "timestamp_unknown"),
        ({"age_slots": 601}, "slot_too_old"),
        ({"confidence": 3.1}, "confidence_too_wide"),
        ({"price": 0.0}, "price_not_positive"),
        ({"price": -1.0}, "price_not_positive"),
        ({"price": math.inf}, "price_not_positive"),
        ({"price": math.nan}, "price_not_positive"),
        ({"price": None}, "no_price"),
        ({"problems": ("oracle_not_trading",)}, "oracle_not_trading"),
        ({"depth": 99.0}, "too_thin"),
        ({"depth": 0.0, "problems": ("zero_liquidity",)}, "zero_liquidity"),
        ({"quote": "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"}, "quote_not_priced"),
    ],
)
def test_each_gate_refuses_with_its_own_reason(change: dict[str, Any], reason: str) -> None:
    (good,) = only([point(150.0)])
    assert (good.verdict, good.reasons) == ("accepted", ())
    (verdict,) = only([replace(point(150.0), **change)])
    assert verdict.verdict == "refused"
    assert verdict.reasons == (reason,)


def test_a_slot_that_went_back_is_refused() -> None:
    one = point(150.0)
    (verdict,) = only([one], last_slots={one.pubkey: 101})
    assert verdict.reasons == ("slot_went_back",)
    assert only([one], last_slots={one.pubkey: 100})[0].verdict == "accepted"


def test_two_sources_that_disagree_are_both_refused() -> None:
    verdicts = only([point(150.0), point(160.0, "orca_whirlpool", quote=USDC, depth=1e5)])
    assert [one.reasons for one in verdicts] == [("sources_disagree",)] * 2
    assert best_by_mint(verdicts) == {}


def test_a_third_voice_decides() -> None:
    pool = point(160.0, "orca_whirlpool", quote=USDC, depth=1e5)
    verdicts = only([point(150.0), pool, point(150.5, "raydium_clmm", quote=USDC, depth=1e5)])
    assert [one.verdict for one in verdicts] == ["accepted", "refused", "accepted"]
    assert verdicts[1].reasons == ("deviates_from_sources",)
    with_venue = only([point(150.0), pool], references={SOL: 150.2})
    assert [one.verdict for one in with_venue] == ["accepted", "refused"]


def test_a_stale_source_has_no_vote() -> None:
    stale = replace(point(119.0), problems=("oracle_not_trading",))
    pool = point(165.0, "orca_whirlpool", quote=USDC, depth=1e5)
    verdicts = only([stale, pool])
    assert [one.verdict for one in verdicts] == ["refused", "accepted"]
    chosen = best(verdicts)
    assert chosen is not None
    assert chosen.price == 165.0


@pytest.mark.parametrize(
    ("mint", "prices"),
    [
        (SOL, (14.08, 14.05, 14.11)),  # 2022-11-09, half of the day before
        (USDC, (0.9592, 0.9591, 0.9588)),  # 2023-03-11
        ("7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU", (2.0e-2, 2.01e-2, 1.99e-2)),
    ],
)
def test_crashes_and_depegs_that_every_source_shows_are_prices(
    mint: str, prices: tuple[float, ...]
) -> None:
    points = [
        replace(point(price), mint=mint, pubkey=f"{index}") for index, price in enumerate(prices)
    ]
    verdicts = only(points, last_slots={"0": 50})
    assert {one.verdict for one in verdicts} == {"accepted"}


def test_pools_follow_the_depegged_hub() -> None:
    hub = replace(point(0.96), mint=USDC)
    pool = point(20.0, "orca_whirlpool", quote=USDC, depth=1e5)
    verdicts = only([hub, pool])
    assert [one.price for one in verdicts] == [0.96, pytest.approx(19.2)]
    assert [one.unit for one in verdicts] == ["usd", "usd"]


def test_a_price_that_rests_on_the_hub_counting_as_one_says_so() -> None:
    stale = replace(point(0.96), mint=USDC, age_slots=10_000)
    pool = point(20.0, "orca_whirlpool", quote=USDC, depth=1e5)
    for points in ([pool], [stale, pool]):
        verdict = only(points)[-1]
        assert (verdict.price, verdict.unit) == (20.0, "hub")


def test_the_best_price_is_the_tightest_oracle_then_the_deepest_pool() -> None:
    wide, tight = point(150.0, confidence=1.0), point(150.1, confidence=0.1)
    shallow = point(150.2, "orca_whirlpool", quote=USDC, depth=1e4)
    deep = point(150.3, "raydium_clmm", quote=USDC, depth=1e6)
    rate = point(150.4, "spl_stake_pool", depth=1e9)
    order = [tight, wide, deep, shallow, rate]
    while order:
        chosen = best(only(list(reversed(order))))
        assert chosen is not None
        assert chosen.price == order[0].price
        order.pop(0)


_NUMBER = st.floats() | st.none()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.builds(
            PricePoint,
            mint=st.sampled_from([SOL, USDC]),
            source=st.sampled_from(["pyth_price_v2", "orca_whirlpool", "spl_stake_pool"]),
            pubkey=st.sampled_from(["a", "b"]),
            slot=st.integers(0, 10),
            price=_NUMBER,
            quote=st.sampled_from([None, SOL, USDC, "x"]),
            confidence=_NUMBER,
            depth=_NUMBER,
            age_slots=st.none() | st.integers(-10, 10_000),
            has_clock=st.booleans(),
        ),
        max_size=6,
    )
)
def test_no_input_makes_an_accepted_price_that_is_not_a_number(points: list[PricePoint]) -> None:
    verdicts = judge(points, GATES, now=NOW)
    assert len(verdicts) == len(points)
    for one in verdicts:
        assert (one.verdict == "accepted") == (one.reasons == ())
        if one.verdict == "accepted":
            assert one.price is not None
            assert math.isfinite(one.price)
            assert one.price > 0
            assert one.confidence is None or one.confidence <= 0.02 * one.price
            assert one.depth is None or 100.0 <= one.depth < math.inf
