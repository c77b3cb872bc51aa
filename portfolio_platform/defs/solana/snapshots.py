"""Reading the universe from the network and landing its bytes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from psycopg import Connection

from portfolio_platform.settings import Settings
from portfolio_platform.solana.rpc import PoolSettings, RpcPool
from portfolio_platform.solana.snapshot import Snapshot, fetch_snapshot
from portfolio_platform.solana.universe import Universe, UniverseError, load_universe
from portfolio_platform.store import ingest


@dataclass(frozen=True)
class Fetch:
    """A stored fetch."""

    fetch_id: UUID
    snapshot: Snapshot
    endpoints: list[dict[str, Any]]
    unreadable: int


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


async def _read(settings: Settings, universe: Universe) -> tuple[Snapshot, list[dict[str, Any]]]:
    async with RpcPool(settings.resolve_rpc_urls(), PoolSettings()) as pool:
        snapshot = await fetch_snapshot(pool, universe)
        return snapshot, pool.metrics()


def store_snapshot(conn: Connection, snapshot: Snapshot) -> UUID:
    """Store a snapshot's bytes; what was asked for and is not there is kept by name."""
    fetch_id, _ = ingest.save_snapshot(
        conn,
        snapshot.slot,
        snapshot.block_time,
        [
            ingest.AccountRow(one.pubkey, one.owner, one.lamports, one.slot, one.data)
            for one in snapshot.accounts
            if one.error is None
        ],
        absent=[
            (one.pubkey, one.slot, one.error) for one in snapshot.accounts if one.error is not None
        ],
        epoch=snapshot.epoch,
    )
    return fetch_id


def fetch_accounts(conn: Connection, settings: Settings, universe: Universe) -> Fetch:
    """Read every account of the universe coherently and store its bytes.

    Accounts that the network does not have are quarantined by name; the rest is kept.
    """
    snapshot, endpoints = asyncio.run(_read(settings, universe))
    fetch_id = store_snapshot(conn, snapshot)
    optional = frozenset().union(*(group.optional for group in snapshot.groups.values()))
    missing = [
        one for one in snapshot.accounts if one.error is not None and one.pubkey not in optional
    ]
    ingest.save_facts(
        conn,
        "quarantine",
        [
            {
                "snapshot_id": None,
                "pubkey": one.pubkey,
                "owner": one.owner,
                "slot": one.slot,
                "sha256": None,
                "reason": one.error,
                "observed_at": snapshot.block_time,
            }
            for one in missing
        ],
    )
    return Fetch(fetch_id, snapshot, endpoints, len(missing))
