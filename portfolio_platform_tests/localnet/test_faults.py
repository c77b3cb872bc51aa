"""Injected faults, seen by a real client over a real socket."""

import time
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solana.exceptions import SolanaRpcException
from solana.rpc.jsonrpc import SolanaJsonRpcError

from portfolio_platform.localnet.faults import ERROR_ROWS, Fault, FaultPlan, FaultRequest, Trigger
from portfolio_platform.localnet.tokens import SOL_MINT, USDC_MINT
from portfolio_platform.solana.layouts import programs
from portfolio_platform_tests.localnet.conftest import accounts_of

BASE64 = {"encoding": "base64"}


def queue(http: httpx.Client, *faults: dict[str, Any], **when: Any) -> None:
    body = {"queue": [{"fault": one, **when} for one in faults]}
    assert http.post("/faults", json=body).status_code == 200


def rule(http: httpx.Client, fault: dict[str, Any], **when: Any) -> None:
    reply = http.post("/faults", json={"rules": [{"fault": fault, **when}], "seed": 1})
    assert reply.status_code == 200


def slot(http: httpx.Client, path: str = "/") -> httpx.Response:
    return http.post(path, json={"jsonrpc": "2.0", "id": 3, "method": "getSlot"})


@pytest.mark.parametrize("code", sorted(ERROR_ROWS))
def test_every_error_row_with_and_without_data(http: httpx.Client, call: Any, code: int) -> None:
    queue(
        http,
        {"kind": "rpc_error", "code": code},
        {"kind": "rpc_error", "code": code, "with_data": False},
        {"kind": "rpc_error", "code": code, "null_data": True, "message": "other text"},
    )
    seen = []
    for _ in range(3):
        with pytest.raises(SolanaJsonRpcError) as caught:
            call("getSlot")
        seen.append(caught.value)
    message, data = ERROR_ROWS[code]
    assert [one.code for one in seen] == [code] * 3
    assert (seen[0].message, seen[0].data) == (message, data)
    assert seen[1].data is None
    assert seen[2].message == "other text"
    assert call("getSlot") > 0


def test_data_is_absent_or_null_on_the_wire(http: httpx.Client) -> None:
    queue(
        http,
        {"kind": "rpc_error", "code": -32005, "with_data": False},
        {"kind": "rpc_error", "code": -32005, "null_data": True},
        {"kind": "rpc_error", "code": -32005, "data": {"numSlotsBehind": None}},
    )
    errors = [slot(http).json()["error"] for _ in range(3)]
    assert "data" not in errors[0]
    assert errors[1]["data"] is None
    assert errors[2]["data"] == {"numSlotsBehind": None}


@pytest.mark.parametrize("status", [403, 429, 500, 502, 503])
def test_http_errors_with_html(http: httpx.Client, call: Any, status: int) -> None:
    queue(http, {"kind": "http", "status": status})
    reply = slot(http)
    assert reply.status_code == status
    assert reply.text.startswith("<html>")
    assert "retry-after" not in reply.headers
    queue(http, {"kind": "http", "status": status, "retry_after": 2})
    with pytest.raises(SolanaRpcException) as caught:
        call("getSlot")
    cause: Any = caught.value.__cause__
    assert cause.response.status_code == status
    assert cause.response.headers["retry-after"] == "2"


def test_bodies_that_are_not_json(http: httpx.Client, call: Any) -> None:
    for fault in ({"kind": "html"}, {"kind": "truncated", "part": 0.6}):
        queue(http, fault)
        reply = slot(http)
        assert reply.status_code == 200
        with pytest.raises(ValueError):
            reply.json()
    queue(http, {"kind": "null_id", "code": 429})
    assert slot(http).json()["id"] is None
    queue(http, {"kind": "truncated"})
    with pytest.raises(ValueError):
        call("getSlot")


@pytest.mark.parametrize("kind", ["drop", "drop_body"])
def test_dropped_connections(http: httpx.Client, call: Any, kind: str) -> None:
    queue(http, {"kind": kind})
    with pytest.raises(httpx.TransportError):
        slot(http)
    queue(http, {"kind": kind})
    with pytest.raises(SolanaRpcException):
        call("getSlot")
    assert slot(http).json()["result"] > 0


def test_slow_answers(http: httpx.Client) -> None:
    for kind in ("delay", "slow_body"):
        queue(http, {"kind": kind, "seconds": 0.4})
        began = time.monotonic()
        assert slot(http).json()["result"] > 0
        assert time.monotonic() - began >= 0.35
    queue(http, {"kind": "delay", "seconds": 3})
    with pytest.raises(httpx.ReadTimeout):
        http.post("/", json={"jsonrpc": "2.0", "id": 1, "method": "getSlot"}, timeout=0.2)


def test_the_slot_runs_backward(http: httpx.Client, call: Any) -> None:
    before = call("getSlot")
    queue(http, {"kind": "slot_back", "slots": 25}, {"kind": "slot_back", "slots": 25})
    assert call("getSlot") == before - 25
    with pytest.raises(SolanaJsonRpcError) as caught:
        call("getAccountInfo", USDC_MINT, {**BASE64, "minContextSlot": before})
    assert caught.value.code == -32016
    assert caught.value.data == {"contextSlot": before - 25}


def test_one_account_of_a_chunk_is_bent(http: httpx.Client, call: Any) -> None:
    keys = [SOL_MINT, USDC_MINT]
    queue(
        http,
        {"kind": "missing_account", "pubkey": USDC_MINT},
        {"kind": "wrong_owner", "pubkey": USDC_MINT},
        {"kind": "wrong_length", "pubkey": USDC_MINT, "length": 40},
        {"kind": "missing_account"},
    )
    gone, owner, length, first = (
        call("getMultipleAccounts", keys, BASE64)["value"] for _ in range(4)
    )
    assert gone[0] is not None
    assert gone[1] is None
    assert [one["owner"] for one in owner] == [programs.SPL_TOKEN, programs.SYSTEM]
    assert [one["space"] for one in length] == [82, 40]
    assert first[0] is None
    assert first[1] is not None


def test_a_forked_account_shows_the_past_under_the_present_slot(
    http: httpx.Client, call: Any, universe: dict[str, Any]
) -> None:
    pool = accounts_of(universe, "pool")[0]
    old = call("getAccountInfo", pool, BASE64)["value"]["data"]
    http.post("/advance", json={"seconds": 600})
    queue(http, {"kind": "fork", "pubkey": pool})
    forked = call("getAccountInfo", pool, BASE64)
    now = call("getAccountInfo", pool, BASE64)
    assert forked["value"]["data"] == old
    assert now["value"]["data"] != old
    assert forked["context"] == now["context"]


@pytest.mark.parametrize("mode", ["reorder", "duplicate", "omit"])
def test_signature_pages_misbehave(
    http: httpx.Client, call: Any, universe: dict[str, Any], mode: str
) -> None:
    pool = accounts_of(universe, "pool")[0]
    http.post("/advance", json={"seconds": 1200, "slots": 20})
    whole = [row["signature"] for row in call("getSignaturesForAddress", pool, {"limit": 80})]
    queue(http, {"kind": "signatures", "mode": mode}, method="getSignaturesForAddress")
    bent = [row["signature"] for row in call("getSignaturesForAddress", pool, {"limit": 80})]
    assert bent != whole
    if mode == "omit":
        assert set(bent) < set(whole)
    else:
        assert set(bent) == set(whole)
    assert (len(bent) > len(whole)) == (mode == "duplicate")


def test_a_slot_that_is_missing_first_and_served_later(http: httpx.Client, call: Any) -> None:
    blocks = call("getBlocks", call("getSlot") - 20)
    rule(http, {"kind": "rpc_error", "code": -32009}, method="getBlock", times=2)
    config = {"encoding": "json", "maxSupportedTransactionVersion": 0}
    for _ in range(2):
        with pytest.raises(SolanaJsonRpcError) as caught:
            call("getBlock", blocks[0], config)
        assert caught.value.code == -32009
    assert call("getBlock", blocks[0], config)["blockTime"]


def test_rules_choose_by_method_endpoint_and_call_number(http: httpx.Client, call: Any) -> None:
    rule(http, {"kind": "http", "status": 503}, endpoint="b")
    assert slot(http, "/rpc/a").status_code == 200
    assert slot(http, "/rpc/b").status_code == 503
    http.delete("/faults")
    rule(http, {"kind": "http", "status": 500}, method="getSlot", calls=[2, 3])
    assert [slot(http).status_code for _ in range(5)] == [200, 500, 500, 200, 200]
    assert call("getHealth") == "ok"
    report = http.get("/faults").json()
    assert report["injected"] == {"http": 2}
    assert report["calls"] == {"getSlot": 5, "getHealth": 1}
    http.delete("/faults")
    assert [slot(http).status_code for _ in range(3)] == [200] * 3


def test_history_can_fail_too(http: httpx.Client) -> None:
    queue(http, {"kind": "http", "status": 429, "retry_after": 60}, method="/history")
    assert slot(http).status_code == 200
    reply = http.get("/history", params={"symbol": "Crypto.SOL/USD", "resolution": "D"})
    assert reply.status_code == 429
    assert reply.headers["retry-after"] == "60"


def test_a_batch_survives_a_fault_in_one_call(http: httpx.Client) -> None:
    queue(http, {"kind": "rpc_error", "code": -32014}, method="getHealth")
    calls = [
        {"jsonrpc": "2.0", "id": n, "method": method}
        for n, method in enumerate(("getSlot", "getHealth", "getSlot"))
    ]
    replies = http.post("/", json=calls).json()
    assert [list(one)[1] for one in replies] == ["result", "error", "result"]


@pytest.mark.parametrize(
    "fault",
    [{"kind": "earthquake"}, {"kind": "http", "status": 200}, {"kind": "drop", "colour": "red"}],
)
def test_unknown_faults_are_refused(http: httpx.Client, fault: dict[str, Any]) -> None:
    assert http.post("/faults", json={"queue": [{"fault": fault}]}).status_code == 422


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.05, 0.95))
def test_probability_is_seeded(seed: int, probability: float) -> None:
    def strikes() -> list[bool]:
        plan = FaultPlan()
        trigger = Trigger(fault=Fault(kind="drop"), probability=probability)
        plan.add(FaultRequest(rules=[trigger], seed=seed))
        return [plan.strike("getSlot", "") is not None for _ in range(400)]

    first = strikes()
    assert first == strikes()
    assert abs(sum(first) / 400 - probability) < 0.13
