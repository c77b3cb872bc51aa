"""Requests: stored once, awaited, cancelled, and never computed here."""

from __future__ import annotations

import json
import threading
import time
import uuid
from pathlib import Path
from typing import Any

import httpx
import pytest

from portfolio_platform.api.submissions import wait_seconds
from portfolio_platform_tests.api.seed import World
from portfolio_platform_tests.api.server import Served, settings_for
from portfolio_platform_tests.store.postgres import Database

KINDS = [("/v1/optimizations", "optimization_requests"), ("/v1/backtests", "backtest_requests")]
BODY = {"spec": {"version": 1}}
BACKTEST = {"spec": {"version": 1, "strategies": ["min-variance"]}}


def _body(path: str) -> dict[str, Any]:
    return BACKTEST if path == "/v1/backtests" else BODY


def _other(path: str) -> dict[str, Any]:
    return {
        "spec": {"version": 1}
        | ({"strategies": ["x"]} if "back" in path else {"description": "other"})
    }


def _count(database: Database, table: str, user_id: uuid.UUID) -> int:
    with database.connect() as conn:
        row = conn.execute(
            f"select count(*) from public.{table} where user_id = %s", (user_id,)
        ).fetchone()
    assert row is not None
    return row[0]


def _finish(database: Database, table: str, request_id: str, state: str, version: Any) -> None:
    with database.connect() as conn:
        conn.execute(
            f"update public.{table} set state = %s, version = %s, progress = 1, "
            "finished_at = now() where request_id = %s",
            (state, version, request_id),
        )


@pytest.mark.parametrize(("path", "table"), KINDS)
def test_a_request_is_accepted_with_its_location(
    a: httpx.Client, database: Database, world: World, path: str, table: str
) -> None:
    before = _count(database, table, world.a.user_id)
    answer = a.post(path, json=_body(path))
    assert answer.status_code == 202
    body = a.get(answer.headers["location"]).json()
    assert body["state"] == "queued"
    assert (body["progress"], body["result"], body["spec"]) == (0.0, None, _body(path)["spec"])
    assert _count(database, table, world.a.user_id) == before + 1


@pytest.mark.parametrize("start", ["2024-13-01", "2024-1-1", "yesterday", "2024-01-01T00:00:00"])
def test_a_day_or_time_that_is_none_is_refused(a: httpx.Client, start: str) -> None:
    body = _body("/v1/backtests")
    answer = a.post("/v1/backtests", json={"spec": {**body["spec"], "start": start}})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["loc"] == ["body", "spec", "start"]


@pytest.mark.parametrize(
    "start", ["2024-01-31", "2024-01-31T12:00:00Z", "2024-01-31T12:00:00.5+02:00"]
)
def test_a_day_or_a_time_with_its_zone_is_taken(a: httpx.Client, start: str) -> None:
    body = _body("/v1/backtests")
    answer = a.post("/v1/backtests", json={"spec": {**body["spec"], "start": start}})
    assert answer.status_code == 202


@pytest.mark.parametrize(("path", "table"), KINDS)
def test_one_key_stores_one_request(
    a: httpx.Client, b: httpx.Client, database: Database, world: World, path: str, table: str
) -> None:
    headers = {"Idempotency-Key": f"key-{uuid.uuid4()}"}
    before = _count(database, table, world.a.user_id)
    first = a.post(path, json=_body(path), headers=headers)
    again = a.post(path, content=json.dumps(_body(path), indent=3),
                   headers=headers | {"Content-Type": "application/json"})  # fmt: skip
    assert again.json()["request_id"] == first.json()["request_id"]
    other = a.post(path, json=_other(path), headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-conflict")
    assert (
        b.post(path, json=_body(path), headers=headers).json()["request_id"]
        != (first.json()["request_id"])
    )
    assert _count(database, table, world.a.user_id) == before + 1


def test_a_key_sent_many_times_at_once_stores_one_request(
    served: Served, database: Database
) -> None:
    user = database.add_user()
    token = served.token(user)
    seen: list[tuple[int, str]] = []

    def post() -> None:
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": "same"}
        answer = httpx.post(
            f"{served.url}/v1/optimizations", json=BODY, headers=headers, timeout=30
        )
        seen.append((answer.status_code, answer.json().get("request_id")))

    threads = [threading.Thread(target=post) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {status for status, _ in seen} == {202}
    assert len({request_id for _, request_id in seen}) == 1
    assert _count(database, "optimization_requests", user) == 1


@pytest.mark.parametrize(("path", "table"), KINDS)
def test_prefer_wait_holds_the_answer_until_it_is_there(
    a: httpx.Client, database: Database, world: World, path: str, table: str
) -> None:
    key = {"Idempotency-Key": f"wait-{uuid.uuid4()}"}
    made = a.post(path, json=_body(path), headers=key).json()
    version = world.a.versions["weights"]
    timer = threading.Timer(0.4, _finish, (database, table, made["request_id"], "done", version))
    timer.start()
    started = time.monotonic()
    answer = a.post(path, json=_body(path), headers=key | {"Prefer": "respond-async, wait=20"})
    took = time.monotonic() - started
    timer.join()
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=20"
    assert answer.json()["state"] == "done"
    assert answer.json()["result"].startswith(
        "/v1/weights/" if table == "optimization_requests" else "/v1/backtests/"
    )
    assert 0.3 < took < 5


def test_waiting_in_vain_ends_with_202(a: httpx.Client) -> None:
    started = time.monotonic()
    answer = a.post("/v1/optimizations", json=BODY, headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert 0.9 < time.monotonic() - started < 5


def test_waiting_does_not_hold_a_connection(database: Database, world: World, home: Path) -> None:
    settings = settings_for(database, home, pool_min_size=1, pool_max_size=1)
    with Served(settings, home) as server, server.client(world.a.user_id) as client:
        threads = [
            threading.Thread(
                target=lambda: client.post(
                    "/v1/optimizations", json=BODY, headers={"Prefer": "wait=2"}
                )
            )
            for _ in range(5)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        started = time.monotonic()
        assert client.get("/v1/tokens").status_code == 200
        assert time.monotonic() - started < 0.9
        for thread in threads:
            thread.join()


@pytest.mark.parametrize(("path", "table"), KINDS)
def test_a_request_can_be_cancelled_until_it_is_finished(
    a: httpx.Client, database: Database, path: str, table: str
) -> None:
    location = a.post(path, json=_body(path)).headers["location"]
    assert a.delete(location).json()["state"] == "cancelled"
    again = a.delete(location)
    assert (again.status_code, again.json()["code"]) == (409, "not-cancellable")
    done = a.post(path, json=_body(path)).json()
    _finish(database, table, done["request_id"], "failed", None)
    late = a.delete(f"{path}/{done['request_id']}")
    assert (late.status_code, late.json()["code"]) == (409, "not-cancellable")


def test_requests_are_listed_by_state_newest_first(served: Served, database: Database) -> None:
    with served.client(database.add_user()) as client:
        made = [client.post("/v1/backtests", json=BACKTEST).json() for _ in range(3)]
        client.delete(made[1]["href"])
        every = client.get("/v1/backtests").json()["items"]
        assert [item["href"] for item in every] == [item["href"] for item in reversed(made)]
        queued = client.get("/v1/backtests", params={"state": "queued"}).json()["items"]
        assert [item["href"] for item in queued] == [made[2]["href"], made[0]["href"]]


def test_the_quota_holds_against_many_at_once(database: Database, world: World, home: Path) -> None:
    user = database.add_user()
    settings = settings_for(database, home, max_open_requests=5)
    with Served(settings, home) as server:
        token = server.token(user)
        codes: list[int] = []

        def post() -> None:
            answer = httpx.post(
                f"{server.url}/v1/optimizations",
                json=BODY,
                headers={"Authorization": f"Bearer {token}"},
                timeout=30,
            )
            codes.append(answer.status_code)
            if answer.status_code == 429:
                assert answer.json()["code"] == "quota-exceeded"
                assert int(answer.headers["retry-after"]) >= 1

        threads = [threading.Thread(target=post) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(codes) == [202] * 5 + [429] * 7
    assert _count(database, "optimization_requests", user) == 5


def test_a_finished_backtest_shows_its_report_and_page(a: httpx.Client, world: World) -> None:
    path = f"/v1/backtests/{world.a.backtest_id}"
    body = a.get(path).json()
    assert body["state"] == "done"
    assert body["report"]["report"] == {"sharpe": 1.0}
    page = a.get(body["report"]["html"])
    assert page.text.startswith("<!doctype html>")
    assert "sandbox" in page.headers["content-security-policy"]
    waiting = a.post("/v1/backtests", json=BACKTEST).headers["location"]
    missing = a.get(f"{waiting}/report.html")
    assert (missing.status_code, missing.json()["code"]) == (404, "nothing-yet")


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        (None, 0), ("", 0), ("wait=5", 5), ("respond-async, wait=5", 5), ("wait=99999", 60),
        ("wait=-1", 0), ("wait=x", 0), ("await=5", 0), ("wait=5; foo", 5), ("wait=999999", 0),
    ],
)  # fmt: skip
def test_prefer_is_read_as_rfc_7240_says(prefer: str | None, seconds: float) -> None:
    assert wait_seconds(prefer, 60) == seconds
