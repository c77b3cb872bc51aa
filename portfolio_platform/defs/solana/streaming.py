"""What a stream shows, through the same decoders and gates as a fetch.

A streamed account alone is bytes: what it means beside its vaults, tick arrays and oracles is said
by a coherent read. So the bytes land at once, and what they belong to is read again, together and
at one slot, a moment later. Polls land whole.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from psycopg import Connection

from portfolio_platform.defs.solana import facts
from portfolio_platform.defs.solana.prices import judge_points, points_of, save_verdicts
from portfolio_platform.defs.solana.snapshots import Landing
from portfolio_platform.defs.solana.stored import StoredFetch, stored_snapshot
from portfolio_platform.defs.solana.tokens import save_mints
from portfolio_platform.settings import Settings
from portfolio_platform.solana.decoded import Refused
from portfolio_platform.solana.price_points import PricePoint
from portfolio_platform.solana.snapshot import Snapshot
from portfolio_platform.solana.stream import Change
from portfolio_platform.solana.universe import Universe
from portfolio_platform.store import ingest
from portfolio_platform.store.facts import save_facts


@dataclass
class LandedCounters:
    """What was stored of a stream."""

    polls: int = 0
    accounts: int = 0
    refused: int = 0
    read_again: int = 0
    prices: int = 0


@dataclass
class StreamLanding:
    """Lands the changes of one stream, each in a transaction of the caller's.

    It remembers the price points of the last poll, because a token is judged by all its sources
    and a change concerns one of them.
    """

    settings: Settings
    universe: Universe
    numbering: int = 0
    counters: LandedCounters = field(default_factory=LandedCounters)
    _points: dict[str, list[PricePoint]] = field(default_factory=dict)
    _ids: dict[tuple[str, int], int] = field(default_factory=dict)
    _anchors_of: dict[str, set[str]] = field(default_factory=dict)

    def poll(self, conn: Connection, snapshot: Snapshot) -> None:
        """Store a whole read and everything that it says."""
        stored = self._store(conn, snapshot, whole=True)
        facts.land_facts(conn, stored, self.settings, prices=False)
        save_mints(conn, stored)
        for gone in self._points.keys() - snapshot.groups.keys():
            del self._points[gone]
        self._anchors_of.clear()
        self._remember(stored, snapshot)
        self._judge(conn, stored, None)
        self.counters.polls += 1

    def change(self, conn: Connection, change: Change) -> set[str]:
        """Store streamed bytes; the watched accounts whose meaning they may have changed.

        Bytes that no decoder reads are quarantined with the reason, as those of a fetch.
        """
        rows = [
            ingest.AccountRow(one.pubkey, one.owner, one.lamports, one.slot, one.data)
            for one in change.records
            if one.error is None
        ]
        ids = ingest.save_accounts(conn, rows, change.block_time)
        refused = [
            {
                "snapshot_id": ids[one.pubkey, one.slot],
                "pubkey": one.pubkey,
                "owner": one.owner,
                "slot": one.slot,
                "sha256": one.sha256,
                "reason": answer.reason,
                "observed_at": change.block_time,
            }
            for one in change.records
            if one.error is None and isinstance(answer := one.decode(), Refused)
        ]
        save_facts(conn, "quarantine", refused)
        self.counters.accounts += len(rows)
        self.counters.refused += len(refused)
        return self.anchors(one.pubkey for one in change.records)

    def anchors(self, pubkeys: Iterable[str]) -> set[str]:
        """Watched accounts that depend on any of these."""
        return set().union(*(self._anchors_of.get(key, set()) for key in pubkeys))

    def part(self, anchors: set[str]) -> Universe:
        """The part of the universe that is to be read again."""
        accounts = tuple(one for one in self.universe.accounts if one.pubkey in anchors)
        return self.universe.model_copy(update={"accounts": accounts, "tokens": ()})

    def again(self, conn: Connection, snapshot: Snapshot) -> None:
        """Store accounts that were read again; their tokens are judged by all their sources."""
        stored = self._store(conn, snapshot, whole=False)
        facts.land_facts(conn, stored, self.settings, prices=False)
        self._judge(conn, stored, self._remember(stored, snapshot))
        self.counters.read_again += len(snapshot.groups)

    def _judge(self, conn: Connection, stored: StoredFetch, mints: set[str] | None) -> None:
        points = [one for ones in self._points.values() for one in ones]
        if mints is not None:
            mints = valued_in(points, mints)
        self.counters.prices += save_verdicts(
            conn,
            judge_points(conn, points, stored, self.settings),
            self._ids,
            self.universe,
            stored.block_time,
            mints=mints,
        ).written

    def _store(self, conn: Connection, snapshot: Snapshot, *, whole: bool) -> StoredFetch:
        landing = Landing(conn)
        landing.add(snapshot)
        fetch = landing.finish(whole=whole, numbering=self.numbering)
        return stored_snapshot(conn, fetch_id=fetch.fetch_id)

    def _remember(self, stored: StoredFetch, snapshot: Snapshot) -> set[str]:
        """Keep what a read says about prices; the mints that it says something about.

        A poll that took long may end behind a read that began after it: the newer one stands.
        """
        for anchor, group in snapshot.groups.items():
            for key in group.keys:
                self._anchors_of.setdefault(key, set()).add(anchor)
        points, ids = points_of(stored)
        mints: set[str] = set()
        for anchor, group in snapshot.groups.items():
            known = self._points.get(anchor, [])
            if known and known[0].slot > group.slot:
                continue
            mints |= {one.mint for one in known}
            self._points[anchor] = [one for one in points if one.pubkey == anchor]
            mints |= {one.mint for one in self._points[anchor]}
        self._ids |= ids
        # Only accounts that still stand behind a point are needed.
        standing = {(one.pubkey, one.slot) for ones in self._points.values() for one in ones}
        self._ids = {key: number for key, number in self._ids.items() if key in standing}
        return mints


def valued_in(points: Iterable[PricePoint], moved: set[str]) -> set[str]:
    """The mints that moved, and those whose price is quoted in one of them, however far."""
    listed = list(points)
    found = set(moved)
    while more := {one.mint for one in listed if one.quote in found} - found:
        found |= more
    return found
