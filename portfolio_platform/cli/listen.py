"""`portfolio-platform listen`: recompute at once what a change affects.

It does what the sensors do, on a wake-up call instead of every few seconds, with the same cursors,
leases and batches. Stopping it loses nothing: the sensors go on where it was.
"""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass

import httpx
from dagster import DagsterInstance, RunRequest
from dagster_graphql import DagsterGraphQLClientError

from portfolio_platform.cli.launch import GraphqlLauncher, InProcessLauncher, Launcher
from portfolio_platform.defs.sensors import registry, wakeups
from portfolio_platform.defs.sensors.tick import look
from portfolio_platform.defs.sensors.watch import Watch
from portfolio_platform.settings import Settings
from portfolio_platform.store.database import TRANSACTION_POOLER_PORT, DatabaseUnreachable, parse
from portfolio_platform.store.feed import FeedError

Say = Callable[[str], None]
# An open write transaction holds events back for a moment; a batch ends some time after its run.
_LOOK_AGAIN = (0.05, 0.3, 1.0, 2.0)
_FOLLOW_UP = 1.0
_IDLE = 30.0


def source(settings: Settings, say: Say) -> AsyncGenerator[str, None]:
    """Supabase Realtime where the database cannot be listened to; LISTEN otherwise."""
    url = settings.resolve_database_url()
    pooled = parse(url).port == TRANSACTION_POOLER_PORT
    if pooled and settings.supabase_url and settings.supabase_secret_key:
        secret = settings.supabase_secret_key.get_secret_value()
        return wakeups.from_realtime(settings.supabase_url, secret, say)
    if pooled:
        say("DATABASE_URL is a transaction pooler, which cannot LISTEN: use the direct address or")
        say("the session pooler, or set SUPABASE_URL and SUPABASE_SECRET_KEY for Realtime")
    return wakeups.from_postgres(url, say)


def launcher(settings: Settings, instance: DagsterInstance, say: Say) -> Launcher:
    """The webserver's GraphQL where it answers, this process otherwise."""
    try:
        httpx.get(f"http://127.0.0.1:{settings.ui_port}/server_info", timeout=2).raise_for_status()
    except httpx.HTTPError:
        say("no Dagster UI answers; runs are executed in this process")
        return InProcessLauncher(instance)
    say(f"runs are launched through http://127.0.0.1:{settings.ui_port}/graphql")
    return GraphqlLauncher("127.0.0.1", settings.ui_port)


@dataclass
class Listener:
    """Looks with the watches that a wake-up call concerns, and launches what they ask for."""

    url: str
    instance: DagsterInstance
    launcher: Launcher
    say: Say

    def attend(self, watches: Iterable[tuple[str, Watch]]) -> bool:
        """Look once with each watch; whether anything is still open."""
        busy = False
        for location, watch in watches:
            try:
                found = look(watch, self.instance, self.url)
            except (FeedError, DatabaseUnreachable) as error:
                self.say(f"{watch.consumer}: {error}")
                return True
            for request in found.requests:
                self._launch(location, watch, request)
            busy = busy or bool(found.requests) or found.open
        return busy

    def _launch(self, location: str, watch: Watch, request: RunRequest) -> None:
        if request.partition_key is not None and watch.partitions is not None:
            self.instance.add_dynamic_partitions(watch.partitions, [request.partition_key])
        try:
            run_id = self.launcher.launch(location, request)
        except DagsterGraphQLClientError as error:
            # Nothing is lost: after a grace period the sensor asks for the same attempt.
            self.say(f"{watch.consumer}: {request.job_name} was not launched: {error}")
            return
        self.say(f"{watch.consumer}: {request.job_name} is run {run_id}")


async def listen(settings: Settings, say: Say, stop: asyncio.Event) -> None:
    """Listen until `stop` is set."""
    instance = DagsterInstance.get()
    listener = Listener(
        settings.resolve_database_url(), instance, launcher(settings, instance, say), say
    )
    named: asyncio.Queue[str] = asyncio.Queue()
    hearing = asyncio.create_task(_hear(source(settings, say), named))
    stopping = asyncio.create_task(stop.wait())
    try:
        await _attend_until(stopping, hearing, named, listener, settings)
    finally:
        for task in (hearing, stopping):
            task.cancel()
        await asyncio.gather(hearing, stopping, return_exceptions=True)


async def _hear(calls: AsyncGenerator[str, None], named: asyncio.Queue[str]) -> None:
    async with aclosing(calls) as heard:
        async for name in heard:
            named.put_nowait(name)


async def _attend_until(
    stopping: asyncio.Task[bool],
    hearing: asyncio.Task[None],
    named: asyncio.Queue[str],
    listener: Listener,
    settings: Settings,
) -> None:
    watches = [(location, watch.tuned(settings)) for location, watch in registry.located()]
    patience = _IDLE
    while not stopping.done():
        call = asyncio.create_task(named.get())
        await asyncio.wait(
            {call, stopping, hearing}, timeout=patience, return_when=asyncio.FIRST_COMPLETED
        )
        if hearing.done():
            await hearing
        tables = {call.result()} if call.done() else {""}
        call.cancel()
        if stopping.done():
            return
        patience = _IDLE
        for delay in _LOOK_AGAIN if tables != {""} else _LOOK_AGAIN[:1]:
            await asyncio.sleep(delay)
            while not named.empty():
                tables.add(named.get_nowait())
            concerned = [
                (location, watch)
                for location, watch in watches
                if "" in tables or watch.tables & tables
            ]
            if await asyncio.to_thread(listener.attend, concerned):
                patience = _FOLLOW_UP
                break


def run_listen(settings: Settings, say: Say) -> int:
    """Listen until interrupted; returns the exit code."""

    async def until_interrupted() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await listen(settings, say, stop)

    asyncio.run(until_interrupted())
    return 0
