"""Wake-up calls: that something has changed, and where. They are hints; the feed is the record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

import psycopg

from portfolio_platform.store.database import normalise, place, redact

CHANNEL = "portfolio_platform"
_FIRST_DELAY = 0.5
_LONGEST_DELAY = 15.0
_BROADCAST_SECONDS = 600

Say = Callable[[str], None]


async def from_postgres(url: str, say: Say) -> AsyncGenerator[str, None]:
    """Names of changed tables, over LISTEN; an empty name after each (re)connection: look at all.

    Needs a direct connection or a session pooler. A lost connection is made again, with back-off
    up to 15 seconds, for as long as it takes.
    """
    delay = _FIRST_DELAY
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                normalise(url, None),
                autocommit=True,
                connect_timeout=10,
                application_name="portfolio_platform listen",
            )
            async with connection, aclosing(_notifications(connection)) as named:
                await connection.execute(f"listen {CHANNEL}")
                say(f"listening at {place(url)}")
                delay = _FIRST_DELAY
                yield ""
                async for name in named:
                    yield name
        except psycopg.Error as error:
            lines = redact(str(error)).strip().splitlines() or [type(error).__name__]
            say(f"not listening ({lines[-1]}); the sensors still find everything")
        await asyncio.sleep(delay)
        delay = min(delay * 2, _LONGEST_DELAY)


async def _notifications(connection: psycopg.AsyncConnection[Any]) -> AsyncGenerator[str, None]:
    async for notification in connection.notifies():
        yield notification.payload


async def from_realtime(url: str, secret_key: str, say: Say) -> AsyncGenerator[str, None]:
    """Names of changed tables, broadcast from the database over Supabase Realtime.

    Broadcasting is asked for and renewed while this runs. The client reconnects by itself; every
    time the channel is joined, an empty name says to look at everything.
    """
    from realtime import RealtimeSubscribeStates

    from supabase import acreate_client

    client = await acreate_client(url, secret_key)
    named: asyncio.Queue[str] = asyncio.Queue()

    def on_change(message: Any) -> None:
        for name in message.get("payload", {}).get("tables", [""]):
            named.put_nowait(str(name))

    def on_state(state: RealtimeSubscribeStates, error: Exception | None) -> None:
        if state is RealtimeSubscribeStates.SUBSCRIBED:
            say(f"listening to Supabase Realtime at {url}")
            named.put_nowait("")
        else:
            said = f": {error}" if error else ""
            say(f"Realtime is {state.value.lower()}{said}; the sensors still find everything")

    await client.realtime.set_auth(secret_key)
    channel = client.channel(
        CHANNEL,
        {
            "config": {
                "broadcast": {"ack": False, "self": False},
                "presence": {"key": "", "enabled": False},
                "private": True,
            }
        },
    )
    await channel.on_broadcast("change", on_change).subscribe(on_state)
    try:
        while True:
            await client.rpc("feed_broadcast", {"seconds": _BROADCAST_SECONDS}).execute()
            deadline = asyncio.get_running_loop().time() + _BROADCAST_SECONDS / 2
            while (rest := deadline - asyncio.get_running_loop().time()) > 0:
                try:
                    yield await asyncio.wait_for(named.get(), rest)
                except TimeoutError:
                    break
    finally:
        await client.remove_all_channels()
