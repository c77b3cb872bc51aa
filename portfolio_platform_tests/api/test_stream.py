"""Server-sent events: nothing lost across reconnects, nothing of others, nothing for ever."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from portfolio_platform_tests.api.seed import World
from portfolio_platform_tests.api.server import Served, settings_for
from portfolio_platform_tests.store.postgres import Database


@dataclass
class Event:
    """One dispatched event."""

    id: str
    name: str
    data: Any


@contextlib.contextmanager
def listening(
    served: Served, user: uuid.UUID, last: str | None = None, **params: str
) -> Iterator[Iterator[Event]]:
    """Events of one connection; reading ends with the stream."""
    headers = {"Last-Event-ID": last} if last else {}
    with (
        served.client(user) as client,
        client.stream("GET", "/v1/stream", params=params, headers=headers, timeout=10) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield _events(answer)


def _events(answer: httpx.Response) -> Iterator[Event]:
    position, name, data = "", "message", ""
    for line in answer.iter_lines():
        field, _, value = line.partition(": ")
        if field == "id":
            position = value
        elif field == "event":
            name = value
        elif field == "data":
            data = value
        elif not line and data:
            yield Event(position, name, json.loads(data))
            name, data = "message", ""


def _token(conn: psycopg.Connection[Any], symbol: str) -> None:
    conn.execute(
        "insert into public.tokens (mint, symbol) values (%s, %s)", (f"test:{symbol}", symbol)
    )


def _keys(events: list[Event]) -> list[str]:
    return [key for event in events for key in event.data["keys"]]


def test_a_change_arrives_with_its_position(
    served: Served, database: Database, world: World
) -> None:
    with listening(served, world.a.user_id, topics="tokens") as events:
        assert next(events).name == "ready"
        with database.connect() as conn:
            _token(conn, f"S{uuid.uuid4().hex}")
        started = time.monotonic()
        event = next(events)
    assert (event.name, event.data["table"], event.data["op"]) == ("change", "tokens", "INSERT")
    assert event.data["rows"] == 1
    assert time.monotonic() - started < 3


def test_resuming_leaves_no_gap_and_repeats_nothing(
    served: Served, database: Database, world: World
) -> None:
    """Out-of-order commits, rollbacks and reconnects after every third event."""
    prefix = f"R{uuid.uuid4().hex[:6]}"
    written: list[str] = []
    done = threading.Event()

    def write(worker: int) -> None:
        with database.connect(autocommit=False) as conn:
            for n in range(15):
                symbol = f"{prefix}.{worker}.{n}"
                _token(conn, symbol)
                if n % 3 == worker % 3:
                    time.sleep(0.02)
                if n % 5 == 4:
                    conn.rollback()
                else:
                    conn.commit()
                    written.append(f"test:{symbol}")

    with listening(served, world.a.user_id, topics="tokens") as events:
        last = next(events).id
    threads = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    threading.Thread(target=lambda: ([t.join() for t in threads], done.set())).start()
    seen: list[str] = []
    deadline = time.monotonic() + 20
    while (len(seen) < len(written) or not done.is_set()) and time.monotonic() < deadline:
        with listening(served, world.a.user_id, last, topics="tokens") as events:
            assert next(events).name == "ready"
            for _ in range(3):
                if done.is_set() and len(seen) >= len(written):
                    break
                event = next(events)
                last = event.id
                seen += [key for key in event.data["keys"] if prefix in key]
    assert sorted(seen) == sorted(written)


def test_rows_of_others_never_arrive(served: Served, database: Database, world: World) -> None:
    def setting(user: uuid.UUID) -> None:
        with database.connect() as conn:
            conn.execute(
                "insert into public.user_settings (user_id, settings) values (%s, %s) "
                "on conflict (user_id) do update set updated_at = now()",
                (user, Jsonb({})),
            )

    with listening(served, world.a.user_id, topics="settings") as events:
        next(events)
        setting(world.b.user_id)
        setting(world.a.user_id)
        event = next(events)
    assert event.data["keys"] == [str(world.a.user_id)]


def test_topics_filter_but_still_move_the_position(
    served: Served, database: Database, world: World
) -> None:
    with listening(served, world.a.user_id, topics="settings") as events:
        first = next(events).id
        with database.connect() as conn:
            _token(conn, f"T{uuid.uuid4().hex}")
            conn.execute(
                "insert into public.user_settings (user_id) values (%s) "
                "on conflict (user_id) do update set updated_at = now()",
                (world.a.user_id,),
            )
        event = next(events)
    assert event.data["table"] == "user_settings"
    assert event.id != first


def test_a_position_of_another_database_is_reset(served: Served, world: World) -> None:
    with listening(served, world.a.user_id, "99999999999.1") as events:
        assert next(events).name == "reset"


@pytest.mark.parametrize("last", ["x", "1", "1.2.3", "-1.0", "1;drop"])
def test_a_position_that_is_none_is_refused(served: Served, world: World, last: str) -> None:
    with served.client(world.a.user_id) as client:
        answer = client.get("/v1/stream", headers={"Last-Event-ID": last})
        assert (answer.status_code, answer.json()["code"]) == (400, "bad-request")
        unknown = client.get("/v1/stream", params={"topics": "secrets"})
        assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid")


def test_the_stream_ends_with_the_token(served: Served, world: World) -> None:
    token = served.token(world.a.user_id, expires_in=1.5)
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.stream("GET", f"{served.url}/v1/stream", headers=headers, timeout=10) as answer:
        names = [(event.name, event.data) for event in _events(answer)]
    assert names[-1] == ("close", {"reason": "the token has expired"})


def test_heartbeats_and_the_limit_of_streams(database: Database, world: World, home: Path) -> None:
    settings = settings_for(
        database, home, stream_heartbeat=0.3, max_streams_per_subject=2, listen=False
    )
    with Served(settings, home) as server, server.client(world.a.user_id) as client:
        with client.stream("GET", "/v1/stream", timeout=5) as one:
            lines = one.iter_lines()
            assert any(line == ": heartbeat" for line in lines)
            with client.stream("GET", "/v1/stream", timeout=5):
                third = client.get("/v1/stream")
                assert (third.status_code, third.json()["code"]) == (429, "too-many-streams")
        deadline = time.monotonic() + 5
        while server.services.streams and time.monotonic() < deadline:
            time.sleep(0.05)
        assert server.services.streams == {}


def test_a_reader_that_does_not_read_is_dropped(
    database: Database, world: World, home: Path
) -> None:
    settings = settings_for(database, home, stream_send_timeout=0.5)
    with Served(settings, home) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            request = (
                "GET /v1/stream HTTP/1.1\r\nHost: x\r\n"
                f"Authorization: Bearer {server.token(world.a.user_id)}\r\n\r\n"
            )
            connection.sendall(request.encode())
            _wait(lambda: bool(server.services.streams))
            keys = [[f"test:{uuid.uuid4()}"] for _ in range(200)]
            deadline = time.monotonic() + 15
            with database.connect() as conn, conn.cursor() as cursor:
                while server.services.streams and time.monotonic() < deadline:
                    cursor.executemany(
                        "insert into ops.change_log (relname, op, n_rows, keys) "
                        "values ('tokens', 'INSERT', 1, %s)",
                        [(Jsonb(keys * 20),) for _ in range(10)],
                    )
        assert server.services.streams == {}


def test_stopping_the_server_closes_streams_with_a_retry_hint(
    database: Database, world: World, home: Path
) -> None:
    server = Served(settings_for(database, home), home)
    with server, server.client(world.a.user_id) as client:
        with client.stream("GET", "/v1/stream", timeout=10) as answer:
            lines = answer.iter_lines()
            assert next(lines) == "retry: 1000"
            threading.Thread(target=server.stop).start()
            text = "\n".join(lines)
        assert "event: close" in text
        assert "shutting down" in text


def _wait(condition: Any) -> None:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()
