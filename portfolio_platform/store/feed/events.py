"""Events of the change feed, positions in it, and how a burst of them is folded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple, Self
from uuid import UUID


class Position(NamedTuple):
    """A place in the feed: transaction id, then sequence number within it.

    Order is exact within a transaction; across transactions it is that of their ids, which is
    not the order of commit. Behind the watermark nothing can appear before a given position.
    """

    xid: int
    seq: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `str(position)`."""
        xid, dot, seq = text.partition(".")
        if not dot or not xid.isdecimal() or not seq.isdecimal():
            raise ValueError(f"not a position of the change feed: {text!r}")
        return cls(int(xid), int(seq))

    def __str__(self) -> str:
        return f"{self.xid}.{self.seq}"


START = Position(0, 0)


@dataclass(frozen=True)
class Event:
    """One statement that changed a table.

    Attributes
    ----------
    position : Position
        Where it is in the feed.
    table, operation : str
        Table name; INSERT, UPDATE, DELETE or TRUNCATE.
    n_rows : int
        How many rows it touched (0 for TRUNCATE).
    user_id : UUID or None
        Owner of the rows, for tables that have one.
    keys : tuple or None
        The distinct keys it touched, or None when there were too many to list: assume all.
    at : datetime
        When the statement ran.
    """

    position: Position
    table: str
    operation: str
    n_rows: int
    user_id: UUID | None
    keys: tuple[Any, ...] | None
    at: datetime

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Self:
        """From a row of `public.change_feed`, over SQL or over JSON."""
        owner, at, keys = row["user_id"], row["at"], row["keys"]
        return cls(
            position=Position(int(row["x"]), int(row["seq"])),
            table=row["relname"],
            operation=row["op"],
            n_rows=int(row["n_rows"]),
            user_id=UUID(owner) if isinstance(owner, str) else owner,
            keys=None if keys is None else tuple(keys),
            at=datetime.fromisoformat(at) if isinstance(at, str) else at,
        )

    def to_json(self) -> dict[str, Any]:
        """JSON-safe; `of` reads it back."""
        return {
            "x": str(self.position.xid),
            "seq": self.position.seq,
            "relname": self.table,
            "op": self.operation,
            "n_rows": self.n_rows,
            "user_id": None if self.user_id is None else str(self.user_id),
            "keys": None if self.keys is None else list(self.keys),
            "at": self.at.isoformat(),
        }


@dataclass(frozen=True)
class Change:
    """What a burst of events did to one table, folded into one piece of work.

    Attributes
    ----------
    keys : frozenset or None
        Union of the keys; None when any event did not list its own.
    events, n_rows : int
        How many were folded, for the account of every event.
    last : Position
        Position of the newest of them.
    """

    table: str
    keys: frozenset[Any] | None
    events: int
    n_rows: int
    last: Position


def coalesce(events: Iterable[Event]) -> dict[str, Change]:
    """Fold a burst: one `Change` per table, however many events there were.

    Independent of the order and of repetitions of the events.
    """
    unique = {event.position: event for event in events}
    folded: dict[str, Change] = {}
    for position in sorted(unique):
        event = unique[position]
        keys = None if event.keys is None else frozenset(event.keys)
        before = folded.get(event.table)
        if before is None:
            folded[event.table] = Change(event.table, keys, 1, event.n_rows, position)
            continue
        union = None if keys is None or before.keys is None else before.keys | keys
        folded[event.table] = Change(
            event.table, union, before.events + 1, before.n_rows + event.n_rows, position
        )
    return folded
