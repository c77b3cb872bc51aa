"""A named consumer: durable cursor, lease, dead letters."""

import os
import socket
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from portfolio_platform.store.feed.events import START, Event, Position
from portfolio_platform.store.feed.transport import FeedError, Transport


class LeaseHeld(FeedError):
    """Another process is consuming under this name."""


class MustReconcile(FeedError):
    """The cursor is of another life of the database: look at everything, then `reconciled`."""


def read(transport: Transport, after: Position = START, limit: int = 1000) -> list[Event]:
    """Events behind the watermark and after `after`, oldest first (no cursor, no lease)."""
    rows = transport.call(
        "change_feed", after_xid=str(after.xid), after_seq=after.seq, max_rows=limit
    )
    return [Event.of(row) for row in rows]


@dataclass(frozen=True)
class DeadLetter:
    """An event set aside."""

    id: int
    event: Event
    reason: str


@dataclass(frozen=True)
class Lag:
    """How far a consumer is behind.

    Attributes
    ----------
    events, seconds
        Events that it could read now, and the age of the oldest of them.
    held_events, held_seconds
        Events behind an open write transaction anywhere in the cluster, and for how long the
        oldest has been waiting. It delays the feed and loses nothing.
    """

    consumer: str
    events: int
    seconds: float
    dead_letters: int
    lease_owner: str | None
    held_events: int
    held_seconds: float
    must_reconcile: bool


def lag(transport: Transport) -> list[Lag]:
    """Lag of every consumer."""
    return [Lag(**row) for row in transport.call("feed_lag")]


def prune(transport: Transport, *, keep_days: float = 7.0) -> int:
    """Delete events older than `keep_days` that every consumer has passed; how many."""
    removed = 0
    while True:
        rows = transport.call("feed_prune", keep=f"{keep_days * 86400} seconds")
        batch = int(rows[0]["feed_prune"])
        removed += batch
        if batch == 0:
            return removed


class Consumer:
    """Reads the feed from a durable cursor that one process at a time may move.

    ``poll`` hands out events without moving the durable cursor; ``advance`` moves it once the
    work they caused is done. After a crash the events since the last ``advance`` come again:
    delivery is at least once, so work is keyed by position.

    Parameters
    ----------
    transport : Transport
        SQL or Data API.
    name : str
        Name of the cursor.
    lease_seconds : int
        How long after this process stops renewing another may take over.
    owner : str, optional
        Names this process in the lease; made up from host, pid and a random part.
    start_at_end : bool
        Whether a consumer that is new starts at the end instead of at the oldest event kept.
    clock : callable
        Monotonic seconds.
    """

    def __init__(
        self,
        transport: Transport,
        name: str,
        *,
        lease_seconds: int = 60,
        owner: str | None = None,
        start_at_end: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self.owner = owner or f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self.epoch: str | None = None
        self.position = START
        self.must_reconcile = False
        self._watermark = "0"
        self._transport = transport
        self._lease_seconds = lease_seconds
        self._start_at_end = start_at_end
        self._clock = clock
        self._renew_at = 0.0

    def acquire(self) -> Position:
        """Take or renew the lease; the durable cursor.

        Raises
        ------
        LeaseHeld
            Someone else has it.
        """
        asked = self._clock()
        row = self._transport.call(
            "feed_acquire",
            consumer_name=self.name,
            owner_name=self.owner,
            lease_seconds=self._lease_seconds,
            start_at_end=self._start_at_end,
        )[0]
        if not row["acquired"]:
            raise LeaseHeld(f"consumer {self.name} is leased to {row['lease_owner']}")
        cursor = Position(int(row["x"]), int(row["seq"]))
        if self.epoch != row["epoch"] or cursor > self.position:
            self.position = cursor
        self.epoch = row["epoch"]
        self.must_reconcile = bool(row["must_reconcile"])
        self._watermark = row["watermark"]
        self._renew_at = asked + self._lease_seconds / 3
        return cursor

    def poll(self, limit: int = 1000) -> list[Event]:
        """Next events after those already handed out; renews the lease on the way.

        Raises
        ------
        LeaseHeld
            The lease ran out and someone else took it.
        MustReconcile
            The database was restored; see `reconciled`.
        """
        if self.epoch is None or self._clock() >= self._renew_at:
            self.acquire()
        if self.must_reconcile:
            raise MustReconcile(
                f"the cursor of {self.name} is from before a restore; recompute everything, "
                "then call reconciled()"
            )
        events = read(self._transport, self.position, limit)
        if events:
            self.position = events[-1].position
        return events

    def drain(self, limit: int = 1000) -> Iterator[list[Event]]:
        """Batches until the feed is empty."""
        while batch := self.poll(limit):
            yield batch

    def rewind(self) -> None:
        """Hand out again what came after the durable cursor."""
        self.position = START
        self.acquire()

    def advance(self, to: Position | None = None) -> bool:
        """Move the durable cursor; False when it is there already.

        Raises
        ------
        FeedError
            The lease was lost: someone else is consuming, and this work may be done twice.
        """
        target = self.position if to is None else to
        if target == START:
            return False
        row = self._transport.call(
            "feed_advance",
            consumer_name=self.name,
            owner_name=self.owner,
            in_epoch=self.epoch,
            to_xid=str(target.xid),
            to_seq=target.seq,
        )[0]
        return bool(row["feed_advance"])

    def begin_reconcile(self) -> str:
        """Renew the lease and note the watermark; call before looking at everything."""
        self.acquire()
        return self._watermark

    def reconciled(self, watermark: str) -> None:
        """Everything up to `watermark` (of `begin_reconcile`) is accounted for; go on from it."""
        self._transport.call(
            "feed_reconciled",
            consumer_name=self.name,
            owner_name=self.owner,
            in_epoch=self.epoch,
            at_watermark=watermark,
        )
        self.position = START
        self.acquire()

    def dead_letter(self, event: Event, reason: str) -> None:
        """Set a poison event aside with the reason, so that the rest can proceed."""
        self._transport.call(
            "feed_dead_letter",
            consumer_name=self.name,
            owner_name=self.owner,
            at_xid=str(event.position.xid),
            at_seq=event.position.seq,
            event=event.to_json(),
            reason=reason,
        )

    def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Events set aside and not replayed."""
        rows = self._transport.call("feed_dead_letters", consumer_name=self.name, max_rows=limit)
        return [
            DeadLetter(int(row["dead_letter_id"]), Event.of(row["event"]), row["reason"])
            for row in rows
        ]

    def replayed(self, letter: DeadLetter) -> bool:
        """Mark a dead letter as done; False when it was already."""
        row = self._transport.call(
            "feed_replayed", consumer_name=self.name, of_dead_letter=letter.id
        )[0]
        return bool(row["feed_replayed"])

    def release(self) -> None:
        """Give the lease back at once."""
        self._transport.call("feed_release", consumer_name=self.name, owner_name=self.owner)
        self._renew_at = 0.0
        self.epoch = None

    def __enter__(self) -> "Consumer":
        self.acquire()
        return self

    def __exit__(self, *_: Any) -> None:
        self.release()
