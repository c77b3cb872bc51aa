"""`portfolio-platform stream`: land account changes as they happen, through the same gates."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Any

from portfolio_platform.cli.progress import console
from portfolio_platform.defs.solana import facts, snapshots
from portfolio_platform.settings import Settings
from portfolio_platform.solana.rpc import RpcPool
from portfolio_platform.solana.stream import AccountStream, Change
from portfolio_platform.store import ingest
from portfolio_platform.store.database import connect


def land(settings: Settings, change: Change) -> None:
    """Store a change. A poll is a whole snapshot: prices, pools and holdings follow from it.

    A streamed account alone is bytes only: what it means beside its vaults and oracles is judged
    at the next poll, which reads them together.
    """
    with connect(settings.resolve_database_url()) as conn:
        if change.snapshot is None:
            slot = max(record.slot for record in change.records)
            rows = [
                ingest.AccountRow(r.pubkey, r.owner, r.lamports, r.slot, r.data)
                for r in change.records
                if r.error is None
            ]
            ingest.save_accounts(conn, rows, change.block_time)
            console.print(f"[dim]slot {slot}: {len(rows)} account(s)[/dim]")
            return
        newest = ingest.newest_fetch(conn)
        landing = snapshots.Landing(conn)
        landing.add(change.snapshot)
        fetch = landing.finish(numbering=newest.numbering if newest else 0)
        stored = facts.stored_snapshot(conn, fetch_id=fetch.fetch_id)
        facts.quarantine_refused(conn, stored)
        facts.save_prices(conn, stored, settings)
        facts.save_pools(conn, stored)
        facts.save_reserves(conn, stored)
        facts.save_stake_rates(conn, stored)
        facts.save_holdings(conn, stored)
        console.print(f"[dim]slot {change.snapshot.slot}: polled whole[/dim]")


async def _stream(settings: Settings, seconds: float | None) -> dict[str, Any]:
    universe = snapshots.read_universe(settings.resolve_universe())
    with connect(settings.resolve_database_url()) as conn:
        snapshots.store_universe(conn, universe)

    async def on_change(change: Change) -> None:
        await asyncio.to_thread(land, settings, change)

    stop = asyncio.Event()
    async with RpcPool(settings.resolve_rpc_urls()) as pool:
        stream = AccountStream(pool, settings.resolve_ws_url(), universe, on_change)
        if seconds is not None:
            asyncio.get_running_loop().call_later(seconds, stop.set)
        try:
            await stream.run(stop)
        finally:
            console.print(f"newest slot {pool.newest_slot}")
        counters: dict[str, Any] = asdict(stream.counters)
        return counters


def run_stream(settings: Settings, seconds: float | None) -> dict[str, Any]:
    """Stream until interrupted, or for some seconds; returns the counters."""
    return asyncio.run(_stream(settings, seconds))
