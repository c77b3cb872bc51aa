"""WebSocket subscriptions through solana-py's client, and streams that misbehave."""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest
import websockets
from solana.rpc.websocket_api import connect
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.signature import Signature

from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.layouts.pyth import PRICE_UPDATE_V2
from portfolio_platform_tests.localnet.conftest import accounts_of
from portfolio_platform_tests.localnet.launch import Launched

Advance = Callable[..., Awaitable[Any]]


@pytest.fixture
def advance(http: httpx.Client) -> Advance:
    async def run(**body: Any) -> Any:
        return (await asyncio.to_thread(http.post, "/advance", json=body)).json()

    return run


def oracle_of(universe: dict[str, Any], symbol: str) -> str:
    mint = next(t["mint"] for t in universe["tokens"] if t["symbol"] == symbol)
    return next(
        one["pubkey"]
        for one in universe["accounts"]
        if one["role"] == "oracle" and one["mint"] == mint
    )


def test_account_slot_and_program_notifications(
    localnet: Launched, universe: dict[str, Any], advance: Advance
) -> None:
    oracle = Pubkey.from_string(oracle_of(universe, "SOL"))

    async def run() -> None:
        async with connect(localnet.ws_url) as socket:
            await socket.account_subscribe(oracle, encoding="base64")
            first = (await socket.recv())[0].result
            await socket.slot_subscribe()
            second = (await socket.recv())[0].result
            await socket.program_subscribe(
                Pubkey.from_string(programs.ORCA_WHIRLPOOL), encoding="base64", filters=[653]
            )
            third = (await socket.recv())[0].result
            assert len({first, second, third}) == 3
            clock = await advance(seconds=600)
            account = slot = program = 0
            for _ in range(9):
                (note,) = await asyncio.wait_for(socket.recv(), 5)
                kind = type(note).__name__
                if kind == "AccountNotification":
                    row = PRICE_UPDATE_V2.unpack(bytes(note.result.value.data))
                    assert row["publish_time"] == int(clock["time"]) - 1
                    assert note.result.context.slot == clock["slot"]
                    account += 1
                elif kind == "SlotNotification":
                    assert note.result.slot == clock["slot"]
                    slot += 1
                else:
                    assert len(bytes(note.result.value.account.data)) == 653
                    program += 1
            assert (account, slot, program) == (1, 1, 7)
            await socket.account_unsubscribe(first)
            await socket.recv()
            await advance(slots=1)
            (note,) = await asyncio.wait_for(socket.recv(), 5)
            assert type(note).__name__ == "SlotNotification"

    asyncio.run(run())


def test_signature_and_log_notifications(
    localnet: Launched, universe: dict[str, Any], call: Any
) -> None:
    target = str(Pubkey(bytes(range(1, 33))))

    async def run() -> None:
        async with connect(localnet.ws_url) as socket:
            await socket.logs_subscribe(
                RpcTransactionLogsFilterMentions(Pubkey.from_string(target))
            )
            await socket.recv()
            signature = await asyncio.to_thread(call, "requestAirdrop", target, 10**9)
            (logs,) = await asyncio.wait_for(socket.recv(), 5)
            assert str(logs.result.value.signature) == signature
            assert any("success" in line for line in logs.result.value.logs)
            # A signature that is already known is announced at once, and only once.
            await socket.signature_subscribe(Signature.from_string(signature))
            await socket.recv()
            (done,) = await asyncio.wait_for(socket.recv(), 5)
            assert done.result.value.err is None

    asyncio.run(run())


async def plain(url: str, method: str, *params: Any) -> tuple[Any, int]:
    socket = await websockets.connect(url, max_size=1 << 20)
    await socket.send(json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}))
    return socket, json.loads(await socket.recv())["result"]


async def slots_of(socket: Any, count: int) -> list[int]:
    found = []
    for _ in range(count):
        message = json.loads(await asyncio.wait_for(socket.recv(), 5))
        found.append(message["params"]["result"]["slot"])
    return found


def fault(http: httpx.Client, kind: str, **when: Any) -> None:
    body = {"queue": [{"method": "subscription", "fault": {"kind": kind}, **when}]}
    assert http.post("/faults", json=body).status_code == 200


def test_errors_come_back_over_the_socket(localnet: Launched) -> None:
    async def run() -> None:
        async with websockets.connect(localnet.ws_url) as socket:
            for method, params, code in (
                ("accountSubscribe", ["nonsense"], -32602),
                ("accountUnsubscribe", [10**9], -32602),
                ("voteSubscribe", [], -32601),
            ):
                call = {"jsonrpc": "2.0", "id": 4, "method": method, "params": params}
                await socket.send(json.dumps(call))
                reply = json.loads(await socket.recv())
                assert (reply["error"]["code"], reply["id"]) == (code, 4)
            await socket.send("{")
            assert json.loads(await socket.recv())["error"]["code"] == -32700
            await socket.send('{"jsonrpc":"2.0","id":9,"method":"getSlot"}')
            assert json.loads(await socket.recv())["result"] > 0

    asyncio.run(run())


def test_a_dropped_socket_has_no_close_frame(
    localnet: Launched, http: httpx.Client, advance: Advance
) -> None:
    async def run() -> None:
        socket, _ = await plain(localnet.ws_url, "slotSubscribe")
        fault(http, "ws_drop")
        await advance(slots=1)
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await asyncio.wait_for(socket.recv(), 5)
        assert caught.value.rcvd is None
        again, _ = await plain(localnet.ws_url, "slotSubscribe")
        await advance(slots=1)
        assert len(await slots_of(again, 1)) == 1
        await again.close()

    asyncio.run(run())


def test_duplicates_reordering_and_omission(
    localnet: Launched, http: httpx.Client, advance: Advance
) -> None:
    async def run() -> None:
        socket, _ = await plain(localnet.ws_url, "slotSubscribe")
        fault(http, "ws_duplicate")
        first = (await advance(slots=1))["slot"]
        assert await slots_of(socket, 2) == [first, first]
        fault(http, "ws_reorder")
        await advance(slots=1)
        await advance(slots=1)
        assert await slots_of(socket, 2) == [first + 2, first + 1]
        fault(http, "ws_omit")
        await advance(slots=1)
        await advance(slots=1)
        assert await slots_of(socket, 1) == [first + 4]
        await socket.close()

    asyncio.run(run())


def test_an_oversize_frame_closes_a_default_client(
    localnet: Launched, http: httpx.Client, advance: Advance, universe: dict[str, Any]
) -> None:
    oracle = accounts_of(universe, "oracle")[0]

    async def run() -> None:
        socket, _ = await plain(localnet.ws_url, "accountSubscribe", oracle, {"encoding": "base64"})
        fault(http, "ws_oversize")
        await advance(slots=1)
        with pytest.raises(websockets.ConnectionClosed) as caught:
            await asyncio.wait_for(socket.recv(), 5)
        assert caught.value.sent is not None
        assert caught.value.sent.code == 1009

    asyncio.run(run())


def test_notifications_hold_what_polling_shows(
    localnet: Launched, advance: Advance, universe: dict[str, Any], call: Any
) -> None:
    pool = accounts_of(universe, "pool")[0]

    async def run() -> str:
        socket, _ = await plain(localnet.ws_url, "accountSubscribe", pool, {"encoding": "base64"})
        await advance(seconds=300)
        message = json.loads(await asyncio.wait_for(socket.recv(), 5))
        await socket.close()
        return str(message["params"]["result"]["value"]["data"][0])

    streamed = asyncio.run(run())
    polled = call("getAccountInfo", pool, {"encoding": "base64"})["value"]["data"][0]
    assert base64.b64decode(streamed) == base64.b64decode(polled)


def test_handshakes_can_be_refused_or_reset(localnet: Launched, http: httpx.Client) -> None:
    async def run() -> None:
        queue = [
            {"method": "websocket", "fault": {"kind": "http", "status": 403}},
            {"method": "websocket", "fault": {"kind": "drop"}},
        ]
        assert http.post("/faults", json={"queue": queue}).status_code == 200
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(localnet.ws_url)
        assert refused.value.response.status_code == 403
        with pytest.raises((OSError, EOFError, websockets.InvalidMessage)):
            await websockets.connect(localnet.ws_url)
        socket, _ = await plain(localnet.ws_url, "slotSubscribe")
        await socket.close()

    asyncio.run(run())


def test_fifty_cut_sockets_end_where_polling_does(
    localnet: Launched, http: httpx.Client, advance: Advance, universe: dict[str, Any], call: Any
) -> None:
    oracle = accounts_of(universe, "oracle")[0]

    async def run() -> str:
        last = ""
        for cut in range(50):
            socket, _ = await plain(
                localnet.ws_url, "accountSubscribe", oracle, {"encoding": "base64"}
            )
            if cut < 49:
                fault(http, "ws_drop")
            await advance(slots=3)
            try:
                message = json.loads(await asyncio.wait_for(socket.recv(), 5))
                last = message["params"]["result"]["value"]["data"][0]
            except websockets.ConnectionClosed:
                last = ""
            await socket.close()
        return last

    streamed = asyncio.run(run())
    polled = call("getAccountInfo", oracle, {"encoding": "base64"})["value"]["data"][0]
    assert streamed == polled
    assert http.get("/faults").json()["injected"]["ws_drop"] == 49
