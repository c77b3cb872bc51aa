"""Nobody sees what belongs to another, whatever they send."""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import uuid
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from portfolio_platform.api import local_keys
from portfolio_platform.store.reads.exchange import Statement
from portfolio_platform.store.reads.session import Caller
from portfolio_platform.store.reads.session import Database as Pool
from portfolio_platform_tests.api.seed import World
from portfolio_platform_tests.api.server import Served, settings_for
from portfolio_platform_tests.store.postgres import Database

OWNED = [
    "/v1/strategies/{strategy_id}",
    "/v1/weights/latest?strategy={strategy_id}",
    "/v1/weights?strategy={strategy_id}",
    "/v1/weights/{versions[weights]}",
    "/v1/weights/{versions[weights]}/lineage",
    "/v1/versions/{versions[plan]}/lineage",
    "/v1/portfolios/{portfolio_id}",
    "/v1/portfolios/{portfolio_id}/state/latest",
    "/v1/portfolios/{portfolio_id}/reallocation/latest",
    "/v1/portfolios/{portfolio_id}/reallocation",
    "/v1/plans/{versions[plan]}",
    "/v1/backtests/{backtest_id}",
    "/v1/backtests/{backtest_id}/report.html",
    "/v1/optimizations/{optimization_id}",
    "/v1/alert-rules/{rule_id}",
    "/v1/alerts/{alert_id}",
    "/v1/channels/{channel_id}",
]
WRITTEN: list[tuple[str, str, Any]] = [
    ("PATCH", "/v1/strategies/{strategy_id}", {"name": "taken"}),
    ("DELETE", "/v1/strategies/{strategy_id}", None),
    ("PATCH", "/v1/portfolios/{portfolio_id}", {"name": "taken"}),
    ("DELETE", "/v1/portfolios/{portfolio_id}", None),
    ("DELETE", "/v1/backtests/{backtest_id}", None),
    ("DELETE", "/v1/optimizations/{optimization_id}", None),
    ("PATCH", "/v1/alert-rules/{rule_id}", {"enabled": False}),
    ("DELETE", "/v1/alert-rules/{rule_id}", None),
    ("PATCH", "/v1/channels/{channel_id}", {"address": "https://a.example/taken"}),
    ("DELETE", "/v1/channels/{channel_id}", None),
]
VOLATILE = {"date", "server-timing", "x-trace-id"}


class _Missing(dict[str, uuid.UUID]):
    def __missing__(self, _: str) -> uuid.UUID:
        return uuid.uuid4()


def _of(person: Any, template: str) -> str:
    return template.format(**vars(person))


def _missing(template: str) -> str:
    names = (
        "strategy_id", "portfolio_id", "backtest_id", "optimization_id", "rule_id", "alert_id",
        "channel_id",
    )  # fmt: skip
    return template.format(versions=_Missing(), **{name: uuid.uuid4() for name in names})


def _essence(answer: httpx.Response) -> tuple[int, dict[str, str], dict[str, Any]]:
    headers = {k: v for k, v in answer.headers.items() if k not in VOLATILE}
    body = answer.json()
    return (
        answer.status_code,
        headers,
        {k: v for k, v in body.items() if k not in ("trace_id", "instance")},
    )


@pytest.mark.parametrize("template", OWNED)
def test_anothers_id_looks_exactly_like_a_missing_one(
    a: httpx.Client, b: httpx.Client, world: World, template: str
) -> None:
    path = _of(world.b, template)
    own = b.get(path)
    assert own.status_code == 200
    foreign = a.get(path, headers={"If-None-Match": own.headers.get("etag", '"x"')})
    nothing = a.get(_missing(template), headers={"If-None-Match": '"x"'})
    assert foreign.status_code == 404
    assert _essence(foreign) == _essence(nothing)


@pytest.mark.parametrize(("method", "template", "body"), WRITTEN)
def test_writing_to_anothers_id_looks_like_a_missing_one(
    a: httpx.Client, b: httpx.Client, world: World, method: str, template: str, body: Any
) -> None:
    path = _of(world.b, template)
    before = b.get(path).content
    foreign = a.request(method, path, json=body)
    nothing = a.request(method, _missing(template), json=body)
    assert foreign.status_code == 404
    assert _essence(foreign) == _essence(nothing)
    assert b.get(path).content == before


def test_no_operation_on_an_id_is_left_out(a: httpx.Client) -> None:
    """Whoever adds a resource adds it to the sweep."""

    def shape(path: str) -> str:
        return re.sub(r"{[^}]*}", "{}", path.partition("?")[0])

    swept = {("get", shape(path)) for path in OWNED}
    swept |= {(method.lower(), shape(path)) for method, path, _ in WRITTEN}
    described = {
        (method, shape(path))
        for path, operations in a.get("/openapi.json").json()["paths"].items()
        if re.search(r"{(?:\w+_id|version)}", path)
        for method in operations
    }
    assert described == {one for one in swept if "{}" in one[1]}


def test_a_portfolio_cannot_follow_anothers_strategy(a: httpx.Client, world: World) -> None:
    body = {
        "name": "probe",
        "wallet": "7YttLkHDoNj9wyDur5pM1ejNaAvT9X4eqaYcHQqtj2G5",
        "hub_mint": "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
    }
    foreign = a.post("/v1/portfolios", json=body | {"strategy_id": str(world.b.strategy_id)})
    nothing = a.post("/v1/portfolios", json=body | {"strategy_id": str(uuid.uuid4())})
    assert foreign.status_code == nothing.status_code == 404
    assert _essence(foreign) == _essence(nothing)
    change = {"strategy_id": str(world.b.strategy_id)}
    path = f"/v1/portfolios/{world.a.portfolio_id}"
    assert a.patch(path, json=change).status_code == 404
    assert a.get(path).json()["strategy_id"] == str(world.a.strategy_id)


@pytest.mark.parametrize(
    "body",
    [
        {"user_id": str(uuid.uuid4())},
        {"owner": "platform"},
        {"strategy_id": str(uuid.uuid4())},
        {"created_at": "2020-01-01T00:00:00Z"},
    ],
)
def test_members_that_are_not_the_clients_to_set_are_refused(
    a: httpx.Client, body: dict[str, str]
) -> None:
    base = {"slug": "mass-assignment", "name": "n", "spec": {"version": 1}}
    assert a.post("/v1/strategies", json=base | body).status_code == 422
    request = {"spec": {"version": 1}, "state": "done"}
    assert a.post("/v1/optimizations", json=request).status_code == 422


@pytest.mark.parametrize("path", ["/v1/weights/latest?strategy=mine", "/v1/weights?strategy=mine"])
def test_one_url_is_answered_to_each_with_their_own(
    a: httpx.Client, b: httpx.Client, path: str
) -> None:
    mine, theirs = a.get(path), b.get(path)
    assert mine.json()["strategy"]["name"] == "of a"
    assert theirs.json()["strategy"]["name"] == "of b"
    if "etag" in mine.headers:
        again = b.get(path, headers={"If-None-Match": mine.headers["etag"]})
        assert again.status_code == 200
        assert "Authorization" in again.headers["vary"]


def test_a_pool_of_four_never_mixes_up_two_hundred_users(
    database: Database, world: World, home: Path
) -> None:
    users = [database.add_user() for _ in range(200)]
    with database.connect() as conn, conn.cursor() as cursor:
        cursor.executemany(
            "insert into public.user_settings (user_id, settings) "
            "values (%s, jsonb_build_object('default_strategy', %s::text))",
            [(user, user.hex) for user in users],
        )
    rng = random.Random(7)
    with Served(settings_for(database, home, pool_min_size=4, pool_timeout=20), home) as server:
        foreign, answered = asyncio.run(_crowd(server, users, rng))
        assert server.services.database.pool_stats()["pool_max"] == 4
    assert foreign == 0
    assert answered > 600


async def _crowd(server: Served, users: list[uuid.UUID], rng: random.Random) -> tuple[int, int]:
    """Four requests per user: own settings, an error, a cancelled one, own settings again."""
    tokens = {user: local_keys.issue_token(server.home, user) for user in users}
    gate = asyncio.Semaphore(60)
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(httpx.AsyncClient(base_url=server.url, timeout=30))
            for _ in range(10)
        ]

        async def ask(user: uuid.UUID, kind: str) -> tuple[int, int]:
            headers = {"Authorization": f"Bearer {tokens[user]}"}
            client = clients[user.int % len(clients)]
            if kind == "error":
                body = {"slug": "s", "name": "n", "spec": {"version": 1}}
                await client.post("/v1/strategies", headers=headers, json=body)
                again = await client.post("/v1/strategies", headers=headers, json=body)
                return 0, int(again.status_code == 409)
            if kind == "cancelled":
                call = asyncio.create_task(client.get("/v1/freshness", headers=headers))
                await asyncio.sleep(rng.random() * 0.02)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
                return 0, 0
            answer = await client.get("/v1/settings", headers=headers)
            assert answer.status_code == 200, answer.text
            return int(answer.json()["settings"].get("default_strategy") != user.hex), 1

        async def gated(user: uuid.UUID, kind: str) -> tuple[int, int]:
            async with gate:
                return await ask(user, kind)

        calls = [(u, k) for u in users for k in ("read", "error", "cancelled", "read", "read")]
        rng.shuffle(calls)
        results = await asyncio.gather(*(gated(user, kind) for user, kind in calls))
    return sum(r[0] for r in results), sum(r[1] for r in results)


@pytest.mark.parametrize("role", ["service_role", "postgres", "supabase_admin", "authenticator"])
def test_the_login_of_the_api_can_become_the_two_user_roles_only(
    database: Database, world: World, role: str
) -> None:
    with database.connect("portfolio_api") as conn:
        for own in ("anon", "authenticated"):
            conn.execute(f"set role {own}")
            conn.execute("reset role")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute(f"set role {role}")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            conn.execute("select * from public.tokens")


def test_a_read_cannot_write(database: Database, world: World) -> None:
    async def attempt() -> None:
        pool = Pool(database.url("portfolio_api"), min_size=1, max_size=1)
        await pool.open()
        caller = Caller("authenticated", str(world.a.user_id), b"{}")
        try:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await pool.one(caller, Statement("delete from public.strategies returning slug"))
            assert await pool.one(caller, Statement("select 1 as n")) == {"n": 1}
        finally:
            await pool.close()

    asyncio.run(attempt())


def test_cancelled_transactions_leave_no_identity_and_no_answer_behind(
    database: Database, world: World
) -> None:
    """Cancelled anywhere between the first byte out and the last byte in."""
    foreign, answered, cancelled = asyncio.run(_cancelling(database, random.Random(11)))
    assert foreign == 0
    assert answered > 300
    assert cancelled > 100


def test_a_request_cancelled_while_it_gives_back_its_connection_gives_it_back(
    database: Database,
) -> None:
    async def cancel_late() -> None:
        pool = Pool(database.url("portfolio_api"), min_size=1, max_size=1, acquire_timeout=2)
        await pool.open()
        caller = Caller("authenticated", None, b"{}")
        try:
            await pool.one(caller, Statement("select 1 as n"))
            slow = asyncio.create_task(pool.one(caller, Statement("select pg_sleep(0.1)")))
            await asyncio.sleep(0.03)
            async with pool._pool._lock:  # as when others come and go at this moment
                await asyncio.sleep(0.3)
                slow.cancel()
                await asyncio.sleep(0)
            await asyncio.gather(slow, return_exceptions=True)
            assert await pool.one(caller, Statement("select 2 as n")) == {"n": 2}
        finally:
            await pool.close()

    asyncio.run(cancel_late())


async def _cancelling(database: Database, rng: random.Random) -> tuple[int, int, int]:
    whoami = Statement("select auth.uid()::text as me, current_user::text as role, $1::int as n")
    pool = Pool(database.url("portfolio_api"), min_size=4, max_size=4, acquire_timeout=20)
    await pool.open()
    foreign = answered = cancelled = 0

    async def once(n: int) -> None:
        nonlocal foreign, answered, cancelled
        me = str(uuid.UUID(int=rng.getrandbits(128)))
        caller = Caller("authenticated", me, f'{{"sub":"{me}"}}'.encode())
        call = asyncio.create_task(pool.one(caller, whoami, n))
        if n % 3 == 0:
            await asyncio.sleep(rng.random() * 0.003)
            call.cancel()
        try:
            row = await call
        except asyncio.CancelledError:
            cancelled += 1
            return
        answered += 1
        foreign += row != {"me": me, "role": "authenticated", "n": n}

    try:
        for start in range(0, 600, 20):
            await asyncio.gather(*(once(n) for n in range(start, start + 20)))
    finally:
        await pool.close()
    return foreign, answered, cancelled
