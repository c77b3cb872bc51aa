"""Cleaning rules: each on bars that have just its defect, and invariants on any bars."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.market import CleaningSettings, CleanResult, CleanSeries, clean
from portfolio_platform.market.errors import SeriesError
from portfolio_platform.market.price_rules import OUTAGE
from portfolio_platform_tests.market.synthetic import bars, changed, joined, priced, without


def only(result: CleanResult) -> CleanSeries:
    (series,) = result.series
    return series


def flagged(series: CleanSeries, name: str) -> list[int]:
    return [row for row, names in enumerate(series.flag_names()) if name in names]


def test_clean_bars_stay_as_they_are():
    given_bars = bars()
    result = clean([given_bars])
    series = only(result)
    pd.testing.assert_frame_equal(series.original().to_frame(), given_bars.to_frame())
    assert series.usable.all()
    assert {name for name, n in result.counters.items() if n} == {"rows", "kept"}


def test_a_gap_becomes_missing_bars_and_no_return():
    full = bars(n=30)
    series = only(clean([without(full, [10, 11])]))
    assert len(series) == 30
    assert flagged(series, "missing") == [10, 11]
    price = series.price()
    assert np.isnan(price[[10, 11]]).all()
    moves = np.diff(np.log(price))
    assert np.isnan(moves[9:12]).all()
    assert np.isfinite(np.delete(moves, [9, 10, 11])).all()


def test_bad_rows_are_quarantined_and_leave_a_hole():
    full = bars(n=30)
    spoiled = changed(full, 5, high=full.low[5] / 2)
    spoiled = changed(spoiled, 9, close=np.nan)
    spoiled = changed(spoiled, 12, close=-1.0)
    result = clean([spoiled])
    assert [(one.row, one.reason) for one in result.quarantine] == [
        (5, "bad_ohlc"),
        (9, "null_close"),
        (12, "non_positive_price"),
    ]
    assert flagged(only(result), "missing") == [5, 9, 12]
    assert result.counters["rows"] == 30
    assert result.counters["kept"] == 27


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"high": 9.9}, "bad_ohlc"),
        ({"high": 10.5}, "bad_ohlc"),
        ({"low": 10.5}, "bad_ohlc"),
        ({"low": 11.5}, "bad_ohlc"),
        ({"high": 10.0, "low": 12.0}, "bad_ohlc"),
        ({"low": 0.0}, "non_positive_price"),
        ({"open": np.nan}, "null_open"),
        ({"high": np.inf}, "not_finite"),
        ({"volume": np.inf}, "not_finite"),
        ({"volume": -1.0}, "negative_volume"),
        ({"turnover": -1.0}, "negative_volume"),
        ({"volume": np.nan, "turnover": np.nan}, None),
        ({"high": 11.0, "low": 10.0}, None),
        ({"high": 11.0 * (1 - 1e-12)}, None),
    ],
)
def test_what_is_a_bar(values, reason):
    good = {"open": 10.0, "high": 12.0, "low": 9.0, "close": 11.0}
    result = clean([changed(bars(n=10), 4, **(good | values))])
    assert [one.reason for one in result.quarantine] == ([] if reason is None else [reason])


def test_repeated_rows():
    full = bars(n=20)
    twice = joined(full, full.take(np.array([3])))
    result = clean([twice])
    assert result.counters["exact_duplicate"] == 1
    assert only(result).usable.all()
    unfinished = changed(full, 3, close=full.open[3], volume=1.0)
    result = clean([joined(full, unfinished.take(np.array([3])))])
    assert result.counters["superseded_duplicate"] == 1
    assert only(result).close[3] == full.close[3]
    # Everything alike but the close: neither is the later state of the other.
    unclear = changed(full, 3, close=(full.close[3] + full.open[3]) / 2)
    assert clean([joined(full, unclear.take(np.array([3])))]).counters["conflicting_duplicate"] == 2
    contradiction = priced(full, 3, full.close[3] * 3)
    result = clean([joined(full, contradiction.take(np.array([3])))])
    assert result.counters["conflicting_duplicate"] == 2
    assert flagged(only(result), "missing") == [3]


def test_a_flat_bar_without_volume_is_no_price_except_where_it_is():
    halted = {"volume": 0.0}
    for kind, expected in (("perp", [8]), ("spot", [8]), ("pool", []), ("oracle", [])):
        full = bars(kind=kind)
        spoiled = changed(priced(full, 8, full.close[7]), 8, **halted)
        series = only(clean([spoiled]))
        assert flagged(series, "stale") == expected
        assert np.isnan(series.price()[8]) == bool(expected)
        assert series.close[8] == full.close[7]
    traded = priced(bars(), 8, 99.0)
    assert flagged(only(clean([traded])), "stale") == []


def test_a_gap_of_all_listed_series_is_an_outage():
    one, two, three = (bars(f"{name}USDT", interval="1h") for name in ("SOL", "JUP", "RAY"))
    late = bars("WIFUSDT", interval="1h", start="2024-01-02T16:00", n=20)
    result = clean(
        [without(one, [20, 21, 30]), without(two, [20, 21]), without(three, [20, 21]), late]
    )
    by_symbol = {series.instrument.base: series for series in result.series}
    assert flagged(by_symbol["SOL"], "missing") == [20, 21, 30]
    for base in ("SOL", "JUP", "RAY"):
        assert flagged(by_symbol[base], "outage") == [20, 21]
    assert flagged(by_symbol["WIF"], "outage") == []
    assert result.counters["outage"] == 6
    other_venue = replace(three, instrument=replace(three.instrument, venue="binance"))
    few = clean([without(one, [20]), without(two, [20]), other_venue])
    assert few.counters["outage"] == 0


def test_a_price_that_another_source_refutes_is_kept_out_and_on_record():
    perp, spot = bars(), bars(kind="spot", venue="binance")
    bad = priced(perp, 30, perp.close[30] * 10)
    result = clean([bad, spot])
    series = {one.instrument.kind: one for one in result.series}
    assert flagged(series["perp"], "refuted") == [30]
    assert np.isnan(series["perp"].price()[30])
    assert series["perp"].close[30] == perp.close[30] * 10
    assert flagged(series["spot"], "disputed") == [30]
    assert series["spot"].usable.all()


def test_without_another_source_nothing_is_refuted():
    perp = bars()
    result = clean([priced(perp, 30, perp.close[30] * 10), bars("JUPUSDT", venue="binance")])
    assert result.counters["refuted"] == 0
    assert result.counters["large_move"] == 2


def test_a_crash_that_others_confirm_stands_however_deep():
    crash = np.where(np.arange(60) >= 30, 0.02, 1.0)
    perp, spot = bars(), bars(kind="spot", venue="binance")
    fallen = [
        replace(
            one, **{name: getattr(one, name) * crash for name in ("open", "high", "low", "close")}
        )
        for one in (perp, spot)
    ]
    assert clean(fallen).counters["refuted"] == 0
    # Deeper on one venue on that day: the basis is real.
    deeper = priced(fallen[0], 30, fallen[0].close[30] * 0.7)
    result = clean([deeper, fallen[1]])
    assert result.counters["refuted"] == 0
    assert result.counters["basis"] == 1
    assert all(one.usable.all() for one in result.series)


def test_three_sources_outvote_one_from_its_first_bar_on():
    mint = "So11111111111111111111111111111111111111112"
    older = [
        bars(venue=venue, kind="spot", mint=mint) for venue in ("binance", "coinbase", "kraken")
    ]
    newcomer = bars(mint=mint).take(np.arange(20, 60))
    wrong_unit = replace(
        newcomer,
        **{name: getattr(newcomer, name) * 1000 for name in ("open", "high", "low", "close")},
    )
    result = clean([*older, wrong_unit])
    assert result.counters["refuted"] == 40
    # Without a mint nothing says that the two are one asset, so nothing is thrown away.
    nameless = [replace(one, instrument=replace(one.instrument, mint=None)) for one in older]
    stray = replace(wrong_unit, instrument=replace(wrong_unit.instrument, mint=None))
    counters = clean([*nameless, stray]).counters
    assert counters["refuted"] == 0
    assert counters["disputed"] == 40


def test_multipliers_are_taken_out_before_comparing():
    bonk = bars("BONKUSDT", venue="binance", kind="spot", first=0.00002)
    thousand = bars("1000BONKUSDT", first=0.02)
    result = clean([bonk, thousand])
    assert result.counters["refuted"] == result.counters["disputed"] == 0
    series = {one.instrument.symbol: one for one in result.series}
    np.testing.assert_allclose(series["1000BONKUSDT"].price(), series["BONKUSDT"].price())
    np.testing.assert_allclose(
        series["1000BONKUSDT"].quote_volume(), thousand.close * thousand.volume
    )
    token = series["1000BONKUSDT"].to_frame()
    quoted = series["1000BONKUSDT"].to_frame(unit="quoted")
    np.testing.assert_allclose(token["close"] * 1000, quoted["close"])
    np.testing.assert_allclose(token["volume"], quoted["volume"] * 1000)


def two_coins(gap_days: int, factor: float):
    old = bars("LUNAUSDT", n=60)
    start = old.opened_at[-1] + np.timedelta64(gap_days + 1, "D")
    new = bars("LUNAUSDT", n=30, start=str(start), first=float(old.close[-1]) * factor)
    return joined(old, new), old, new


def test_a_ticker_given_to_another_coin_is_two_listings():
    both, old, new = two_coins(18, 1000.0)
    result = clean([both])
    assert result.counters["ticker_reuse"] == result.counters["split"] == 1
    assert result.counters["missing"] == 0
    first, second = result.series
    assert (first.instrument.asset, second.instrument.asset) == (
        "bybit:LUNAUSDT",
        "bybit:LUNAUSDT#2",
    )
    assert (len(first), len(second)) == (len(old), len(new))
    before, after = result.listings
    assert (before.ended, after.began, after.gap_bars) == ("delisted", "ticker_reuse", 18)
    assert before.listed_to == old.opened_at[-1] + np.timedelta64(1, "D")
    assert after.listed_from == new.opened_at[0]
    assert after.jump == pytest.approx(1000.0)


def test_a_given_mint_belongs_to_the_last_coin():
    both, _, _ = two_coins(18, 1000.0)
    minted = replace(both, instrument=replace(both.instrument, mint="Luna2mint"))
    assert [one.instrument.asset for one in clean([minted]).series] == [
        "bybit:LUNAUSDT",
        "Luna2mint",
    ]


@pytest.mark.parametrize(
    ("gap_days", "factor", "split", "returned"),
    [(18, 4.0, 0, 1), (18, 0.0001, 1, 0), (6, 1000.0, 0, 0), (18, 1.0, 0, 1), (3000, 50.0, 0, 1)],
)
def test_a_listing_splits_only_on_a_long_gap_and_an_impossible_jump(
    gap_days, factor, split, returned
):
    both, old, new = two_coins(gap_days, factor)
    result = clean([both])
    assert (result.counters["split"], result.counters["returned"]) == (split, returned)
    # A withdrawn pair is not a pair with missing bars; a short gap is.
    expected = gap_days if gap_days < 7 else 0
    assert result.counters["missing"] == expected
    assert sum(map(len, result.series)) == len(old) + len(new) + expected


def test_declared_listing_bounds_keep_other_bars_out():
    full = bars(n=30)
    instrument = replace(full.instrument, listed_from=datetime(2024, 1, 11, tzinfo=UTC))
    result = clean([replace(full, instrument=instrument)])
    assert result.counters["outside_listing"] == 10
    assert only(result).opened_at[0] == np.datetime64("2024-01-11")


def test_delistings_and_new_listings_are_explicit():
    old = bars("SRMUSDT", n=30)
    young = bars("JTOUSDT", n=20, start="2024-02-10")
    result = clean([bars(n=60), old, young])
    found = {one.instrument.base: one for one in result.listings}
    assert (found["SOL"].began, found["SOL"].ended, found["SOL"].listed_to) == (
        "start_of_data",
        None,
        None,
    )
    assert found["SRM"].ended == "delisted"
    assert found["SRM"].listed_to == np.datetime64("2024-01-31")
    assert (found["JTO"].began, found["JTO"].listed_from) == ("listed", np.datetime64("2024-02-10"))


def test_one_series_is_given_once_and_under_its_own_name():
    one = bars()
    with pytest.raises(SeriesError, match="twice"):
        clean([one, one])
    with pytest.raises(SeriesError, match="given under"):
        clean({bars("JUPUSDT").instrument: one})
    both = [one, bars(interval="1h")]
    result = clean(both)
    with pytest.raises(SeriesError, match="2 clean series"):
        result.of(one.instrument)
    assert result.of(one.instrument, "1h").interval == "1h"


def test_nothing_in_nothing_out():
    result = clean([])
    assert result.series == ()
    assert set(result.counters.values()) == {0}
    empty = bars().take(np.array([], dtype=int))
    assert clean([empty]).series == ()


@st.composite
def dirty_market(draw: st.DrawFn):
    """Two or three series of one asset with defects anywhere, rows in any order."""
    out = []
    for place, (venue, kind) in enumerate(
        (("bybit", "perp"), ("binance", "spot"), ("pyth", "oracle"))
    ):
        n = draw(st.integers(5, 45))
        one = bars(venue=venue, kind=kind, n=n, start=f"2024-01-{draw(st.integers(1, 20)):02d}")
        for _ in range(draw(st.integers(0, 4))):
            at = draw(st.integers(0, n - 1))
            factor = draw(st.sampled_from([0.001, 0.5, 1.5, 30.0, -1.0, np.nan]))
            spoil = draw(st.sampled_from(["price", "close", "high", "halt", "time"]))
            if spoil == "price":
                one = priced(one, at, one.close[at] * factor)
            elif spoil == "halt":
                one = changed(priced(one, at, one.close[at]), at, volume=0.0)
            elif spoil == "time":
                moved = one.opened_at.copy()
                moved[at] += np.timedelta64(draw(st.sampled_from([1, 24, 24 * 30])), "h")
                one = replace(one, opened_at=moved)
            else:
                one = changed(one, at, **{spoil: getattr(one, spoil)[at] * factor})
        one = without(one, draw(st.lists(st.integers(0, n - 1), max_size=4)))
        if len(one):
            again = np.array(draw(st.lists(st.integers(0, len(one) - 1), max_size=3)), dtype=int)
            one = joined(one, one.take(again))
            one = one.take(np.array(draw(st.permutations(range(len(one))))))
        if place == 0 or draw(st.booleans()):
            out.append(one)
    return out


def same(left: CleanSeries, right: CleanSeries, ignore: int = 0) -> None:
    assert left.instrument == right.instrument
    pd.testing.assert_frame_equal(
        left.to_frame(unit="quoted").drop(columns="flags"),
        right.to_frame(unit="quoted").drop(columns="flags"),
    )
    np.testing.assert_array_equal(left.flags & ~np.uint8(ignore), right.flags & ~np.uint8(ignore))


@given(market=dirty_market())
def test_every_row_is_a_bar_a_duplicate_or_quarantined(market):
    result = clean(market)
    rows = sum(map(len, market))
    existing = sum(len(one.original()) for one in result.series)
    duplicates = result.counters["exact_duplicate"] + result.counters["superseded_duplicate"]
    assert rows == existing + duplicates + len(result.quarantine) == result.counters["rows"]
    for one in result.series:
        step = np.diff(one.opened_at)
        assert (step > np.timedelta64(0)).all()
        assert (np.isfinite(one.price()) == one.usable).all()


@given(market=dirty_market())
def test_cleaning_again_changes_nothing(market):
    result = clean(market)
    again = clean([one.original() for one in result.series])
    assert len(again.series) == len(result.series)
    for left, right in zip(
        sorted(result.series, key=lambda one: (one.instrument.key, one.instrument.kind)),
        sorted(again.series, key=lambda one: (one.instrument.key, one.instrument.kind)),
        strict=True,
    ):
        same(left, right)
    assert again.quarantine == ()


@given(market=dirty_market(), day=st.integers(2, 60))
def test_later_bars_never_change_an_earlier_verdict(market, day):
    cut = np.datetime64("2024-01-01", "ns") + np.timedelta64(day, "D")
    whole = clean(market)
    part = clean([one.take(one.known_at <= cut) for one in market])
    known = [series.until(cut) for series in whole.series]
    # Bars missing up to the cut are only seen as missing once a later bar exists.
    by_key = {one.instrument: one for one in known}
    for one in part.series:
        full = by_key.pop(one.instrument)
        last = one.known_at[-1]
        same(full.until(last), one, ignore=OUTAGE)
        assert not full.usable[len(one) :].any()
    assert all(not one.usable.any() for one in by_key.values())


def test_settings_are_strict():
    with pytest.raises(ValueError, match="extra"):
        CleaningSettings(reuse_gap=3)
    with pytest.raises(ValueError, match="reuse_factor"):
        CleaningSettings(reuse_factor=0.5)
    with pytest.raises(ValueError, match="frozen"):
        CleaningSettings().large_move = 1.0
