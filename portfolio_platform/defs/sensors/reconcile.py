"""Events consumed against materialisations done: what was passed must have been taken in."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg import Connection

from portfolio_platform.defs.sensors.watch import Watch
from portfolio_platform.store import consumed


@dataclass(frozen=True)
class Account:
    """Account of one consumer.

    Attributes
    ----------
    consumed : int
        Events passed that the log still holds.
    settled : int
        Keys they name that were materialised since, or need nothing any more.
    set_aside : int
        Events in dead letters.
    missing : tuple of str
        Keys that were passed and neither materialised nor set aside.
    """

    consumer: str
    consumed: int
    settled: int
    set_aside: int
    missing: tuple[str, ...]


def account(conn: Connection, watch: Watch) -> Account:
    """Look again at every consumed event, independently of the batches it was settled in."""
    events = consumed.events(conn, watch.consumer, watch.tables)
    aside = consumed.set_aside(conn, watch.consumer)
    # A dead letter of a sensor that recomputes all stands for the events before it.
    covered_to = max(aside) if watch.whole and aside else None
    live = [
        event
        for event in events
        if event.position not in aside and (covered_to is None or event.position > covered_to)
    ]
    work = watch.resolve(conn, live) if live else {}
    missing = watch.needed(conn, work) if work else set()
    return Account(
        consumer=watch.consumer,
        consumed=len(events),
        settled=len(work) - len(missing),
        set_aside=len(aside),
        missing=tuple(sorted(missing)),
    )
