"""Events that were set aside: listed for a person, and given another chance."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg import Connection
from psycopg.types.json import Jsonb

from portfolio_platform.store.feed import Event

REQUESTS = ("optimization_requests", "backtest_requests")


class UnknownDeadLetter(LookupError):
    """There is no such dead letter, or it was replayed already."""


@dataclass(frozen=True)
class StoredLetter:
    """A dead letter of any consumer."""

    id: int
    consumer: str
    event: Event
    reason: str
    recorded_at: datetime


def pending(conn: Connection, consumer: str | None = None, limit: int = 200) -> list[StoredLetter]:
    """Dead letters that nobody replayed, oldest first."""
    rows = conn.execute(
        """
        select dead_letter_id, consumer, event, reason, recorded_at from ops.dead_letters
        where replayed_at is null and (%(consumer)s::text is null or consumer = %(consumer)s)
        order by dead_letter_id limit %(limit)s
        """,
        {"consumer": consumer, "limit": limit},
    ).fetchall()
    return [StoredLetter(id_, name, Event.of(event), why, at) for id_, name, event, why, at in rows]


def replay(conn: Connection, letter_id: int) -> StoredLetter:
    """Put the event into the feed once more, at its end, and mark the letter as replayed.

    A request that was given up is queued again. Consumers that had dealt with the event find
    nothing left to do.

    Raises
    ------
    UnknownDeadLetter
        No such letter is pending.
    """
    with conn.transaction():
        row = conn.execute(
            "update ops.dead_letters set replayed_at = now() "
            "where dead_letter_id = %s and replayed_at is null "
            "returning dead_letter_id, consumer, event, reason, recorded_at",
            (letter_id,),
        ).fetchone()
        if row is None:
            raise UnknownDeadLetter(
                f"no dead letter {letter_id} is waiting; `portfolio-platform dead-letters` "
                "lists those that are"
            )
        letter = StoredLetter(row[0], row[1], Event.of(row[2]), row[3], row[4])
        event = letter.event
        if event.table in REQUESTS:
            conn.execute(
                f"update public.{event.table} "  # noqa: S608 - one of two constants
                "set state = 'queued', reason = null, progress = 0, finished_at = null "
                "where state = 'failed' and request_id::text = any (%s)",
                ([str(key) for key in event.keys or ()],),
            )
        conn.execute(
            "insert into ops.change_log (relname, op, n_rows, user_id, keys) "
            "values (%s, %s, %s, %s, %s)",
            (
                event.table,
                event.operation,
                event.n_rows,
                event.user_id,
                None if event.keys is None else Jsonb(list(event.keys)),
            ),
        )
        conn.execute("select pg_notify('portfolio_platform', %s)", (event.table,))
    return letter
