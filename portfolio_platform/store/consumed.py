"""Events that a consumer has passed, as long as the log keeps them."""

from __future__ import annotations

from collections.abc import Collection

from psycopg import Connection
from psycopg.rows import dict_row

from portfolio_platform.store.feed import Event, Position


def events(
    conn: Connection, consumer: str, tables: Collection[str], limit: int = 5000
) -> list[Event]:
    """The newest events of `tables` that the consumer's cursor has passed, oldest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(
            """
            select l.xid::text as x, l.seq, l.relname, l.op, l.n_rows, l.user_id, l.keys, l.at
            from ops.feed_consumers as c
            join ops.change_log as l on (l.xid, l.seq) <= (c.xid, c.seq)
            where c.consumer = %s and c.epoch = (select ops.current_epoch())
              and l.relname = any (%s)
            order by l.xid desc, l.seq desc limit %s
            """,
            (consumer, list(tables), limit),
        ).fetchall()
    return [Event.of(row) for row in reversed(rows)]


def set_aside(conn: Connection, consumer: str) -> set[Position]:
    """Positions of the consumer's dead letters that nobody replayed."""
    rows = conn.execute(
        "select xid, seq from ops.dead_letters where consumer = %s and replayed_at is null",
        (consumer,),
    )
    return {Position(int(xid), seq) for xid, seq in rows}
