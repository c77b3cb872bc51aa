"""What is kept for how long, and the pruning that holds to it (docs/retention.md).

Pruning never rewrites what is kept, never writes to the change feed, and never overtakes a
consumer of it. What a version says stays; how far down its bytes can be shown ends with them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import psycopg
from psycopg import sql

BATCH = 50_000


@dataclass(frozen=True)
class RetentionPolicy:
    """How long to keep what grows. None keeps it for ever.

    Attributes
    ----------
    change_log_days : float
        Events that every consumer has passed.
    account_bytes_days : float or None
        Bytes of accounts that no fetch of that time has seen any more; slot, owner and sha256
        of every snapshot are kept.
    minute_bars_months : int or None
        Whole months of one-minute bars; hourly and daily bars are kept.
    dead_letters_days : float or None
        Dead letters that were replayed.
    """

    change_log_days: float = 7.0
    account_bytes_days: float | None = 400.0
    minute_bars_months: int | None = 24
    dead_letters_days: float | None = 90.0


@dataclass(frozen=True)
class Pruned:
    """What one pruning did, in rows and partitions (for stray rows, and for what will come)."""

    partitions_made: int
    partitions_ahead: int
    events: int
    account_bytes: int
    minute_bars: int
    partitions_dropped: int
    dead_letters: int

    def to_json(self) -> dict[str, int]:
        """As metadata of a run."""
        return asdict(self)


def _one(conn: psycopg.Connection[Any], query: str, *values: Any) -> int:
    row = conn.execute(query, values).fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def prune(conn: psycopg.Connection[Any], policy: RetentionPolicy | None = None) -> Pruned:
    """Hold to `policy`, in short transactions.

    Parameters
    ----------
    conn : Connection
        In autocommit mode, so that no lock is held for the whole of it; logged in as the owner
        of the tables.

    Raises
    ------
    ValueError
        The connection is not in autocommit mode.
    """
    if not conn.autocommit:
        raise ValueError(
            "prune in autocommit mode: one transaction would hold every lock to its end"
        )
    keep = policy or RetentionPolicy()
    made = _one(conn, "select ops.tidy_partitions()")
    ahead = _one(conn, "select ops.make_partitions_ahead()")
    minute_bars, dropped = _minute_bars(conn, keep.minute_bars_months)
    return Pruned(
        partitions_made=made,
        partitions_ahead=ahead,
        events=_events(conn, keep.change_log_days),
        account_bytes=_account_bytes(conn, keep.account_bytes_days),
        minute_bars=minute_bars,
        partitions_dropped=dropped,
        dead_letters=_dead_letters(conn, keep.dead_letters_days),
    )


def _events(conn: psycopg.Connection[Any], days: float) -> int:
    removed = 0
    while batch := _one(conn, "select public.feed_prune(make_interval(secs => %s))", days * 86400):
        removed += batch
    return removed


def _account_bytes(conn: psycopg.Connection[Any], days: float | None) -> int:
    """Delete bytes that neither a recent snapshot nor the newest one of an account refers to."""
    if days is None:
        return 0
    removed = 0
    while True:
        batch = conn.execute(
            """
            delete from chain.account_data as d
            where d.sha256 in (
                select o.sha256 from chain.account_data as o
                where exists (select 1 from chain.account_snapshots as s where s.sha256 = o.sha256)
                  and not exists (
                    select 1 from chain.account_snapshots as s
                    where s.sha256 = o.sha256
                      and (s.recorded_at >= now() - make_interval(secs => %(seconds)s)
                           or not exists (select 1 from chain.account_snapshots as later
                                          where later.pubkey = s.pubkey and later.slot > s.slot)))
                limit %(batch)s)
            """,
            {"seconds": days * 86400, "batch": BATCH},
        ).rowcount
        removed += batch
        if batch < BATCH:
            return removed


def _minute_bars(conn: psycopg.Connection[Any], months: int | None) -> tuple[int, int]:
    """Empty old partitions of one-minute bars, and drop those that hold nothing else.

    Deleting in the partition itself fires no trigger of the table: old bars that go are no news.
    """
    if months is None:
        return 0, 0
    removed = dropped = 0
    oldest_kept = conn.execute(
        "select to_char((now() at time zone 'UTC') - make_interval(months => %s), '\"m\"YYYYMM')",
        (months,),
    ).fetchone()
    assert oldest_kept is not None
    old = conn.execute(
        """
        select p.relname, c.relname from ops.partitioned as p
        join pg_class as c on c.relnamespace = 'partitions'::regnamespace
             and c.relkind = 'r' and c.relname like p.relname || '\\_m%%'
        where p.kind = 'month' and c.relname < p.relname || '_' || %s
        order by 2
        """,
        oldest_kept,
    ).fetchall()
    for parent, name in old:
        partition = sql.Identifier("partitions", name)
        removed += conn.execute(
            sql.SQL("delete from {} where bar_interval = '1m'").format(partition)
        ).rowcount
        with conn.transaction():
            conn.execute(sql.SQL("lock table {} in share mode").format(partition))
            left = conn.execute(sql.SQL("select 1 from {} limit 1").format(partition)).fetchone()
            if left is None:
                conn.execute(
                    sql.SQL("alter table {} detach partition {}").format(
                        sql.Identifier("public", parent), partition
                    )
                )
                conn.execute(sql.SQL("drop table {}").format(partition))
                dropped += 1
    return removed, dropped


def _dead_letters(conn: psycopg.Connection[Any], days: float | None) -> int:
    if days is None:
        return 0
    return conn.execute(
        "delete from ops.dead_letters where replayed_at < now() - make_interval(secs => %s)",
        (days * 86400,),
    ).rowcount
