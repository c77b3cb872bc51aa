"""Append-only facts with two clocks: what was known then stays what was known then."""

import hashlib
from datetime import UTC, datetime

import numpy as np
import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_platform.store import bars, ingest
from portfolio_platform_tests.store.postgres import Database

START = pd.Timestamp("2026-01-30")


def add_series(connection) -> int:
    connection.execute("insert into public.tokens (mint, symbol) values ('m', 'M')")
    return bars.save_series(connection, mint="m", venue="v", symbol="s", instrument="spot")


def clean(series_id: int, closes: dict[int, float | None]) -> pd.DataFrame:
    """Daily bars by day number; None is a missing bar."""
    days = sorted(closes)
    close = np.array([np.nan if closes[day] is None else closes[day] for day in days], float)
    return pd.DataFrame(
        {
            "series_id": series_id,
            "bar_interval": "1d",
            "observed_at": [START + pd.Timedelta(days=day) for day in days],
            **dict.fromkeys(("open", "high", "low"), close),
            "close": close,
            "volume": np.nan,
            "state": ["missing" if np.isnan(value) else "clean" for value in close],
            "flags": [["gap"] if np.isnan(value) else [] for value in close],
        }
    )


loads = st.lists(
    st.dictionaries(st.integers(0, 40), st.none() | st.sampled_from([1.0, 2.0, 3.5]), max_size=8),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(loads)
def test_a_read_as_of_then_never_changes(fresh_database: Database, loaded) -> None:
    known: dict[int, float | None] = {}
    history = []
    with fresh_database.connect() as connection:
        connection.execute("delete from public.market_bars where true")
        connection.execute("delete from public.bar_series where true")
        connection.execute("delete from public.tokens where true")
        series_id = add_series(connection)
        for load in loaded:
            changed = sum(day not in known or known[day] != close for day, close in load.items())
            assert bars.append_clean(connection, clean(series_id, load)) == changed
            known |= load
            moment = connection.execute("select clock_timestamp()").fetchone()
            assert moment is not None
            history.append((moment[0], dict(known)))
        for _moment, expected in history:
            # The bars lie in the past of the clock that recorded them, so all are closed.
            frame = bars.read_clean(connection, "1d", as_of=_moment)
            found = {
                int((row.observed_at - START).days): None if np.isnan(row.close) else row.close
                for row in frame.itertuples()
            }
            assert found == expected


def test_a_bar_is_known_only_when_it_has_closed(fresh_database: Database) -> None:
    with fresh_database.connect() as connection:
        series_id = add_series(connection)
        bars.append_clean(connection, clean(series_id, {0: 1.0, 1: 2.0}))
        connection.execute("update public.market_bars set recorded_at = '2026-01-01Z' where true")
        for hour, expected in ((23, 0), (24, 1), (47, 1), (48, 2)):
            as_of = (START + pd.Timedelta(hours=hour)).tz_localize(UTC).to_pydatetime()
            assert len(bars.read_clean(connection, "1d", as_of=as_of)) == expected


def test_bytes_are_kept_once_and_a_fetch_is_read_whole(fresh_database: Database) -> None:
    accounts = [
        ingest.AccountRow("a", "owner", 2**63, slot=6_479_999, data=b"same"),
        ingest.AccountRow("b", None, 1, slot=6_480_000, data=b"same"),
        ingest.AccountRow("c", "owner", None, slot=6_480_000, data=b""),
    ]
    observed = datetime(2026, 1, 1, tzinfo=UTC)
    with fresh_database.connect() as connection:
        first, ids = ingest.save_snapshot(connection, 6_480_000, observed, accounts)
        again, same = ingest.save_snapshot(connection, 6_480_000, observed, accounts)
        assert ids == same
        assert first != again
        stored = connection.execute("select sha256, data from chain.account_data order by 2")
        assert stored.fetchall() == [
            (hashlib.sha256(data).hexdigest(), data) for data in (b"", b"same")
        ]
        found = ingest.latest_fetch(connection)
        homes = connection.execute(
            "select tableoid::regclass::text, count(*) from chain.account_snapshots group by 1"
        ).fetchall()
    assert found is not None
    assert found.fetch_id == again
    assert [(row["pubkey"], row["lamports"], bytes(row["data"])) for row in found.accounts] == [
        ("a", 2**63, b"same"),
        ("b", 1, b"same"),
        ("c", None, b""),
    ]
    assert sorted(homes) == [
        ("partitions.account_snapshots_s000000", 1),
        ("partitions.account_snapshots_s000001", 2),
    ]
