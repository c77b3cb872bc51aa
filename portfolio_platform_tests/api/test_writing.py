"""Users write what is theirs: strategies, portfolios, settings."""

from __future__ import annotations

import uuid
from uuid import UUID

import httpx
import pytest

from portfolio_platform.store.alerts import note_problem
from portfolio_platform_tests.api.seed import USDC, WALLET, World
from portfolio_platform_tests.api.server import Served
from portfolio_platform_tests.store.postgres import Database

SPEC = {"version": 1}


def _slug() -> str:
    return f"s-{uuid.uuid4().hex[:10]}"


def test_a_strategy_lives_from_post_to_delete(a: httpx.Client) -> None:
    body = {"slug": _slug(), "name": "Mine", "spec": SPEC}
    made = a.post("/v1/strategies", json=body)
    assert made.status_code == 201
    path = made.headers["location"]
    assert a.get(path).json() == made.json()
    assert made.json()["owner"] == "own"
    changed = a.patch(path, json={"name": "Renamed", "enabled": False})
    assert (changed.json()["name"], changed.json()["enabled"]) == ("Renamed", False)
    assert changed.json()["slug"] == body["slug"]
    assert a.delete(path).status_code == 204
    assert a.get(path).status_code == 404
    assert a.delete(path).status_code == 404


def test_a_second_strategy_of_one_slug_conflicts(a: httpx.Client, b: httpx.Client) -> None:
    body = {"slug": _slug(), "name": "Mine", "spec": SPEC}
    assert a.post("/v1/strategies", json=body).status_code == 201
    again = a.post("/v1/strategies", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert b.post("/v1/strategies", json=body).status_code == 201


def test_an_outdated_if_match_loses_nothing(a: httpx.Client) -> None:
    made = a.post("/v1/strategies", json={"slug": _slug(), "name": "one", "spec": SPEC})
    path, tag = made.headers["location"], made.headers["etag"]
    assert a.patch(path, json={"name": "two"}, headers={"If-Match": tag}).status_code == 200
    late = a.patch(path, json={"name": "three"}, headers={"If-Match": tag})
    assert (late.status_code, late.json()["code"]) == (412, "precondition-failed")
    assert a.get(path).json()["name"] == "two"


def test_the_platforms_strategies_can_be_read_but_not_written(a: httpx.Client) -> None:
    listed = a.get("/v1/strategies", params={"limit": 500}).json()["items"]
    shared = next(item for item in listed if item["owner"] == "platform")
    path = f"/v1/strategies/{shared['strategy_id']}"
    assert a.patch(path, json={"name": "taken"}).status_code == 403
    assert a.delete(path).status_code == 403
    assert a.get(path).json()["name"] == shared["name"]


def test_a_portfolio_lives_from_post_to_delete(a: httpx.Client, world: World) -> None:
    body = {"name": "p", "wallet": WALLET["a"], "hub_mint": USDC, "settings": {"band": 0.05}}
    made = a.post("/v1/portfolios", json=body)
    assert made.status_code == 201
    path = made.headers["location"]
    follow = a.patch(path, json={"strategy_id": str(world.a.strategy_id)})
    assert follow.json()["strategy_id"] == str(world.a.strategy_id)
    assert a.patch(path, json={"name": "q"}).json()["strategy_id"] == str(world.a.strategy_id)
    assert a.patch(path, json={"strategy_id": None}).json()["strategy_id"] is None
    state = a.get(made.json()["state"])
    assert (state.status_code, state.json()["code"]) == (404, "nothing-yet")
    assert a.delete(path).status_code == 204
    assert a.get(path).status_code == 404


def test_a_strategy_that_a_portfolio_follows_is_kept(a: httpx.Client, world: World) -> None:
    answer = a.delete(f"/v1/strategies/{world.a.strategy_id}")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert "portfolio" in answer.json()["detail"]


def test_an_alert_rule_lives_from_post_to_delete(a: httpx.Client, database: Database) -> None:
    made = a.post("/v1/alert-rules", json={"name": "SOL falls", "kind": "drawdown",
                                             "cooldown_seconds": 3600.0})  # fmt: skip
    assert made.status_code == 201
    assert (made.json()["severity"], made.json()["cooldown_seconds"]) == ("warning", 3600)
    path, tag = made.headers["location"], made.headers["etag"]
    changed = a.patch(path, json={"severity": "critical"}, headers={"If-Match": tag})
    assert (changed.json()["severity"], changed.json()["name"]) == ("critical", "SOL falls")
    assert a.patch(path, json={"enabled": False}, headers={"If-Match": tag}).status_code == 412
    assert a.post("/v1/alert-rules", json={"name": "x", "kind": "hunch"}).status_code == 422
    assert a.get(path).json()["problem"] is None
    with database.connect() as conn:
        note_problem(conn, UUID(made.json()["rule_id"]), "threshold: field required")
    assert a.get(path).json()["problem"] == "threshold: field required"
    assert a.delete(path).status_code == 204
    assert a.get(path).status_code == 404


def test_alerts_are_listed_by_rule_and_state(
    served: Served, database: Database, a: httpx.Client, world: World
) -> None:
    mine = a.get("/v1/alerts").json()["items"]
    assert str(world.a.alert_id) in {item["alert_id"] for item in mine}
    assert str(world.b.alert_id) not in {item["alert_id"] for item in mine}
    with database.connect() as conn:
        conn.execute(
            "update public.alerts set cleared_at = now() where alert_id = %s", (world.a.alert_id,)
        )
    of_rule = a.get("/v1/alerts", params={"rule_id": str(world.a.rule_id)}).json()["items"]
    assert [item["alert_id"] for item in of_rule] == [str(world.a.alert_id)]
    active = a.get("/v1/alerts", params={"active": True}).json()["items"]
    assert str(world.a.alert_id) not in {item["alert_id"] for item in active}


@pytest.mark.parametrize("wallet", ["", "short", "0" * 44, "l" * 44, "1" * 45])
def test_a_wallet_must_be_a_base58_key(a: httpx.Client, wallet: str) -> None:
    answer = a.post("/v1/portfolios", json={"name": "p", "wallet": wallet, "hub_mint": USDC})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["loc"] == ["body", "wallet"]


def test_settings_name_the_default_strategy(served: Served, database: Database) -> None:
    with served.client(database.add_user()) as client:
        assert client.get("/v1/settings").json() == {"settings": {}, "updated_at": None}
        none = client.get("/v1/weights/latest")
        assert (none.status_code, none.json()["code"]) == (404, "not-found")
        stored = client.put("/v1/settings", json={"settings": {"default_strategy": "min-variance"}})
        assert stored.status_code == 200
        assert client.get("/v1/weights/latest").json()["strategy"]["slug"] == "min-variance"
        wrong = client.put("/v1/settings", json={"settings": {"colour": "blue"}})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid")


def test_a_user_unknown_to_supabase_cannot_write(served: Served) -> None:
    with served.client(uuid.uuid4()) as client:
        answer = client.put("/v1/settings", json={"settings": {}})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


def test_numbers_beyond_64_bits_are_kept_as_floats(a: httpx.Client) -> None:
    body = (
        f'{{"name":"big","wallet":"{WALLET["a"]}","hub_mint":"{USDC}","settings":{{"n":{10**30}}}}}'
    )
    made = a.post("/v1/portfolios", content=body, headers={"Content-Type": "application/json"})
    assert made.status_code == 201
    assert made.json()["settings"] == {"n": 1e30}
    a.delete(made.headers["location"])


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b"{", "application/json", 400, "bad-request"),
        (b'{"slug":"x","name":"n","spec":{"version":NaN}}', "application/json", 400, "bad-request"),
        (b'{"slug":"x","name":"\\ud800","spec":{"version":1}}', "application/json", 400,
         "bad-request"),
        (b'{"spec":' + b"[" * 60 + b"]" * 60 + b"}", "application/json", 400, "bad-request"),
        (b"[" * 5000, "application/json", 400, "bad-request"),
        (b"[]", "application/json", 422, "invalid"),
        (b'{"slug":"x","name":"n","spec":{"version":2}}', "application/json", 422, "invalid"),
        (b'{"slug":"x","name":"n","spec":{"version":1,"n":"\\u0000"}}', "application/json", 422,
         "invalid"),
        (b'{"slug":"A B","name":"n","spec":{"version":1}}', "application/json", 422, "invalid"),
        (b'{"slug":"x","name":"n\\u0000","spec":{"version":1}}', "application/json", 422,
         "invalid"),
        (b'{"slug":"x","name":"n","spec":{"version":1},"enabled":1}', "application/json", 422,
         "invalid"),
        (b"slug=x", "application/x-www-form-urlencoded", 415, "unsupported-media-type"),
        (b"{}", "text/plain", 415, "unsupported-media-type"),
    ],
)  # fmt: skip
def test_bad_bodies_are_named_and_nothing_is_stored(
    a: httpx.Client, content: bytes, content_type: str, status: int, code: str
) -> None:
    before = a.get("/v1/strategies", params={"limit": 500}).content
    answer = a.post("/v1/strategies", content=content, headers={"Content-Type": content_type})
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert a.get("/v1/strategies", params={"limit": 500}).content == before
