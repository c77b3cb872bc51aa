"""Bulk loads say exactly what they did and store exactly what they were given."""

import math
import time
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_platform.store import bulk, feed
from portfolio_platform_tests.store.postgres import Database

KINDS = """
    create table if not exists public.kinds (
        id bigint primary key, words text, flags text[], n numeric(39, 0), x double precision,
        body jsonb, raw bytea, at timestamptz, yes boolean)
"""
# NUL cannot be stored in text, and a surrogate is no character.
texts = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\x00"))
rows = st.fixed_dictionaries(
    {
        "words": st.none() | texts | st.sampled_from(["", "\\.", '"', "a,b\nc\r\n", "NULL", "{}"]),
        "flags": st.lists(texts | st.sampled_from(['"', "\\", "NULL", "", "{", ","]), max_size=3),
        "n": st.none() | st.integers(-(10**39) + 1, 10**39 - 1),
        "x": st.none() | st.floats(allow_nan=False),
        "body": st.dictionaries(texts, st.none() | st.integers(-9, 9) | texts, max_size=2),
        "raw": st.none() | st.binary(max_size=8),
        "at": st.none()
        | st.datetimes(
            datetime(1970, 1, 1),
            datetime(2200, 1, 1),
            timezones=st.just(UTC),
            allow_imaginary=False,
        ),
        "yes": st.none() | st.booleans(),
    }
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(rows, min_size=1, max_size=5))
def test_every_value_comes_back_as_it_went_in(database: Database, values) -> None:
    given_rows = [{"id": number, **row} for number, row in enumerate(values)]
    with database.connect(autocommit=False) as connection:
        connection.execute(KINDS)
        done = bulk.upsert(connection, "kinds", given_rows, conflict=["id"])
        assert done == bulk.Written(len(values), 0, 0)
        stored = connection.execute("select * from public.kinds order by id")
        names = [column.name for column in stored.description or ()]
        stored = stored.fetchall()
        connection.rollback()
    assert [
        {
            name: int(value) if isinstance(value, Decimal) else value
            for name, value in zip(names, row, strict=True)
        }
        for row in stored
    ] == given_rows


def test_numpy_pandas_arrow_and_rows_are_the_same_load(fresh_database: Database) -> None:
    frame = pd.DataFrame({"mint": ["a", "b"], "symbol": ["A", "B"], "decimals": [6, 9]})
    shapes = [
        frame,
        pa.Table.from_pandas(frame, preserve_index=False),
        {"mint": np.array(["a", "b"]), "symbol": ["A", "B"], "decimals": np.array([6, 9])},
        frame.to_dict("records"),
        (row for row in frame.to_dict("records")),
    ]
    with fresh_database.connect() as connection:
        for number, shape in enumerate(shapes):
            done = bulk.upsert(
                connection, "tokens", shape, conflict=["mint"], update=["symbol", "decimals"]
            )
            assert done == (bulk.Written(2, 0, 0) if number == 0 else bulk.Written(0, 0, 2))
        assert bulk.upsert(connection, "tokens", []) == bulk.Written(0, 0, 0)


@pytest.mark.parametrize("last_wins", [False, True])
def test_partitioned_tables_count_like_others(fresh_database: Database, last_wins: bool) -> None:
    key = ["series_id", "bar_interval", "observed_at", "recorded_at"]
    first = pd.DataFrame(
        {
            "series_id": 1,
            "bar_interval": "1d",
            "observed_at": pd.date_range("2025-11-20", periods=60, tz="UTC"),
            "recorded_at": pd.Timestamp("2026-02-01", tz="UTC"),
            "close": np.arange(1.0, 61.0),
        }
    )
    second = first.assign(observed_at=first["observed_at"] + pd.Timedelta(days=30))
    if last_wins:
        second = pd.concat([second.assign(close=7.0), second])
    with fresh_database.connect() as connection:
        connection.execute("insert into public.tokens (mint, symbol) values ('m', 'M')")
        connection.execute(
            "insert into public.bar_series (mint, venue, symbol, instrument) "
            "values ('m', 'v', 's', 'spot')"
        )
        done = bulk.upsert(connection, "market_bars", first, conflict=key, update=["close"])
        assert done == bulk.Written(60, 0, 0)
        assert bulk.upsert(
            connection, "market_bars", first, conflict=key, update=["close"]
        ) == bulk.Written(0, 0, 60)
        done = bulk.upsert(
            connection, "market_bars", second, conflict=key, update=["close"], last_wins=last_wins
        )
        assert done == bulk.Written(30, 30, 60 if last_wins else 0)
        stray = connection.execute("select count(*) from partitions.market_bars_default")
        assert stray.fetchone() == (0,)


def test_missing_values_of_pandas_are_null(fresh_database: Database) -> None:
    frame = pd.DataFrame(
        {
            "mint": ["a", "b", "c"],
            "symbol": "S",
            "decimals": pd.array([6, None, None], dtype="Int16"),
            "extensions": [{"k": 1}, {}, {"k": [None]}],
            "recorded_at": [pd.Timestamp("2026-01-01", tz="UTC")] * 3,
            "name": [pd.NA, None, math.nan],
        }
    )
    with fresh_database.connect() as connection:
        bulk.upsert(connection, "tokens", frame)
        found = connection.execute(
            "select decimals, extensions, name, recorded_at from public.tokens order by mint"
        ).fetchall()
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert found == [
        (6, {"k": 1}, None, moment),
        (None, {}, None, moment),
        (None, {"k": [None]}, None, moment),
    ]


def test_only_rows_that_differ_are_rewritten_and_logged(fresh_database: Database) -> None:
    with fresh_database.connect() as connection:
        first = [{"mint": f"m{n}", "symbol": "S", "name": None} for n in range(50)]
        bulk.upsert(connection, "tokens", first, conflict=["mint"])
        versions = "select mint, xmin::text from public.tokens order by mint"
        before = dict(connection.execute(versions).fetchall())
        second = [{**row, "symbol": "T" if n < 3 else "S"} for n, row in enumerate(first)]
        second.append({"mint": "new", "symbol": "N", "name": "n"})
        done = bulk.upsert(
            connection, "tokens", second, conflict=["mint"], update=["symbol", "name"]
        )
        assert done == bulk.Written(inserted=1, updated=3, unchanged=47)
        after = dict(connection.execute(versions).fetchall())
    assert sum(before.get(mint) != xmin for mint, xmin in after.items()) == 4
    with feed.SqlTransport(fresh_database.url()) as transport:
        logged = {(event.operation, event.n_rows) for event in feed.read(transport)}
    assert logged == {("INSERT", 50), ("INSERT", 1), ("UPDATE", 3)}


def test_two_rows_of_one_key_are_refused_unless_the_last_is_meant(fresh_database: Database) -> None:
    twice = [
        {"mint": "a", "symbol": "1"},
        {"mint": "b", "symbol": "2"},
        {"mint": "a", "symbol": "3"},
    ]
    with fresh_database.connect() as connection:
        with pytest.raises(bulk.DuplicateRows, match=r"1 keys occur more than once.*mint=a"):
            bulk.upsert(connection, "tokens", twice, conflict=["mint"])
        assert connection.execute("select count(*) from public.tokens").fetchone() == (0,)
        done = bulk.upsert(connection, "tokens", twice, conflict=["mint"], last_wins=True)
        assert done == bulk.Written(2, 0, 1)
        found = connection.execute("select symbol from public.tokens order by mint").fetchall()
    assert found == [("3",), ("2",)]


def test_bad_columns_are_named(fresh_database: Database) -> None:
    with fresh_database.connect() as connection:
        with pytest.raises(bulk.BadColumns, match='"mnit" does not exist'):
            bulk.upsert(connection, "tokens", [{"mnit": "a"}])
        with pytest.raises(bulk.BadColumns, match="rows differ"):
            bulk.upsert(connection, "tokens", [{"mint": "a", "symbol": "A"}, {"mint": "b"}])
        with pytest.raises(bulk.BadColumns, match="no columns"):
            bulk.upsert(connection, "tokens", {})


def test_a_failed_load_leaves_the_transaction_of_its_caller_usable(
    fresh_database: Database,
) -> None:
    with fresh_database.connect(autocommit=False) as connection:
        bulk.upsert(connection, "tokens", [{"mint": "kept", "symbol": "K"}], conflict=["mint"])
        bad = {"mint": ["x"], "symbol": ["X"], "decimals": [99]}
        with pytest.raises(Exception, match="check constraint"):
            bulk.upsert(connection, "tokens", bad, conflict=["mint"])
        connection.commit()
        assert connection.execute("select mint from public.tokens").fetchall() == [("kept",)]


def test_a_hundred_thousand_bars_take_seconds(fresh_database: Database) -> None:
    count, series = 100_000, 10
    with fresh_database.connect() as connection:
        connection.execute("insert into public.tokens (mint, symbol) values ('m', 'M')")
        ids = [
            row[0]
            for row in connection.execute(
                "insert into public.bar_series (mint, venue, symbol, instrument) "
                "select 'm', 'v', 's' || n, 'spot' from generate_series(1, %s) as n "
                "returning series_id",
                [series],
            )
        ]
        each = count // series
        at = np.datetime64("2024-01-01", "ns") + np.arange(each) * np.timedelta64(1, "h")
        price = np.random.default_rng(7).lognormal(size=count)
        price[::1000] = math.nan
        data = {
            "series_id": np.repeat(ids, each),
            "bar_interval": np.repeat("1h", count),
            "observed_at": np.tile(at, series),
            "close": price,
            "volume": price,
            "flags": [["gap"] if math.isnan(value) else [] for value in price],
        }
        key = ["series_id", "bar_interval", "observed_at", "recorded_at"]
        started = time.perf_counter()
        done = bulk.upsert(connection, "market_bars", data, conflict=key)
        seconds = time.perf_counter() - started
        assert done.inserted == count
        missing = connection.execute(
            "select count(*) from public.market_bars where close is null and flags = '{gap}'"
        ).fetchone()
    assert missing == (100,)
    with feed.SqlTransport(fresh_database.url()) as transport:
        event = feed.read(transport)[-1]
    assert (event.table, event.n_rows) == ("market_bars", count)
    assert sorted(event.keys or ()) == sorted(ids)
    assert seconds < 20.0, "benchmarks/store.py measures; this only guards against row by row"
    print(f"{count} bars in {seconds:.2f} s")
