"""Pruning takes what the policy names and nothing else."""

from datetime import UTC, datetime, timedelta

import pytest

from portfolio_platform.store import bars, feed, ingest, retention
from portfolio_platform_tests.store.postgres import Database

NOW = datetime.now(UTC)


def snapshot(connection, slot: int, **contents: bytes) -> None:
    ingest.save_snapshot(
        connection,
        slot,
        NOW,
        [ingest.AccountRow(name, "o", 1, slot, data) for name, data in contents.items()],
    )


def age(connection, table: str, condition: str, days: int) -> None:
    connection.execute(
        f"update {table} set recorded_at = now() - make_interval(days => {days}) where {condition}"
    )


def test_bytes_nobody_saw_lately_go_and_their_hashes_stay(fresh_database: Database) -> None:
    with fresh_database.connect() as connection:
        snapshot(connection, 1, busy=b"old", idle=b"only", twin=b"shared")
        snapshot(connection, 2, busy=b"new", twin=b"later")
        snapshot(connection, 3, other=b"shared")
        age(connection, "chain.account_snapshots", "slot = 1", 500)
        before = connection.execute("select count(*) from chain.account_snapshots").fetchone()
        done = retention.prune(connection)
        assert done.account_bytes == 1
        left = connection.execute("select data from chain.account_data order by 1").fetchall()
        assert left == [(b"later",), (b"new",), (b"only",), (b"shared",)]
        after = connection.execute("select count(*) from chain.account_snapshots").fetchone()
        assert after == before
        assert retention.prune(connection).account_bytes == 0
        forever = retention.RetentionPolicy(account_bytes_days=None)
        age(connection, "chain.account_snapshots", "true", 5000)
        assert retention.prune(connection, forever).account_bytes == 0


def test_old_minute_bars_go_quietly_with_their_empty_months(fresh_database: Database) -> None:
    old, young = NOW - timedelta(days=1200), NOW - timedelta(days=5)
    with fresh_database.connect() as connection:
        connection.execute("insert into public.tokens (mint, symbol) values ('m', 'M')")
        series = bars.save_series(connection, mint="m", venue="v", symbol="s", instrument="spot")
        for moment, interval in (
            (old, "1m"),
            (old + timedelta(days=70), "1m"),
            (old + timedelta(days=70), "1d"),
            (young, "1m"),
        ):
            connection.execute(
                "insert into public.market_bars (series_id, bar_interval, observed_at) "
                "values (%s, %s, %s)",
                [series, interval, moment],
            )
        with feed.SqlTransport(fresh_database.url()) as transport:
            events = len(feed.read(transport))
            done = retention.prune(connection)
            assert (done.partitions_made, done.minute_bars, done.partitions_dropped) == (3, 2, 1)
            assert len(feed.read(transport)) == events, "nobody recomputes because of it"
        left = connection.execute(
            "select bar_interval from public.market_bars order by observed_at"
        ).fetchall()
        assert left == [("1d",), ("1m",)]


def test_events_stay_until_every_consumer_has_passed_them(fresh_database: Database) -> None:
    at_once = retention.RetentionPolicy(change_log_days=0)
    with (
        fresh_database.connect() as connection,
        feed.SqlTransport(fresh_database.url()) as transport,
        feed.Consumer(transport, "slow") as consumer,
    ):
        for number in range(3):
            connection.execute(
                "insert into public.tokens (mint, symbol) values (%s, 'M')", [str(number)]
            )
        assert retention.prune(connection, at_once).events == 0
        events = consumer.poll()
        consumer.advance(events[1].position)
        assert retention.prune(connection, at_once).events == 2
        consumer.dead_letter(events[2], "x")
        (letter,) = consumer.dead_letters()
        consumer.replayed(letter)
        assert retention.prune(connection).dead_letters == 0
        later = retention.RetentionPolicy(dead_letters_days=0)
        assert retention.prune(connection, later).dead_letters == 1


def test_pruning_refuses_to_be_one_transaction(fresh_database: Database) -> None:
    with (
        fresh_database.connect(autocommit=False) as connection,
        pytest.raises(ValueError, match="autocommit"),
    ):
        retention.prune(connection)
