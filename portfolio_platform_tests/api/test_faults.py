"""What clients see while things break, and that it mends by itself."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from portfolio_platform_tests.api.seed import World
from portfolio_platform_tests.api.server import Served, settings_for
from portfolio_platform_tests.store import postgres
from portfolio_platform_tests.store.postgres import Database

ROUTE = "/v1/weights/latest?strategy=min-variance"


class Load:
    """Clients that ask without pause until stopped, and what they were answered."""

    def __init__(self, served: Served, user: uuid.UUID, clients: int = 4) -> None:
        self._served, self._user = served, user
        self._stop = threading.Event()
        self.answers: list[tuple[float, int, str]] = []
        self.broken: list[str] = []
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def _ask(self) -> None:
        with self._served.client(self._user) as client:
            while not self._stop.is_set():
                try:
                    answer = client.get(ROUTE)
                except httpx.HTTPError as error:
                    self.broken.append(repr(error))
                    continue
                code = "" if answer.status_code == 200 else answer.json()["code"]
                self.answers.append((time.monotonic(), answer.status_code, code))

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def last_failure(self) -> float | None:
        """When a request last failed."""
        return max((at for at, status, _ in self.answers if status != 200), default=None)


def _until(condition: Callable[[], bool], seconds: float) -> float:
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.05)
    return time.monotonic() - started


def test_terminated_backends_are_replaced_at_once(
    served: Served, database: Database, world: World
) -> None:
    with Load(served, world.a.user_id) as load:
        for _ in range(3):
            time.sleep(0.3)
            with database.connect("supabase_admin") as conn:
                conn.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where usename = 'portfolio_api' and datname = current_database()"
                )
        ended = time.monotonic()
        time.sleep(1.5)
    assert not load.broken
    assert {status for _, status, _ in load.answers} <= {200, 503}
    assert {code for _, _, code in load.answers} <= {"", "database-unavailable", "database-busy"}
    last = load.last_failure()
    assert last is None or last < ended + 1.0
    _until(lambda: served.services.wakeup.listening, 5)


@contextlib.contextmanager
def _own_cluster() -> Iterator[tuple[Database, Callable[[], None]]]:
    """A database of a cluster of its own, and what starts that cluster again."""
    name = f"api{os.getpid()}"
    clients = [postgres.start_cluster(name)]
    try:
        postgres.prepare_template(clients[0])
        database = postgres.clone(clients[0], "api_faults")
        yield database, lambda: clients.append(postgres.start_cluster(name))
    finally:
        for client in clients:
            client.stop(remove=True)


def test_an_immediate_stop_of_postgres_is_survived(home: Path) -> None:
    with _own_cluster() as (database, start_again):
        user = database.add_user()
        with (
            Served(settings_for(database, home, pool_timeout=0.5), home) as served,
            served.client(user) as client,
        ):
            assert client.get("/v1/tokens").status_code == 200
            with Load(served, user, 3) as load:
                postmaster = database.server.pid
                assert postmaster is not None
                os.kill(postmaster, signal.SIGQUIT)
                _until(lambda: client.get("/v1/tokens").status_code == 503, 10)
                assert client.get("/livez").status_code == 200
                _until(lambda: client.get("/readyz").status_code == 503, 10)
                time.sleep(4.0)  # longer than the pool tries on its own
                start_again()
                took = _until(lambda: client.get("/v1/tokens").status_code == 200, 10)
                _until(lambda: client.get("/readyz").status_code == 200, 10)
                well = time.monotonic()
                time.sleep(1.0)
    assert took < 10
    assert not load.broken
    assert {status for _, status, _ in load.answers} == {404, 503}  # 404: it holds no strategy
    assert {code for _, _, code in load.answers} <= {
        "not-found", "database-unavailable", "database-busy",
    }  # fmt: skip
    assert not [at for at, status, _ in load.answers if status == 503 and at > well + 0.5]


def test_a_database_that_is_not_there_yet_does_not_stop_the_api(
    database: Database, home: Path, world: World
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"postgresql://portfolio_api@127.0.0.1:{port}/nothing"
    with (
        Served(settings_for(database, home, database_url=url, pool_timeout=0.3), home) as server,
        server.client(world.a.user_id) as client,
    ):
        assert client.get("/livez").status_code == 200
        ready = client.get("/readyz")
        assert (ready.status_code, ready.json()["code"]) == (503, "not-ready")
        answer = client.get("/v1/tokens")
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/problem+json"
        assert int(answer.headers["retry-after"]) >= 1
        assert str(port) not in answer.text


def test_a_migration_under_running_connections_goes_unnoticed(
    fresh_database: Database, home: Path
) -> None:
    user = fresh_database.add_user()
    with fresh_database.connect() as conn:
        conn.execute("insert into public.tokens (mint, symbol) values ('test:X', 'X')")
    with Served(settings_for(fresh_database, home), home) as server, server.client(user) as client:
        for _ in range(8):
            assert client.get("/v1/tokens").json()["items"][0]["symbol"] == "X"
        with Load(server, user), fresh_database.connect() as conn:
            conn.execute("alter table public.tokens alter column name type varchar(300)")
            answers = [client.get("/v1/tokens") for _ in range(20)]
            conn.execute("deallocate all")
            assert [answer.status_code for answer in answers] == [200] * 20


def test_a_blocked_query_ends_as_a_problem_and_the_rest_go_on(
    database: Database, home: Path, world: World
) -> None:
    settings = settings_for(database, home, statement_timeout=0.4, pool_timeout=0.3)
    with Served(settings, home) as server, database.connect(autocommit=False) as conn:
        conn.execute("lock table public.tokens in access exclusive mode")
        with server.client(world.a.user_id) as client:
            slow = client.get("/v1/tokens")
            assert (slow.status_code, slow.json()["code"]) == (503, "query-timeout")
            assert client.get("/v1/settings").status_code == 200
            with concurrent.futures.ThreadPoolExecutor(24) as crowd:
                codes = {
                    answer.json()["code"]
                    for answer in crowd.map(lambda _: client.get("/v1/tokens"), range(24))
                }
            assert codes == {"query-timeout", "database-busy"}
            conn.rollback()
            assert client.get("/v1/tokens").status_code == 200
    assert "select" not in slow.text.lower()


def test_one_subject_cannot_use_up_anothers_rate(
    database: Database, home: Path, world: World
) -> None:
    settings = settings_for(database, home, rate_per_second=1, rate_burst=5)
    with (
        Served(settings, home) as server,
        server.client(world.a.user_id) as a,
        server.client(world.b.user_id) as b,
        server.client() as nobody,
    ):
        codes = [a.get("/v1/settings").status_code for _ in range(8)]
        assert codes[:5] == [200] * 5
        assert 429 in codes[5:]
        refused = a.get("/v1/settings")
        assert (refused.status_code, refused.json()["code"]) == (429, "rate-limited")
        assert int(refused.headers["retry-after"]) >= 1
        assert b.get("/v1/settings").status_code == 200
        attempts = [nobody.get("/v1/settings").status_code for _ in range(8)]
        assert attempts[:5] == [401] * 5
        assert 429 in attempts
        time.sleep(1.2)
        assert a.get("/v1/settings").status_code == 200


@pytest.mark.parametrize("declared", [True, False])
def test_a_body_is_read_up_to_its_limit_only(a: httpx.Client, declared: bool) -> None:
    body = b'{"slug":"' + b"x" * 300_000 + b'"}'
    content = body if declared else (body[n : n + 1000] for n in range(0, len(body), 1000))
    answer = a.post("/v1/strategies", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_a_url_has_a_limit(a: httpx.Client) -> None:
    answer = a.get("/v1/tokens", params={"symbol": "x" * 5000})
    assert (answer.status_code, answer.json()["code"]) == (414, "url-too-long")


def test_slow_clients_do_not_slow_down_the_others(
    served: Served, a: httpx.Client, world: World
) -> None:
    host, port = served.url.removeprefix("http://").split(":")
    with contextlib.ExitStack() as stack:
        for n in range(80):
            connection = stack.enter_context(socket.create_connection((host, int(port))))
            start = b"POST /v1/strategies HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n"
            connection.sendall(start if n % 2 else start + b"\r\n{")
        took = []
        for _ in range(50):
            started = time.monotonic()
            assert a.get(ROUTE).status_code == 200
            took.append(time.monotonic() - started)
    assert sorted(took)[45] < 0.25


def test_stopping_finishes_what_is_in_flight(database: Database, home: Path, world: World) -> None:
    server = Served(settings_for(database, home), home)
    with (
        server,
        server.client(world.a.user_id) as client,
        concurrent.futures.ThreadPoolExecutor(4) as pool,
    ):
        body = {"spec": {"version": 1}}
        waiting = [
            pool.submit(client.post, "/v1/optimizations", json=body, headers={"Prefer": "wait=30"})
            for _ in range(4)
        ]
        registry, name = server.services.measures.registry, "portfolio_api_requests_in_flight"
        _until(lambda: registry.get_sample_value(name) == 4, 5)
        started = time.monotonic()
        server.stop()
        assert [answer.result().status_code for answer in waiting] == [202] * 4
        assert time.monotonic() - started < 8


def test_unknown_paths_and_methods_are_problems(a: httpx.Client) -> None:
    missing = a.get("/v1/nothing")
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
    wrong = a.post("/v1/tokens")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    assert wrong.headers["allow"]


def test_a_trace_id_given_by_the_client_is_kept(a: httpx.Client) -> None:
    given = uuid.uuid4().hex
    answer = a.get("/v1/nothing", headers={"traceparent": f"00-{given}-{'1' * 16}-01"})
    assert answer.headers["x-trace-id"] == answer.json()["trace_id"] == given
    other = a.get("/v1/nothing", headers={"traceparent": "nonsense"})
    assert len(other.headers["x-trace-id"]) == 32
