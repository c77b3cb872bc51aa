"""`portfolio-platform stream`: land account changes as they happen, through the same gates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from typing import Any

from psycopg import Connection

from portfolio_platform.cli.progress import console
from portfolio_platform.defs.solana import snapshots
from portfolio_platform.defs.solana.streaming import StreamLanding
from portfolio_platform.settings import Settings
from portfolio_platform.solana.rpc import RpcError, RpcPool
from portfolio_platform.solana.snapshot import fetch_snapshot
from portfolio_platform.solana.stream import AccountStream, Change, StreamSettings
from portfolio_platform.store import ingest
from portfolio_platform.store.database import connect
from portfolio_platform.store.rpc_counters import Meter

SETTLE_SECONDS = 0.5
"""How long changes are gathered before what they belong to is read again."""


class Streamer:
    """A stream into the database.

    Every landing is one transaction, and they follow each other; one that fails ends the stream,
    because a change that was not stored must not be passed over.
    """

    def __init__(
        self,
        settings: Settings,
        stream_settings: StreamSettings | None = None,
        settle_seconds: float = SETTLE_SECONDS,
    ) -> None:
        self._settings = settings
        self._stream_settings = stream_settings
        self._settle_seconds = settle_seconds
        self._url = settings.resolve_database_url()
        self._pending: set[str] = set()
        self._floor = 0
        self._one_at_a_time = asyncio.Lock()
        self._meter = Meter(self._url)
        self.stream: AccountStream | None = None

    async def _in_transaction(self, work: Callable[[Connection], Any]) -> Any:
        def run() -> Any:
            with connect(self._url) as conn:
                return work(conn)

        async with self._one_at_a_time:
            return await asyncio.to_thread(run)

    async def _on_change(self, change: Change) -> None:
        snapshot = change.snapshot
        if snapshot is not None:
            await self._in_transaction(lambda conn: self.landing.poll(conn, snapshot))
            console.print(f"[dim]slot {snapshot.slot}: polled whole[/dim]")
            return
        found = await self._in_transaction(lambda conn: self.landing.change(conn, change))
        self._pending |= found
        self._floor = max(self._floor, *(record.slot for record in change.records))

    async def _settle(self, pool: RpcPool) -> None:
        """Read again, together, what the changes of the last moment belong to."""
        while True:
            await asyncio.sleep(self._settle_seconds)
            anchors, self._pending = self._pending, set()
            if not anchors:
                continue
            try:
                snapshot = await fetch_snapshot(
                    pool, self.landing.part(anchors), min_context_slot=self._floor
                )
            except RpcError as error:
                # Nothing is lost: they are asked for again, and the next poll reads everything.
                self._pending |= anchors
                console.print(f"[dim]{error}[/dim]")
                continue
            await self._in_transaction(
                lambda conn, read=snapshot: self.landing.again(conn, read)  # type: ignore[misc]
            )
            console.print(f"[dim]slot {snapshot.slot}: {len(anchors)} account(s) moved[/dim]")

    async def run(self, stop: asyncio.Event) -> dict[str, Any]:
        """Stream until `stop` is set; the counters."""
        universe = snapshots.read_universe(self._settings.resolve_universe())
        with connect(self._url) as conn:
            snapshots.store_universe(conn, universe)
            newest = ingest.newest_fetch(conn)
        async with snapshots.open_pool(self._settings) as pool:
            _, numbering = await snapshots.slot_floor(pool, newest)
            self.landing = StreamLanding(self._settings, universe, numbering)
            self.stream = AccountStream(
                pool,
                self._settings.resolve_ws_url(),
                universe,
                self._on_change,
                self._stream_settings,
                on_drop=lambda why: console.print(f"[dim]no stream: {why}; trying again[/dim]"),
            )
            following = asyncio.ensure_future(self.stream.run(stop))
            settling = asyncio.ensure_future(self._settle(pool))
            try:
                await asyncio.wait({following, settling}, return_when=asyncio.FIRST_COMPLETED)
                if settling.done():
                    settling.result()
                await following
            finally:
                for task in (following, settling):
                    task.cancel()
                    with suppress(asyncio.CancelledError):
                        await task
                self._meter.record(pool.metrics())
            return {**asdict(self.stream.counters), "landed": asdict(self.landing.counters)}


async def _stream(settings: Settings, seconds: float | None) -> dict[str, Any]:
    stop = asyncio.Event()
    if seconds is not None:
        asyncio.get_running_loop().call_later(seconds, stop.set)
    return await Streamer(settings).run(stop)


def run_stream(settings: Settings, seconds: float | None) -> dict[str, Any]:
    """Stream until interrupted, or for some seconds; returns the counters."""
    return asyncio.run(_stream(settings, seconds))
