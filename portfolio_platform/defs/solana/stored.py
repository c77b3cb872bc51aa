"""Stored fetches as the snapshots they were, part by part, so that memory does not grow."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Generic, TypeVar
from uuid import UUID

from psycopg import Connection

from portfolio_platform.defs.solana.wallets import with_portfolios
from portfolio_platform.solana.decoded import Decoded, Refused
from portfolio_platform.solana.snapshot import AccountRecord, Group, Snapshot
from portfolio_platform.solana.universe import Universe
from portfolio_platform.store import ingest
from portfolio_platform.store.ingest import FetchHead, ReadTogether

ACCOUNTS_PER_PART = 1_000


T = TypeVar("T")


@dataclass(frozen=True)
class Landed(Generic[T]):
    """Facts of one kind, and how many of them were not stored before."""

    rows: list[T]
    written: int


class NoSnapshot(RuntimeError):
    """Nothing has been fetched yet, or its bytes are no longer kept."""


@dataclass(frozen=True)
class StoredPart:
    """Some groups of a stored fetch with their bytes, and the ids of their rows."""

    snapshot: Snapshot
    universe: Universe
    ids: Mapping[tuple[str, int], int]

    def id_of(self, pubkey: str, slot: int) -> int:
        """``snapshot_id`` of an account row."""
        return self.ids[pubkey, slot]

    @cached_property
    def decoded(self) -> dict[tuple[str, int], Decoded | Refused]:
        """Every account, decoded once."""
        return {(one.pubkey, one.slot): one.decode() for one in self.snapshot.accounts}

    def anchors(self, role: str) -> list[tuple[AccountRecord, Decoded, str | None]]:
        """Decoded accounts of a role with the mint they are about, at the slot of their group."""
        found = []
        for account in self.universe.accounts:
            group = self.snapshot.groups.get(account.pubkey)
            if account.role != role or group is None:
                continue
            record = self.snapshot.get(account.pubkey, group.slot)
            if record is None or record.error is not None:
                continue
            answer = self.decoded[record.pubkey, record.slot]
            if isinstance(answer, Decoded):
                found.append((record, answer, account.mint))
        return found


@dataclass(frozen=True)
class StoredFetch:
    """A stored fetch; its bytes are read when a part is asked for."""

    conn: Connection
    head: FetchHead
    universe: Universe

    @property
    def fetch_id(self) -> UUID:
        """Name of the fetch."""
        return self.head.fetch_id

    @property
    def slot(self) -> int:
        """Newest slot of its calls."""
        return self.head.slot

    @property
    def block_time(self) -> datetime:
        """Chain time of the newest slot, which its facts are about."""
        return self.head.observed_at

    def parts(self) -> Iterator[StoredPart]:
        """Its groups in their order, about `ACCOUNTS_PER_PART` accounts at a time."""
        groups: dict[str, ReadTogether] = {}
        ids: set[int] = set()
        for anchor, group in self.head.groups.items():
            groups[anchor] = group
            ids |= set(group.ids)
            if len(ids) >= ACCOUNTS_PER_PART:
                yield self._part(groups, ids)
                groups, ids = {}, set()
        if groups:
            yield self._part(groups, ids)

    def _part(self, groups: Mapping[str, ReadTogether], ids: set[int]) -> StoredPart:
        rows = ingest.accounts_of(self.conn, ids)
        if len(rows) != len(ids):
            raise NoSnapshot(
                f"bytes of {len(ids) - len(rows)} accounts of slot {self.slot} are no longer kept"
            )
        records = {
            row["snapshot_id"]: AccountRecord(
                pubkey=row["pubkey"],
                owner=row["owner"],
                lamports=None if row["lamports"] is None else int(row["lamports"]),
                data=bytes(row["data"]),
                sha256=row["sha256"],
                slot=row["slot"],
            )
            for row in rows
        }
        why = {(pubkey, slot): reason for pubkey, slot, reason in self.head.absent}
        absent = {
            (key, group.slot): AccountRecord(
                key, None, None, b"", "", group.slot, error=why[key, group.slot]
            )
            for group in groups.values()
            for key in group.absent
        }
        slots = [group.slot for group in groups.values()]
        return StoredPart(
            snapshot=Snapshot(
                slot=max(slots),
                oldest_slot=min(slots),
                block_time=self.block_time,
                epoch=self.head.epoch,
                accounts=(*records.values(), *absent.values()),
                groups={
                    anchor: Group(
                        anchor,
                        (*(records[one].pubkey for one in group.ids), *group.absent),
                        frozenset(group.optional),
                        group.slot,
                    )
                    for anchor, group in groups.items()
                },
            ),
            universe=self.universe,
            ids={(row["pubkey"], row["slot"]): row["snapshot_id"] for row in rows},
        )


def stored_snapshot(
    conn: Connection, as_of: datetime | None = None, fetch_id: UUID | None = None
) -> StoredFetch:
    """The newest whole fetch known at `as_of`, or the named one.

    Raises
    ------
    NoSnapshot
        There is none: materialise ``account_snapshots`` first.
    """
    head = ingest.fetch_head(conn, as_of, fetch_id)
    described = ingest.universe(conn)
    if head is None or described is None:
        raise NoSnapshot("no account has been fetched yet; materialise account_snapshots first")
    return StoredFetch(conn, head, with_portfolios(conn, Universe.model_validate(described)))


def groups_of(snapshot: Snapshot, ids: Mapping[tuple[str, int], int]) -> dict[str, ReadTogether]:
    """The groups of a snapshot by the ids of their stored rows."""
    return {
        anchor: ReadTogether(
            group.slot,
            tuple(ids[key, group.slot] for key in group.keys if (key, group.slot) in ids),
            tuple(key for key in group.keys if (key, group.slot) not in ids),
            tuple(sorted(group.optional)),
        )
        for anchor, group in snapshot.groups.items()
    }
