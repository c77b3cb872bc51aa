"""Wake-up calls: LISTEN on a real Postgres, and the wire format of Realtime.

The Realtime server here is emulated (join, heartbeat and broadcast of the Phoenix protocol): it
proves that the client speaks and understands it, and nothing about Supabase's own service.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect

from portfolio_platform.defs.sensors import wakeups
from portfolio_platform_tests.store.postgres import Database


async def first(calls: AsyncGenerator[str, None], count: int, seconds: float = 10.0) -> list[str]:
    """The first names of a source."""
    found: list[str] = []
    async with aclosing(calls), asyncio.timeout(seconds):
        async for name in calls:
            found.append(name)
            if len(found) == count:
                break
    return found


def test_a_commit_wakes_the_listener_with_the_name_of_its_table(fresh_database: Database) -> None:
    said: list[str] = []

    async def heard() -> list[str]:
        calls = wakeups.from_postgres(fresh_database.url(), said.append)
        found = [await anext(calls)]
        with fresh_database.connect() as connection:
            connection.execute("insert into public.tokens (mint, symbol) values ('m', 'M')")
        return found + await first(calls, 1)

    assert asyncio.run(heard()) == ["", "tokens"]
    assert said[0].startswith("listening at ")


def test_an_unreachable_database_is_tried_again_and_named_without_its_password() -> None:
    said: list[str] = []
    calls = wakeups.from_postgres("postgresql://u:hunter2@127.0.0.1:1/x", said.append)
    with pytest.raises(TimeoutError):
        asyncio.run(first(calls, 1, seconds=1.2))
    assert len(said) >= 2
    assert not any("hunter2" in line for line in said)


@dataclass
class Realtime:
    """An emulated Realtime endpoint with one RPC function."""

    url: str = ""
    joined: list[dict[str, Any]] = field(default_factory=list)
    prolonged: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def realtime() -> Iterator[Realtime]:
    box = Realtime()
    app = FastAPI()

    @app.post("/rest/v1/rpc/feed_broadcast")
    async def feed_broadcast(request: Request) -> str:
        box.prolonged.append(await request.json())
        return "2026-01-01T00:00:00Z"

    @app.websocket("/realtime/v1/websocket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        try:
            while True:
                message = await websocket.receive_json()
                reply = {"status": "ok", "response": {"postgres_changes": []}}
                await websocket.send_json(
                    {
                        "event": "phx_reply",
                        "topic": message["topic"],
                        "ref": message["ref"],
                        "payload": reply,
                    }
                )
                if message["event"] == "phx_join":
                    box.joined.append(message)
                    await websocket.send_json(
                        {
                            "event": "broadcast",
                            "topic": message["topic"],
                            "ref": None,
                            "payload": {
                                "type": "broadcast",
                                "event": "change",
                                "payload": {"tables": ["strategies", "versions"]},
                            },
                        }
                    )
        except WebSocketDisconnect:
            return

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        pass
    port = server.servers[0].sockets[0].getsockname()[1]
    box.url = f"http://127.0.0.1:{port}"
    yield box
    server.should_exit = True
    thread.join(10)


def test_broadcasts_of_the_database_wake_the_listener(realtime: Realtime) -> None:
    said: list[str] = []
    calls = wakeups.from_realtime(realtime.url, "sb_secret_test", said.append)
    assert asyncio.run(first(calls, 3)) == ["", "strategies", "versions"]
    (join,) = realtime.joined
    assert join["topic"] == "realtime:portfolio_platform"
    assert join["payload"]["config"]["private"] is True
    assert realtime.prolonged == [{"seconds": 600}]
    assert not any("sb_secret" in line for line in said)


def test_the_database_broadcasts_only_while_somebody_listens(fresh_database: Database) -> None:
    def change(mint: str) -> int:
        with fresh_database.connect() as connection:
            connection.execute("insert into public.tokens (mint, symbol) values (%s, 'M')", [mint])
        with fresh_database.connect("supabase_admin") as admin:
            row = admin.execute(
                "select count(*), max(payload::text), bool_and(private) from realtime.messages"
            ).fetchone()
        assert row is not None
        if row[0]:
            assert row[1:] == ('{"tables": ["tokens"]}', True)
        return row[0]

    assert change("a") == 0
    with fresh_database.connect() as connection:
        connection.execute("select public.feed_broadcast(60)")
    assert change("b") == 1
    with fresh_database.connect() as connection:
        connection.execute("update ops.broadcast set until = now()")
    assert change("c") == 1
