"""Which events an asset has seen: the snapshot that its newest finished materialisation began from.

An event is covered when its transaction is visible in that snapshot, whoever started the
materialisation. Snapshots are compared within one epoch of the feed only: transaction ids start
again in a restored cluster.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from psycopg import Connection


@dataclass(frozen=True)
class Moment:
    """What a statement that begins now can see."""

    epoch: str
    snapshot: str


def look(conn: Connection) -> Moment:
    """The present snapshot; the connection must not be inside a transaction that began before."""
    row = conn.execute("select ops.current_epoch(), pg_current_snapshot()::text").fetchone()
    assert row is not None
    return Moment(row[0], row[1])


def record(conn: Connection, target: str, key: str, moment: Moment, run_id: str) -> None:
    """Note that `target` (one key of it, or all where `key` is empty) is up to date with `moment`.

    A materialisation that began earlier and ends later does not take anything back.
    """
    conn.execute(
        """
        insert into ops.coverage as c (target, key, epoch, snapshot, run_id)
        values (%s, %s, %s, %s::pg_snapshot, %s)
        on conflict (target, key) do update
            set epoch = excluded.epoch, snapshot = excluded.snapshot,
                run_id = excluded.run_id, recorded_at = now()
            where c.epoch <> excluded.epoch
               or pg_snapshot_xmin(c.snapshot) <= pg_snapshot_xmin(excluded.snapshot)
        """,
        (target, key, moment.epoch, moment.snapshot, run_id),
    )


def uncovered(conn: Connection, target: str, wanted: Iterable[tuple[str, int]]) -> set[str]:
    """Keys of `wanted` (key, transaction id) that `target` was not materialised for since.

    A materialisation of all keys counts for each of them.
    """
    pairs = list(wanted)
    rows = conn.execute(
        """
        select distinct w.key
        from unnest(%s::text[], %s::text[]) as w (key, xid)
        where not exists (
            select 1 from ops.coverage as c
            where c.target = %s and c.key in ('', w.key) and c.epoch = (select ops.current_epoch())
              and pg_visible_in_snapshot(w.xid::xid8, c.snapshot))
        """,
        ([key for key, _ in pairs], [str(xid) for _, xid in pairs], target),
    ).fetchall()
    return {row[0] for row in rows}


def hold(conn: Connection, run_id: str) -> None:
    """Prove that a run lives: the session keeps a shared lock until its connection ends."""
    conn.execute("select pg_advisory_lock_shared(hashtextextended(%s, 7301))", (run_id,))


def is_held(conn: Connection, run_id: str) -> bool:
    """Whether some process holds the lock of `hold` for that run."""
    row = conn.execute(
        "select pg_try_advisory_xact_lock(hashtextextended(%s, 7301))", (run_id,)
    ).fetchone()
    assert row is not None
    return not row[0]
