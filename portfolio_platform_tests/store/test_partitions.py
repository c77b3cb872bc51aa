"""Monthly partitions: rows keep their place, nothing gets lost on the way, nobody is blocked."""

import shutil
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from portfolio_platform.store import feed, floor, migrate
from portfolio_platform_tests.store.postgres import Database

PARTITIONING = "20261122000400"


def add_series(database: Database) -> None:
    with database.connect() as connection:
        connection.execute("insert into public.tokens (mint, symbol) values ('m', 'M')")
        connection.execute(
            "insert into public.bar_series (mint, venue, symbol, instrument) "
            "values ('m', 'v', 's', 'spot')"
        )


def insert_days(connection, count: int, start: str = "2025-01-15") -> None:
    connection.execute(
        "insert into public.market_bars (series_id, bar_interval, observed_at, close) "
        "select 1, '1d', %s::timestamptz + make_interval(days => n), n + 1 "
        "from generate_series(0, %s - 1) as n",
        [f"{start}T00:00:00Z", count],
    )


def partitions(connection, relation: str) -> dict[str, int]:
    """Rows of each partition."""
    return dict(
        connection.execute(
            f"select tableoid::regclass::text, count(*) from {relation} group by 1 order by 1"
        ).fetchall()
    )


def test_rows_of_before_are_carried_over(cluster, tmp_path: Path) -> None:
    with psycopg.connect(
        cluster.url("postgres", driver=None, role="supabase_admin"), autocommit=True
    ) as admin:
        admin.execute("create database m_carried")
        try:
            floor.lay_in(cluster, "m_carried")
            database = Database(cluster, "m_carried")
            for file in sorted(migrate.MIGRATIONS.glob("*.sql")):
                if file.name < PARTITIONING:
                    shutil.copy(file, tmp_path)
            migrate.migrate(database.url(), tmp_path)
            add_series(database)
            queries = (
                "select * from public.market_bars order by observed_at",
                "select * from chain.account_snapshots order by snapshot_id",
            )
            with database.connect() as connection:
                insert_days(connection, 70)
                connection.execute("insert into chain.account_data values ('s', 'x')")
                connection.execute(
                    "insert into chain.account_snapshots (pubkey, slot, sha256, observed_at) "
                    "select 'p', n * 4000000, 's', now() from generate_series(0, 4) as n"
                )
                before = [connection.execute(query).fetchall() for query in queries]
            migrate.migrate(database.url())
            with database.connect() as connection:
                after = [connection.execute(query).fetchall() for query in queries]
                assert after == before
                assert partitions(connection, "public.market_bars") == {
                    "partitions.market_bars_m202501": 17,
                    "partitions.market_bars_m202502": 28,
                    "partitions.market_bars_m202503": 25,
                }
                assert len(partitions(connection, "chain.account_snapshots")) == 3
                newest = connection.execute(
                    "insert into chain.account_snapshots (pubkey, slot, sha256, observed_at) "
                    "values ('q', 1, 's', now()) returning snapshot_id"
                ).fetchone()
                assert newest == (6,)
        finally:
            admin.execute("drop database m_carried with (force)")


def test_stray_rows_are_served_and_brought_home(fresh_database: Database) -> None:
    add_series(fresh_database)
    with fresh_database.connect() as connection:
        insert_days(connection, 40)
        rows = connection.execute("select * from public.market_bars order by 3").fetchall()
        assert partitions(connection, "public.market_bars") == {
            "partitions.market_bars_default": 40
        }
        with feed.SqlTransport(fresh_database.url()) as transport:
            events = feed.read(transport)
            assert connection.execute("select ops.tidy_partitions()").fetchone() == (2,)
            assert connection.execute("select ops.tidy_partitions()").fetchone() == (0,)
            assert feed.read(transport) == events, "moving a row is no change of it"
        assert partitions(connection, "public.market_bars") == {
            "partitions.market_bars_m202501": 17,
            "partitions.market_bars_m202502": 23,
        }
        assert connection.execute("select * from public.market_bars order by 3").fetchall() == rows
        insert_days(connection, 5, "2025-03-01")
        assert partitions(connection, "public.market_bars")["partitions.market_bars_default"] == 5


@pytest.mark.parametrize(
    "zone", ["UTC", "America/New_York", "Pacific/Kiritimati", "Pacific/Marquesas"]
)
def test_months_are_those_of_utc_whatever_the_session_thinks(
    fresh_database: Database, zone: str
) -> None:
    add_series(fresh_database)
    with fresh_database.connect() as connection:
        connection.execute("select set_config('timezone', %s, false)", [zone])
        first = datetime(2026, 1, 31, 23, tzinfo=UTC)
        made = connection.execute(
            "select ops.ensure_months('market_bars', %s, %s)",
            [first, first + timedelta(hours=2)],
        ).fetchone()
        assert made == (2,)
        for hour in range(3):
            connection.execute(
                "insert into public.market_bars (series_id, bar_interval, observed_at) "
                "values (1, '1h', %s)",
                [first + timedelta(hours=hour)],
            )
        assert partitions(connection, "public.market_bars") == {
            "partitions.market_bars_m202601": 1,
            "partitions.market_bars_m202602": 2,
        }


def test_a_reader_of_the_default_partition_delays_no_writer_for_long(
    fresh_database: Database,
) -> None:
    add_series(fresh_database)
    with fresh_database.connect(autocommit=False) as reader, fresh_database.connect() as writer:
        reader.execute("select count(*) from public.market_bars")
        started = time.monotonic()
        made = writer.execute(
            "select ops.ensure_months('market_bars', '2026-01-05', '2026-01-06')"
        ).fetchone()
        assert made == (0,)
        assert 1.5 < time.monotonic() - started < 10
        insert_days(writer, 3, "2026-01-05")
        reader.rollback()
        assert writer.execute("select ops.tidy_partitions()").fetchone() == (1,)
        assert partitions(writer, "public.market_bars") == {"partitions.market_bars_m202601": 3}


def test_two_writers_make_one_partition(fresh_database: Database) -> None:
    add_series(fresh_database)
    made: list[int] = []

    def write(day: int) -> None:
        with fresh_database.connect(autocommit=False) as connection:
            found = connection.execute(
                "select ops.ensure_months('market_bars', '2026-05-05', '2026-05-06')"
            ).fetchone()
            insert_days(connection, 1, f"2026-05-{day:02d}")
            connection.commit()
            assert found is not None
            made.append(found[0])

    writers = [threading.Thread(target=write, args=(day,)) for day in range(10, 14)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert sorted(made) == [0, 0, 0, 1]
    with fresh_database.connect() as connection:
        assert partitions(connection, "public.market_bars") == {"partitions.market_bars_m202605": 4}


def test_a_month_is_read_from_its_partition_alone(fresh_database: Database) -> None:
    add_series(fresh_database)
    with fresh_database.connect() as connection:
        connection.execute("select ops.ensure_months('market_bars', '2025-01-15', '2026-01-01')")
        insert_days(connection, 300)
        plan = "\n".join(
            line
            for (line,) in connection.execute(
                "explain select * from public.market_bars where series_id = 1 "
                "and observed_at >= '2025-06-01Z' and observed_at < '2025-07-01Z'"
            )
        )
    assert "market_bars_m202506" in plan
    assert plan.count("market_bars_") == plan.count("market_bars_m202506")


def test_partitions_are_there_before_their_rows(fresh_database: Database) -> None:
    add_series(fresh_database)
    with fresh_database.connect() as connection:
        connection.execute("select ops.ensure_slots('account_snapshots', 420000000, 420000000)")
        connection.execute(
            "insert into chain.account_snapshots (pubkey, slot, sha256, observed_at) "
            "values ('p', 420000000, 's', now())"
        )
        assert connection.execute("select ops.make_partitions_ahead()").fetchone() == (5,)
        assert connection.execute("select ops.make_partitions_ahead()").fetchone() == (0,)
        connection.execute(
            "insert into public.market_bars (series_id, bar_interval, observed_at) "
            "values (1, '1h', date_trunc('month', now(), 'UTC') + interval '1 month')"
        )
        connection.execute(
            "insert into chain.account_snapshots (pubkey, slot, sha256, observed_at) "
            "values ('p', 426480000, 's', now())"
        )
        for relation in ("public.market_bars", "chain.account_snapshots"):
            assert not [one for one in partitions(connection, relation) if "default" in one]


def test_rows_of_years_ahead_find_a_place(fresh_database: Database) -> None:
    add_series(fresh_database)
    with fresh_database.connect() as connection:
        for start in ("2027-12-31", "2031-02-28", "2099-12-31"):
            insert_days(connection, 2, start)
        assert connection.execute("select ops.tidy_partitions()").fetchone() == (6,)
        assert partitions(connection, "public.market_bars") == {
            "partitions.market_bars_m202712": 1,
            "partitions.market_bars_m202801": 1,
            "partitions.market_bars_m203102": 1,
            "partitions.market_bars_m203103": 1,
            "partitions.market_bars_m209912": 1,
            "partitions.market_bars_m210001": 1,
        }


def test_absurd_ranges_and_unknown_tables_are_refused(fresh_database: Database) -> None:
    with fresh_database.connect() as connection:
        for low, high in (("-infinity", "2026-01-01"), ("1500-01-01", "2026-01-01")):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                connection.execute(
                    "select ops.ensure_months('market_bars', %s, %s::timestamptz)", [low, high]
                )
        with pytest.raises(psycopg.errors.NoDataFound):
            connection.execute("select ops.ensure_slots('tokens', 1, 2)")
        for low, high in ((0, 2**62), (-1, 1)):
            with pytest.raises(psycopg.errors.InvalidParameterValue):
                connection.execute(
                    "select ops.ensure_slots('account_snapshots', %s, %s)", [low, high]
                )
        nothing = connection.execute(
            "select ops.ensure_months('market_bars', null, null::timestamptz)"
        ).fetchone()
        assert nothing == (0,)
