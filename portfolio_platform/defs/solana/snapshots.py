"""Reading the universe from the network and landing its bytes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import httpx
from psycopg import Connection

from portfolio_platform.defs.solana.stored import groups_of
from portfolio_platform.settings import Settings
from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.rpc import PoolSettings, RpcPool, SlotSkipped
from portfolio_platform.solana.rpc.limits import Limits, Throttle
from portfolio_platform.solana.snapshot import AccountRecord, Snapshot, fetch_snapshot
from portfolio_platform.solana.universe import Universe, UniverseError, load_universe
from portfolio_platform.store import facts as fact_store
from portfolio_platform.store import ingest, rpc_counters
from portfolio_platform.store.ingest import ReadTogether

ANCHORS_PER_PART = 200
UNLIMITED = 1_000_000
_TOKEN_PROGRAMS = (programs.SPL_TOKEN, programs.TOKEN_2022)
_CLOCK_TOLERANCE_SECONDS = 60
_THROTTLES: dict[tuple[str, Limits], Throttle] = {}


@dataclass
class Fetch:
    """A stored fetch and what it cost.

    ``unreadable`` are the accounts that the network does not have (in whole), with the reason;
    those that may rightly be absent are not among them. ``numbering`` rises when the slots have
    begun again since the last fetch.
    """

    fetch_id: UUID
    slot: int
    oldest_slot: int
    block_time: datetime
    numbering: int
    accounts: int = 0
    bytes: int = 0
    unreadable: list[AccountRecord] = field(default_factory=list)
    endpoints: list[dict[str, Any]] = field(default_factory=list)

    @property
    def metadata(self) -> dict[str, Any]:
        """What is worth showing about it."""
        return {
            "slot": self.slot,
            "slot_spread": self.slot - self.oldest_slot,
            "block_time": self.block_time.isoformat(),
            "accounts": self.accounts,
            "bytes": self.bytes,
            "unreadable": len(self.unreadable),
            "slot_numbering": self.numbering,
        }


def read_universe(source: str) -> Universe:
    """Universe from a file or an http(s) address.

    Raises
    ------
    UniverseError
        It cannot be read or is not a universe; the text says where and why.
    """
    if not source.startswith(("http://", "https://")):
        return load_universe(source)
    try:
        answer = httpx.get(source, timeout=10.0)
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise UniverseError(f"{source}: cannot be read: {error}") from error
    return load_universe(answer.text)


def store_universe(conn: Connection, universe: Universe) -> None:
    """Make the universe's tokens and accounts known to the database."""
    ingest.save_tokens(
        conn,
        [
            {
                "mint": token.mint,
                "symbol": token.symbol,
                "name": token.name or None,
                "decimals": token.decimals,
                "is_stable": token.stable,
                "token_group": token.group,
                "history_symbol": token.history_symbol,
            }
            for token in universe.tokens
        ],
    )
    ingest.watch_accounts(
        conn,
        universe.name,
        universe.hub,
        [(one.pubkey, one.role, one.mint) for one in universe.accounts],
    )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def pool_settings(settings: Settings) -> PoolSettings:
    """How patiently the network is asked: the limits of the public endpoints unless others are set.

    A node of one's own (a loopback address) has no request limits.
    """
    default = PoolSettings()
    local = all(map(_is_loopback, settings.resolve_rpc_urls()))
    return PoolSettings(
        requests_per_period=settings.rpc_requests_per_10s
        or (UNLIMITED if local else default.requests_per_period),
        requests_per_method=settings.rpc_requests_per_method_per_10s
        or (UNLIMITED if local else default.requests_per_method),
    )


def open_pool(settings: Settings) -> RpcPool:
    """The configured endpoints as one pool.

    An endpoint's limits count what the whole process asks it: the assets of a run open a pool
    each, and would each spend the full limit otherwise.
    """
    urls = settings.resolve_rpc_urls()
    pool = RpcPool(urls, pool_settings(settings))
    limits = pool.settings.limits
    for url, endpoint in zip(urls, pool.endpoints, strict=True):
        endpoint.throttle = _THROTTLES.setdefault((url, limits), endpoint.throttle)
    return pool


def parts_of(universe: Universe) -> Iterator[Universe]:
    """The universe in pieces of `ANCHORS_PER_PART` accounts, so that memory does not grow."""
    listed = {one.pubkey for one in universe.accounts}
    tokens = [one for one in universe.tokens if one.mint not in listed]
    accounts = list(universe.accounts)
    for start in range(0, max(len(accounts), 1), ANCHORS_PER_PART):
        part = accounts[start : start + ANCHORS_PER_PART]
        yield universe.model_copy(update={"accounts": tuple(part), "tokens": ()})
    for start in range(0, len(tokens), ANCHORS_PER_PART):
        some = tuple(tokens[start : start + ANCHORS_PER_PART])
        yield universe.model_copy(update={"accounts": (), "tokens": some})


async def slot_floor(pool: RpcPool, newest: ingest.Newest | None) -> tuple[int | None, int]:
    """The slot below which nothing may be read, and the numbering of the slots.

    Reads never go back in time. Where the network's slot is lower than the stored one although
    its time is later, its slots have begun again (another network, or a local chain made anew):
    there is no floor then, and the numbering rises.
    """
    if newest is None:
        return None, 0
    slot = await pool.get_slot()
    if slot < newest.slot:
        seconds = await time_near(pool, slot)
        if seconds is not None and (
            seconds > newest.observed_at.timestamp() + _CLOCK_TOLERANCE_SECONDS
        ):
            return None, newest.numbering + 1
    return newest.slot, newest.numbering


async def time_near(pool: RpcPool, slot: int) -> int | None:
    """Unix seconds of a slot, or of the last one before it that was not skipped."""
    for one in range(slot, max(slot - 8, 0), -1):
        try:
            return await pool.get_block_time(one)
        except SlotSkipped:
            continue
    return None


class Landing:
    """Stores parts of one fetch as they arrive, and says at the end what belongs together."""

    def __init__(self, conn: Connection) -> None:
        self._conn = conn
        self._groups: dict[str, ReadTogether] = {}
        self._absent: list[tuple[str, int, str]] = []
        self._snapshots: list[tuple[int, int, datetime, int | None]] = []
        self.unreadable: list[AccountRecord] = []
        self.accounts = self.bytes = 0

    def add(self, snapshot: Snapshot) -> None:
        """Store the bytes of one part."""
        there = [one for one in snapshot.accounts if one.error is None]
        ids = ingest.save_accounts(
            self._conn,
            [
                ingest.AccountRow(one.pubkey, one.owner, one.lamports, one.slot, one.data)
                for one in there
            ],
            snapshot.block_time,
        )
        self._groups |= groups_of(snapshot, ids)
        optional = frozenset[str]().union(*(one.optional for one in snapshot.groups.values()))
        for one in snapshot.accounts:
            if one.error is not None:
                self._absent.append((one.pubkey, one.slot, one.error))
                if one.pubkey not in optional:
                    self.unreadable.append(one)
        self._snapshots.append(
            (snapshot.slot, snapshot.oldest_slot, snapshot.block_time, snapshot.epoch)
        )
        self.accounts += len(there)
        self.bytes += sum(len(one.data) for one in there)

    def finish(self, *, whole: bool = True, numbering: int = 0) -> Fetch:
        """Record the fetch, and quarantine by name what the network does not have."""
        slot, _, block_time, epoch = max(self._snapshots, key=lambda one: one[:1])
        fetch_id = ingest.save_fetch(
            self._conn,
            slot,
            block_time,
            self._groups,
            absent=self._absent,
            epoch=epoch,
            whole=whole,
            numbering=numbering,
        )
        fact_store.save_facts(
            self._conn,
            "quarantine",
            [
                {
                    "snapshot_id": None,
                    "pubkey": one.pubkey,
                    "owner": one.owner,
                    "slot": one.slot,
                    "sha256": None,
                    "reason": one.error,
                    "observed_at": block_time,
                }
                for one in self.unreadable
            ],
        )
        return Fetch(
            fetch_id,
            slot,
            min(one[1] for one in self._snapshots),
            block_time,
            numbering,
            self.accounts,
            self.bytes,
            self.unreadable,
        )


def held_mints(snapshot: Snapshot) -> set[str]:
    """Mints of the token accounts in a snapshot."""
    found = set()
    for record in snapshot.accounts:
        if record.error is None and record.owner in _TOKEN_PROGRAMS:
            answer = record.decode()
            if isinstance(answer, Decoded) and "mint" in answer.values:
                found.add(answer.values["mint"])
    return found


async def read_and_land(
    conn: Connection, pool: RpcPool, universe: Universe, *, parts: Iterable[Universe] | None = None
) -> Fetch:
    """Read the universe part by part and store each before the next is asked for.

    Mints that a wallet holds and the universe does not list are read as well: without their
    decimals a balance means nothing.
    """
    newest = ingest.newest_fetch(conn)
    floor, numbering = await slot_floor(pool, newest)
    landing = Landing(conn)
    read: set[str] = set()
    held: set[str] = set()
    for part in parts if parts is not None else parts_of(universe):
        if not part.accounts and not part.tokens:
            continue
        snapshot = await fetch_snapshot(pool, part, min_context_slot=floor)
        landing.add(snapshot)
        read |= {one.pubkey for one in snapshot.accounts}
        held |= held_mints(snapshot)
    strangers = sorted(held - read)
    for start in range(0, len(strangers), ANCHORS_PER_PART):
        some = strangers[start : start + ANCHORS_PER_PART]
        landing.add(await fetch_snapshot(pool, some, min_context_slot=floor))
    return landing.finish(numbering=numbering)


async def _fetch(conn: Connection, settings: Settings, universe: Universe) -> Fetch:
    async with open_pool(settings) as pool:
        try:
            fetch = await read_and_land(conn, pool, universe)
            fetch.endpoints = pool.metrics()
            return fetch
        finally:
            rpc_counters.add(settings.resolve_database_url(), pool.metrics())


def fetch_accounts(conn: Connection, settings: Settings, universe: Universe) -> Fetch:
    """Read every account of the universe coherently and store its bytes.

    Accounts that the network does not have are quarantined by name; the rest is kept.
    """
    return asyncio.run(_fetch(conn, settings, universe))
