"""Reading bar files: errors that name the place, and an account of every row."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.market import read_bars
from portfolio_platform.market.bar_file import file_sha256
from portfolio_platform.market.errors import (
    AmbiguousColumn,
    BadSymbol,
    InstrumentError,
    MissingColumn,
    NoUsableRows,
    UnknownInterval,
    UnreadableFile,
    UnsupportedInterval,
)

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "bars"
HEADER = "date,open,high,low,close,volume"


def written(folder: Path, *lines: str, name: str = "bars.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def row(date: object, close: object = 10, volume: object = 5, symbol: str | None = None) -> str:
    line = f"{date},10,12,9,{close},{volume}"
    return line if symbol is None else f"{line},{symbol}"


def read(path: Path, **options):
    options.setdefault("symbol", "SOLUSDT")
    return read_bars(path, "bybit", "perp", **options)


def test_the_clean_example():
    file = read_bars(EXAMPLES / "daily.csv", "example", "spot")
    assert file.interval == "1d"
    assert file.report.rows == file.report.kept == sum(map(len, file.series.values()))
    assert {one.base for one in file.series} == {"SOL", "BONK"}
    assert file.sha256 == file_sha256(EXAMPLES / "daily.csv")


def test_the_dirty_example_accounts_for_every_row():
    report = read_bars(EXAMPLES / "dirty.csv", "example", "spot").report
    assert report.reasons == {
        "null_time": 1,
        "off_grid": 1,
        "null_close": 1,
        "non_positive_price": 1,
        "bad_ohlc": 1,
        "negative_volume": 1,
        "exact_duplicate": 1,
        "superseded_duplicate": 1,
        "conflicting_duplicate": 2,
    }
    assert report.rows == report.kept + report.duplicates + report.quarantined
    symbol = report.symbols[0]
    assert symbol.zero_volume == 1
    assert symbol.unsorted > 0
    assert symbol.gaps > 0
    shown = report.to_json()
    assert shown["multiplier_symbols"] == {"1000BONKUSDT": 1000}
    bad = {one["reason"]: one["row"] for one in shown["quarantine"]}
    lines = (EXAMPLES / "dirty.csv").read_text().splitlines()
    high, low = (float(lines[bad["bad_ohlc"]].split(",")[at]) for at in (2, 3))
    assert high < low


@pytest.mark.parametrize(
    ("cells", "unit"),
    [
        (["2024-01-01", "2024-01-02", "2024-01-03"], "text"),
        (["2024-01-01T00:00:00Z", "2024-01-02T00:00:00Z", "2024-01-03T00:00:00Z"], "zulu"),
        (["2024-01-01T02:00:00+02:00", "2024-01-02", "2024-01-03 00:00:00"], "mixed"),
        ([1704067200, 1704153600, 1704240000], "s"),
        ([1704067200000, 1704153600000, 1704240000000], "ms"),
        ([1704067200000000, 1704153600000000, 1704240000000000], "us"),
        ([1704067200000000000, 1704153600000000000, 1704240000000000000], "ns"),
    ],
)
@pytest.mark.parametrize("column", ["date", "time", "TimeStamp"])
def test_times_are_utc_at_bar_open(tmp_path, cells, unit, column):
    path = written(tmp_path, HEADER.replace("date", column), *map(row, cells))
    (series,) = read(path).series.values()
    expected = np.array(["2024-01-01", "2024-01-02", "2024-01-03"], dtype="datetime64[ns]")
    np.testing.assert_array_equal(series.opened_at, expected)
    np.testing.assert_array_equal(series.known_at, expected + np.timedelta64(1, "D"))


@pytest.mark.parametrize("dtype", ["datetime64[ns]", "datetime64[ms, UTC]", "object"])
def test_parquet_times(tmp_path, dtype):
    dates = pd.to_datetime(pd.Series(["2024-01-01", "2024-01-02", "2024-01-03"]))
    if dtype == "object":
        dates = dates.dt.date
    else:
        dates = dates.dt.tz_localize("UTC").astype(dtype) if "UTC" in dtype else dates
    frame = pd.DataFrame(
        {"date": dates, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5, "volume": 3}
    )
    path = tmp_path / "bars.parquet"
    frame.to_parquet(path)
    (series,) = read(path).series.values()
    assert series.opened_at[0] == np.datetime64("2024-01-01")
    assert np.isnan(series.turnover).all()


@pytest.mark.parametrize("column", ["date", "open", "high", "low", "close", "volume"])
def test_a_missing_column_is_named(tmp_path, column):
    names = [name for name in HEADER.split(",") if name != column]
    path = written(tmp_path, ",".join(names), "1,2,3,4,5")
    with pytest.raises(MissingColumn) as caught:
        read(path)
    assert caught.value.column == column
    assert str(path) in str(caught.value)
    assert column in str(caught.value)


def test_a_missing_symbol_is_asked_for(tmp_path):
    path = written(tmp_path, HEADER, row("2024-01-01"), row("2024-01-02"))
    with pytest.raises(MissingColumn, match="symbol"):
        read(path, symbol=None)


def test_two_time_columns_are_ambiguous(tmp_path):
    path = written(tmp_path, HEADER + ",timestamp", row("2024-01-01") + ",1")
    with pytest.raises(AmbiguousColumn, match="timestamp"):
        read(path)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        read(tmp_path / "absent.csv")
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(UnreadableFile, match="empty"):
        read(empty)
    with pytest.raises(UnreadableFile, match="no row"):
        read(written(tmp_path, HEADER))
    with pytest.raises(UnreadableFile, match="unknown format"):
        read(written(tmp_path, HEADER, row("2024-01-01"), name="bars.txt"))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 but not really")
    with pytest.raises(UnreadableFile, match="cannot be read"):
        read(broken)
    binary = tmp_path / "binary.csv"
    binary.write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(UnreadableFile):
        read(binary)


def test_a_decimal_comma_names_the_row(tmp_path):
    path = written(tmp_path, HEADER, row("2024-01-01"), row("2024-01-02", close="10,5"))
    with pytest.raises(UnreadableFile) as caught:
        read(path)
    assert caught.value.row == 2
    with pytest.raises(UnreadableFile):
        read(written(tmp_path, HEADER, row("2024-01-01", close="10,5")))


def test_wrong_symbols_kinds_and_intervals(tmp_path):
    path = written(tmp_path, HEADER + ",symbol", row("2024-01-01", symbol="S;L"))
    with pytest.raises(BadSymbol) as caught:
        read(path, symbol=None, interval="1d")
    assert (caught.value.column, caught.value.row) == ("symbol", 1)
    with pytest.raises(BadSymbol, match="has a symbol column"):
        read(path)
    one = written(tmp_path, HEADER, row("2024-01-01"))
    with pytest.raises(UnknownInterval, match="interval='1d'"):
        read(one)
    assert read(one, interval="1d").report.kept == 1
    with pytest.raises(UnsupportedInterval):
        read(one, interval="1M")
    with pytest.raises(InstrumentError):
        read_bars(one, "bybit", "futures", symbol="SOLUSDT")
    for venue in ("by\0bit", "by\nbit", "v" * 101, ""):
        with pytest.raises(InstrumentError, match="venue"):
            read_bars(one, venue, "perp", symbol="SOLUSDT", interval="1d")
    odd = written(tmp_path, HEADER, row("2024-01-01T00:00"), row("2024-01-01T00:07"))
    with pytest.raises(UnknownInterval, match="7"):
        read(odd)


def test_a_given_interval_that_every_bar_contradicts_is_refused(tmp_path):
    days = [row(f"2024-01-{day:02d}") for day in (1, 2, 3, 5, 8)]
    with pytest.raises(UnknownInterval, match="not 1h bars"):
        read(written(tmp_path, HEADER, *days), interval="1h")
    # Four bars prove nothing, and one between two days makes them hours with holes.
    assert read(written(tmp_path, HEADER, *days[:4]), interval="1h").report.kept == 4
    hours = [*days, row("2024-01-09T07:00")]
    assert read(written(tmp_path, HEADER, *hours), interval="1h").report.kept == 6


def test_a_bar_that_has_not_closed_is_no_fact_yet(tmp_path):
    path = written(
        tmp_path, HEADER, row("2024-01-01"), row("2024-01-02"), row("2024-01-03"), row("2090-01-01")
    )
    file = read(path, closed_by=datetime(2024, 1, 3, 0, tzinfo=UTC))
    assert file.report.reasons == {"not_closed": 2}
    (series,) = file.series.values()
    assert series.opened_at[-1] == np.datetime64("2024-01-02")
    assert read(path).report.kept == 4


def test_when_nothing_is_usable_the_first_row_is_named(tmp_path):
    path = written(tmp_path, HEADER, row("01/02/2024"), row("02/02/2024"))
    with pytest.raises(NoUsableRows, match="01/02/2024") as caught:
        read(path)
    assert caught.value.row == 1
    path = written(tmp_path, HEADER, row("2024-01-01", "x"), row("2024-01-02", "-"))
    with pytest.raises(NoUsableRows, match="null_close"):
        read(path)
    path = written(tmp_path, HEADER, row(20240101), row(20240102))
    with pytest.raises(NoUsableRows):
        read(path)


def test_symbols_that_differ_in_space_only_are_one(tmp_path):
    path = written(
        tmp_path,
        HEADER + ",symbol",
        row("2024-01-01", symbol="SOLUSDT"),
        row("2024-01-02", symbol=" SOLUSDT "),
        row("2024-01-02", symbol=""),
    )
    file = read(path, symbol=None)
    assert [len(series) for series in file.series.values()] == [2]
    assert file.report.reasons == {"null_symbol": 1}


def test_an_oracle_has_no_volume(tmp_path):
    path = written(tmp_path, HEADER, row("2024-01-01", volume=0), row("2024-01-02", volume=0))
    oracle = read_bars(path, "pyth", "oracle", symbol="Crypto.SOL/USD")
    spot = read_bars(path, "binance", "spot", symbol="SOLUSDT")
    assert np.isnan(next(iter(oracle.series.values())).volume).all()
    assert spot.report.symbols[0].zero_volume == 2


def test_mints_by_symbol_or_base(tmp_path):
    path = written(tmp_path, HEADER, row("2024-01-01"), row("2024-01-02"))
    assert next(iter(read(path, mints={"SOL": "So1"}).series)).asset == "So1"
    assert next(iter(read(path, mints={"SOLUSDT": "So2", "SOL": "So1"}).series)).asset == "So2"


CELLS = st.sampled_from(["10", "11", "9.5", "", "x", "-1", "0", "inf", "nan", "1e400"])
ROWS = st.tuples(
    st.sampled_from([*(f"2024-01-{day:02d}" for day in range(1, 8)), "", "2024-01-03T05:00", "?"]),
    CELLS,
    st.sampled_from(["SOLUSDT", "1000BONKUSDT", ""]),
)


@given(rows=st.lists(ROWS, max_size=25))
def test_every_row_is_kept_a_duplicate_or_quarantined(tmp_path_factory, rows):
    # Two good rows that no other can contradict, so that there is something to read.
    lines = [row("2023-12-30", symbol="SOLUSDT"), row("2023-12-31", symbol="SOLUSDT")]
    lines += [row(date, cell, symbol=symbol) for date, cell, symbol in rows]
    path = tmp_path_factory.mktemp("rows") / "bars.csv"
    path.write_text("\n".join([HEADER + ",symbol", *lines]) + "\n")
    file = read_bars(path, "bybit", "perp", interval="1d")
    report = file.report
    assert report.rows == len(lines) == len(file.disposition.status)
    assert report.kept + report.duplicates + report.quarantined == report.rows
    assert report.kept == sum(len(series) for series in file.series.values())
    assert sum(report.reasons.values()) == report.duplicates + report.quarantined
    assert len(report.quarantine) == report.quarantined
    for one in report.symbols:
        assert one.rows == one.kept + one.duplicates + one.quarantined
    for series in file.series.values():
        assert (np.diff(series.opened_at) > np.timedelta64(0)).all()
        assert np.isfinite(series.close).all()
        assert (series.close > 0).all()


@given(order=st.permutations(range(12)))
def test_the_order_of_rows_decides_nothing(tmp_path_factory, order):
    lines = (EXAMPLES / "dirty.csv").read_text().splitlines()
    folder = tmp_path_factory.mktemp("order")
    body = lines[1:]
    shuffled = [body[place] for place in order] + body[12:]
    one = read_bars(written(folder, lines[0], *body), "example", "spot")
    other = read_bars(written(folder, lines[0], *shuffled, name="b.csv"), "example", "spot")
    assert one.report.reasons == other.report.reasons
    assert one.series.keys() == other.series.keys()
    for instrument, series in one.series.items():
        pd.testing.assert_frame_equal(series.to_frame(), other.series[instrument].to_frame())
