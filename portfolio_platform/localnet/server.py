"""Running the local chain: one asyncio process, one loopback port."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from portfolio_platform.localnet.app import LocalnetApp
from portfolio_platform.localnet.chain import Chain
from portfolio_platform.localnet.demo import GENESIS_SLOT, DemoChain
from portfolio_platform.localnet.dump_universe import dump_universe, merge_universes
from portfolio_platform.localnet.dumps import load_dumps
from portfolio_platform.localnet.market import Market
from portfolio_platform.localnet.node import Node
from portfolio_platform.localnet.transactions import TransactionLog

_GRACE_SECONDS = 1


@dataclass(frozen=True)
class LocalnetOptions:
    """What a local chain serves.

    Attributes
    ----------
    market
        Whether to build the demo market; with `accounts` alone only the dumps are served.
    now
        Where the chain's clock starts (timezone-aware); the present when None.
    slot
        First slot of a chain of dumps; the highest slot that a dump states when None.
    tick_seconds
        Real seconds between automatic steps of the clock; None leaves it to POST /advance.
    """

    seed: int = 7
    market: bool = True
    accounts: tuple[Path, ...] = ()
    now: datetime | None = None
    slot: int | None = None
    days: int = 730
    tick_seconds: float | None = None
    exit_with_parent: bool = False
    port: int = 0


def build_node(options: LocalnetOptions) -> Node:
    """The node that these options describe; DumpError when a dump cannot be read."""
    now = options.now or datetime.now(UTC)
    if options.market:
        demo = DemoChain(Market(options.seed, options.days, now))
        node = Node(demo.chain, demo.log, demo)
        node.universe = demo.universe()
        node.dumps = load_dumps(node.chain, list(options.accounts))
        if node.dumps:
            node.universe = merge_universes(node.universe, dump_universe(node.chain, node.dumps))
        return node
    first = GENESIS_SLOT if options.slot is None else options.slot
    node = Node(Chain(first, int(now.timestamp() * 1000)), TransactionLog(), None)
    node.dumps = load_dumps(node.chain, list(options.accounts))
    slots = [row["slot"] for row in node.dumps if row["slot"] is not None]
    if options.slot is None and slots:
        node.chain.restart_at(max(slots))
    node.universe = dump_universe(node.chain, node.dumps)
    node.chain.take_changed()
    return node


@dataclass
class Transports:
    """Open connections by client address, so that a fault can reset one."""

    open: dict[Any, asyncio.Transport] = field(default_factory=dict)

    def abort(self, client: Any) -> None:
        """Reset the connection of this client without a word."""
        transport = self.open.pop(tuple(client), None)
        if transport is not None:
            raw = transport.get_extra_info("socket")
            if raw is not None:
                # Linger zero makes the close a reset, as a crashing peer would.
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            transport.abort()

    def protocol(self) -> type[HttpToolsProtocol]:
        """An HTTP protocol that enters its connections here."""
        transports = self.open

        class Tracked(HttpToolsProtocol):
            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                transports[transport.get_extra_info("peername")] = transport
                raw = transport.get_extra_info("socket")
                if raw is not None:
                    # Head and body are two writes; without this each answer waits 40 ms.
                    raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                super().connection_made(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                if self.transport is not None:
                    transports.pop(self.transport.get_extra_info("peername"), None)
                super().connection_lost(exc)

        return Tracked


class _Server(uvicorn.Server):
    """A server whose signals belong to its owner."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(options: LocalnetOptions, ready: Callable[[str, Node], None]) -> None:
    """Serve until SIGTERM, SIGINT or, if asked for, the end of the parent process.

    `ready` is called once with the base URL when the port answers.
    """
    parent = os.getppid()
    node = build_node(options)
    listener = socket.create_server(("127.0.0.1", options.port), backlog=512)
    transports = Transports()
    app = LocalnetApp(node, transports.abort, options.seed)
    config = uvicorn.Config(
        app,
        log_level="error",
        lifespan="off",
        http=transports.protocol(),
        ws="websockets-sansio",
        ws_max_size=16 * 1024 * 1024,
        ws_ping_interval=None,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=60,
        access_log=False,
    )
    server = _Server(config)
    loop = asyncio.get_running_loop()

    def stop() -> None:
        server.should_exit = True

    with contextlib.suppress(ValueError, RuntimeError):
        # Signals can only be taken over in the main thread.
        for one in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(one, stop)
    tasks = [asyncio.create_task(_announce(server, listener, node, ready))]
    if options.tick_seconds is not None:
        tasks.append(asyncio.create_task(_tick(node, options.tick_seconds)))
    if options.exit_with_parent:
        tasks.append(asyncio.create_task(_watch_parent(parent, stop)))
    try:
        await server.serve(sockets=[listener])
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        listener.close()


async def _announce(
    server: uvicorn.Server,
    listener: socket.socket,
    node: Node,
    ready: Callable[[str, Node], None],
) -> None:
    while not server.started:
        await asyncio.sleep(0.005)
    ready(f"127.0.0.1:{listener.getsockname()[1]}", node)


async def _tick(node: Node, seconds: float) -> None:
    loop = asyncio.get_running_loop()
    last = loop.time()
    while True:
        await asyncio.sleep(seconds)
        present = loop.time()
        node.advance(seconds=round(present - last, 3))
        last = present


async def _watch_parent(parent: int, stop: Callable[[], None]) -> None:
    while os.getppid() == parent:
        await asyncio.sleep(0.25)
    stop()
