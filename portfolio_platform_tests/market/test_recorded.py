"""The rules on recorded bars: known dirt is found, known prices and real crashes stand."""

import time
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from portfolio_platform.market import build_panel, clean, compute_metrics, read_bars
from portfolio_platform_tests.market.synthetic import priced

pytestmark = pytest.mark.real_data
SOL = "So11111111111111111111111111111111111111112"


@pytest.fixture(scope="module")
def perp(real_data):
    path = real_data / "market" / "bybit_linear_perp_daily.parquet"
    return read_bars(path, "bybit", "perp", mints={"SOL": SOL})


@pytest.fixture(scope="module")
def spot(real_data):
    path = real_data / "market" / "binance_spot_hourly.parquet"
    return read_bars(path, "binance", "spot", mints={"SOL": SOL})


@pytest.fixture(scope="module")
def cleaned(perp, spot):
    return clean([*perp.series.values(), *spot.series.values()])


def find(result, venue, symbol, listing=1):
    return next(
        one
        for one in result.series
        if (one.instrument.venue, one.instrument.symbol, one.instrument.listing)
        == (venue, symbol, listing)
    )


def at(series, when):
    row = int(np.flatnonzero(series.opened_at == np.datetime64(when))[0])
    assert series.usable[row]
    return row


def test_perp_duplicates_are_the_twenty_of_one_day(perp):
    report = perp.report
    assert (report.rows, report.kept, report.duplicates, report.quarantined) == (
        30697,
        30677,
        20,
        0,
    )
    assert report.interval == "1d"
    assert report.reasons == {"exact_duplicate": 20}
    repeated = [one for one in report.symbols if one.duplicates]
    assert {one.duplicates for one in repeated} == {1}
    assert {one.symbol for one in repeated} == {
        one.symbol for one in report.symbols if one.rows > 700
    }
    assert not any(one.gaps or one.zero_volume or one.bad_ohlc for one in report.symbols)
    assert report.to_json()["multiplier_symbols"] == {"1000BONKUSDT": 1000}


def test_spot_rows_and_flat_bars(spot):
    report = spot.report
    assert (report.rows, report.kept, len(spot.series)) == (529521, 529521, 32)
    assert report.interval == "1h"
    assert sum(one.zero_volume for one in report.symbols) == 28
    assert report.to_json()["fiat_symbols"] == ["EURUSDT"]


def test_names_meet_across_venues(perp, spot):
    bases = {one.base for one in perp.series} & {one.base for one in spot.series}
    assert {"RAY", "RENDER", "SOL", "HNT"} <= bases
    assert "LUNA" not in {one.base for one in perp.series}


@pytest.mark.parametrize(
    ("venue", "symbol", "opened", "close"),
    [
        ("bybit", "SOLUSDT", "2021-11-06", 258.37),
        ("binance", "SOLUSDT", "2021-11-06T23:00", 258.44),
        ("bybit", "SOLUSDT", "2022-12-29", 9.61),
        ("binance", "SOLUSDT", "2022-12-29T23:00", 9.64),
        ("binance", "BTCUSDT", "2021-11-10T14:00", 68382.69),
        ("bybit", "BTCUSDT", "2022-11-21", 15765.5),
        ("bybit", "BTCUSDT", "2024-12-16", 106094.2),
        ("bybit", "SOLUSDT", "2024-12-31", 189.22),
        ("bybit", "USDCUSDT", "2023-03-11", 0.9591),
        ("binance", "USDCUSDT", "2023-03-11T23:00", 0.9592),
        ("binance", "USTUSDT", "2022-05-11T08:00", 0.50),
        ("binance", "LUNAUSDT", "2022-05-12T12:00", 0.02018),
    ],
)
def test_known_prices_and_real_crashes_stand(cleaned, venue, symbol, opened, close):
    series = find(cleaned, venue, symbol)
    assert series.close[at(series, opened)] == pytest.approx(close, rel=1e-9)


def test_nothing_recorded_is_refuted(cleaned):
    assert cleaned.counters["refuted"] == 0
    assert cleaned.counters["bad_ohlc"] == 0


def test_the_ftx_day_is_a_basis_between_two_series(cleaned):
    perp, spot = find(cleaned, "bybit", "SOLUSDT"), find(cleaned, "binance", "SOLUSDT")
    day = at(perp, "2022-11-09")
    assert "basis" in perp.flag_names()[day]
    assert perp.price()[day] == 10.61
    assert spot.price()[at(spot, "2022-11-09T23:00")] == 14.08
    assert perp.instrument != spot.instrument
    assert perp.instrument.asset == spot.instrument.asset == SOL
    for prefer, close in ((("spot", "perp"), 14.08), (("perp", "spot"), 10.61)):
        panel = build_panel([perp, spot], prefer=prefer)
        row = int(np.flatnonzero(panel.times == np.datetime64("2022-11-10"))[0])
        assert panel.close[row, 0] == close


def test_outages_are_found_and_are_no_zero_returns(cleaned):
    bitcoin = find(cleaned, "binance", "BTCUSDT")
    names = bitcoin.flag_names()
    out = bitcoin.opened_at[["outage" in one for one in names]]
    expected = [
        *pd.date_range("2021-04-20 02:00", "2021-04-20 03:00", freq="h"),
        *pd.date_range("2021-04-25 05:00", "2021-04-25 07:00", freq="h"),
        *pd.date_range("2021-08-13 02:00", "2021-08-13 05:00", freq="h"),
        *pd.date_range("2021-09-29 07:00", "2021-09-29 08:00", freq="h"),
        *pd.date_range("2023-03-24 12:00", "2023-03-24 13:00", freq="h"),
    ]
    assert list(pd.to_datetime(out)) == expected
    assert np.isnan(bitcoin.price()[np.isin(bitcoin.opened_at, out)]).all()
    assert cleaned.counters["stale"] == 28
    assert cleaned.counters["missing"] + cleaned.counters["stale"] == cleaned.counters["outage"]


def test_luna_is_two_coins(cleaned):
    old, new = find(cleaned, "binance", "LUNAUSDT"), find(cleaned, "binance", "LUNAUSDT", 2)
    assert old.opened_at[-1] == np.datetime64("2022-05-13T00:00")
    assert old.close[-1] == 0.00005
    assert new.opened_at[0] == np.datetime64("2022-05-31T06:00")
    assert (new.open[0], new.close[0]) == (1.0, 8.5558)
    assert new.instrument.asset == "binance:LUNAUSDT#2"
    assert cleaned.counters["ticker_reuse"] == 1
    second = next(one for one in cleaned.listings if one.began == "ticker_reuse")
    assert second.gap_bars == 437


def test_a_withdrawn_pair_returns_as_itself(cleaned):
    usdc = [one for one in cleaned.listings if one.instrument.key == "binance:USDCUSDT"]
    assert [(one.began, one.ended) for one in usdc] == [
        ("start_of_data", "withdrawn"),
        ("returned", None),
    ]
    assert usdc[1].listed_from == np.datetime64("2023-03-11T14:00")
    assert usdc[1].gap_bars == 3995


def test_delistings_are_explicit(cleaned):
    ended = {
        one.instrument.symbol: str(one.listed_to.astype("datetime64[h]"))
        for one in cleaned.listings
        if one.ended == "delisted" and one.instrument.venue == "binance"
    }
    assert ended == {
        "USTUSDT": "2022-05-13T01",
        "LUNAUSDT": "2022-05-13T01",
        "HNTUSDT": "2022-10-14T03",
        "FTTUSDT": "2022-11-15T05",
        "SRMUSDT": "2022-11-28T03",
    }
    helium = [one for one in cleaned.listings if one.instrument.key == "bybit:HNTUSDT"]
    assert [one.ended for one in helium] == [None]


def test_a_false_print_in_recorded_bars_is_refuted(perp, spot):
    sol = next(one for key, one in perp.series.items() if key.base == "SOL")
    other = next(one for key, one in spot.series.items() if key.base == "SOL")
    row = int(np.flatnonzero(sol.opened_at == np.datetime64("2022-03-01"))[0])
    result = clean([priced(sol, row, sol.close[row] * 1.5), other])
    assert result.counters["refuted"] == 1
    series = find(result, "bybit", "SOLUSDT")
    assert "refuted" in series.flag_names()[row]


def test_metrics_on_a_known_day(cleaned):
    panel = build_panel(cleaned.series, prefer=("perp:1d", "spot:1h"))
    found = {one.asset: one for one in compute_metrics(panel, datetime(2025, 1, 1, tzinfo=UTC), {})}
    sol, bonk = found[SOL], found["bybit:1000BONKUSDT"]
    assert sol.price == 189.22
    assert sol.correlation_to_sol == pytest.approx(1.0)
    assert 0.5 < sol.volatility < 1.2
    assert 1e-5 < bonk.price < 1e-4
    assert 1.0 < bonk.beta_to_sol < 2.0
    assert found["binance:FTTUSDT"].price is None
    assert "2022-11-15" in found["binance:FTTUSDT"].undefined["price"]


def test_the_hourly_file_takes_seconds(real_data):
    start = time.process_time()
    file = read_bars(real_data / "market" / "binance_spot_hourly.parquet", "binance", "spot")
    result = clean(file.series)
    build_panel(result.series, prefer=("spot",))
    assert time.process_time() - start < 5.0
