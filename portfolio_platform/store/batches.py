"""Batches of events: gathered once, kept until all they asked for is settled."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from portfolio_platform.store.feed import Event, Position


@dataclass(frozen=True)
class Asked:
    """The newest run request of one unit of work."""

    attempt: int
    at: datetime


@dataclass(frozen=True)
class Batch:
    """Events of one consumer up to a position, and the work they name.

    Attributes
    ----------
    batch_id : str
        sha256 over the epoch and the positions of the events.
    to : Position
        Where the cursor goes once the batch is closed.
    work : dict of key to positions
        What must be materialised, and the events that say so.
    asked : dict of unit to Asked
        What was asked for already; a run request can be on its way for a while.
    reconcile_at : str or None
        Watermark of a full reconcile, which closes by `Consumer.reconciled`.
    """

    consumer: str
    batch_id: str
    epoch: str
    to: Position
    n_events: int
    n_rows: int
    work: dict[str, tuple[Position, ...]]
    opened_at: datetime
    asked: dict[str, Asked] = field(default_factory=dict)
    reconcile_at: str | None = None


def identify(epoch: str, events: Iterable[Event]) -> str:
    """Identity of a batch: the same events make the same batch, in whatever order they came."""
    digest = hashlib.sha256(epoch.encode())
    for position in sorted({event.position for event in events}):
        digest.update(f"|{position}".encode())
    return digest.hexdigest()


_COLUMNS = """batch_id, epoch, to_xid::text, to_seq, n_events, n_rows, work, opened_at, asked,
              reconcile_at"""


def _batch(consumer: str, row: tuple[Any, ...]) -> Batch:
    return Batch(
        consumer=consumer,
        batch_id=row[0],
        epoch=row[1],
        to=Position(int(row[2]), int(row[3])),
        n_events=row[4],
        n_rows=row[5],
        work={key: tuple(map(Position.parse, places)) for key, places in row[6].items()},
        opened_at=row[7],
        asked={
            unit: Asked(one["attempt"], datetime.fromisoformat(one["at"]))
            for unit, one in row[8].items()
        },
        reconcile_at=row[9],
    )


def current(conn: Connection, consumer: str) -> Batch | None:
    """The open batch of a consumer; there is at most one."""
    row = conn.execute(
        f"select {_COLUMNS} from ops.feed_batches "  # noqa: S608 - a constant
        "where consumer = %s and closed_at is null",
        (consumer,),
    ).fetchone()
    return None if row is None else _batch(consumer, row)


def find(conn: Connection, consumer: str, batch_id: str) -> Batch | None:
    """A batch by its identity, open or closed."""
    row = conn.execute(
        f"select {_COLUMNS} from ops.feed_batches "  # noqa: S608 - a constant
        "where consumer = %s and batch_id = %s",
        (consumer, batch_id),
    ).fetchone()
    return None if row is None else _batch(consumer, row)


def begin(
    conn: Connection,
    consumer: str,
    *,
    batch_id: str,
    epoch: str,
    to: Position,
    n_events: int,
    n_rows: int,
    work: Mapping[str, Iterable[Position]],
    reconcile_at: str | None = None,
) -> Batch:
    """Open a batch; one that was closed before is opened again, with nothing asked for."""
    conn.execute(
        """
        insert into ops.feed_batches as b (consumer, batch_id, epoch, to_xid, to_seq, n_events,
                                           n_rows, work, reconcile_at)
        values (%s, %s, %s, %s::xid8, %s, %s, %s, %s, %s)
        on conflict (consumer, batch_id) do update
            set closed_at = null, outcome = null, asked = '{}', opened_at = now(),
                work = excluded.work
        """,
        (
            consumer,
            batch_id,
            epoch,
            str(to.xid),
            to.seq,
            n_events,
            n_rows,
            Jsonb({key: [str(place) for place in sorted(places)] for key, places in work.items()}),
            reconcile_at,
        ),
    )
    found = find(conn, consumer, batch_id)
    assert found is not None
    return found


def note_asked(conn: Connection, batch: Batch, asked: Mapping[str, int]) -> None:
    """Remember run requests before they leave: a second daemon must not ask again at once."""
    conn.execute(
        """
        update ops.feed_batches set asked = asked || (
            select coalesce(jsonb_object_agg(unit, jsonb_build_object(
                       'attempt', attempt, 'at', clock_timestamp())), '{}')
            from unnest(%s::text[], %s::int[]) as u (unit, attempt))
        where consumer = %s and batch_id = %s
        """,
        (list(asked), list(asked.values()), batch.consumer, batch.batch_id),
    )


def close(conn: Connection, batch: Batch, outcome: Mapping[str, Any]) -> None:
    """Everything the batch named is settled."""
    conn.execute(
        "update ops.feed_batches set closed_at = now(), outcome = %s "
        "where consumer = %s and batch_id = %s and closed_at is null",
        (Jsonb(dict(outcome)), batch.consumer, batch.batch_id),
    )


def rested(conn: Connection, consumer: str) -> float | None:
    """Seconds since the consumer's last batch that caused a run was closed; None: never."""
    row = conn.execute(
        "select extract(epoch from now() - max(closed_at))::float8 from ops.feed_batches "
        "where consumer = %s and asked <> '{}'",
        (consumer,),
    ).fetchone()
    assert row is not None
    return row[0]


def prune(conn: Connection, keep_days: float = 30.0) -> int:
    """Delete closed batches older than `keep_days`; how many."""
    return conn.execute(
        "delete from ops.feed_batches where closed_at < now() - make_interval(secs => %s)",
        (keep_days * 86400,),
    ).rowcount
