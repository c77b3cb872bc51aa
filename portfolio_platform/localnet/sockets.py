"""One WebSocket connection: calls in, notifications out, stream faults in between."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from portfolio_platform.localnet.errors import PARSE_ERROR, RpcError
from portfolio_platform.localnet.faults import FaultPlan
from portfolio_platform.localnet.node import Node
from portfolio_platform.localnet.subscriptions import Client
from portfolio_platform.localnet.transactions import Record

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
OVERSIZE = 1_200_000


class Drop(Exception):
    """The connection is to be cut without a close frame."""


async def serve_socket(
    node: Node, plan: FaultPlan, endpoint: str, receive: Receive, send: Send
) -> None:
    """Serve one accepted connection until the client leaves; Drop when a fault cuts it."""
    outbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    client = Client(node, outbox.put_nowait)

    def listener(changed: set[str], records: list[Record]) -> None:
        client.changed(changed, records)

    node.listeners.append(listener)
    tasks = {
        asyncio.create_task(_read(client, plan, endpoint, receive, send)),
        asyncio.create_task(_write(plan, endpoint, outbox, send)),
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        node.listeners.remove(listener)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(
    client: Client, plan: FaultPlan, endpoint: str, receive: Receive, send: Send
) -> None:
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        if event["type"] != "websocket.receive":
            continue
        raw = event.get("text") or event.get("bytes") or ""
        try:
            call = orjson.loads(raw)
        except orjson.JSONDecodeError:
            error = RpcError(PARSE_ERROR, "Parse error")
            await _send(send, {"jsonrpc": "2.0", "error": error.body(), "id": None})
            continue
        calls = call if isinstance(call, list) else [call]
        for one in calls:
            fault = plan.strike(str(one.get("method")) if isinstance(one, dict) else "?", endpoint)
            if fault is not None and fault.kind in ("rpc_error", "null_id"):
                identity = one.get("id") if fault.kind == "rpc_error" else None
                answer = {"jsonrpc": "2.0", "error": fault.error().body(), "id": identity}
            elif fault is not None and fault.kind == "drop":
                raise Drop
            else:
                answer = client.answer(one)
            await _send(send, answer)
            client.after_answer(answer.get("result"))


async def _write(
    plan: FaultPlan, endpoint: str, outbox: asyncio.Queue[dict[str, Any]], send: Send
) -> None:
    held: dict[str, Any] | None = None
    while True:
        message = await outbox.get()
        fault = plan.strike("subscription", endpoint)
        kind = None if fault is None else fault.kind
        if kind == "ws_drop":
            raise Drop
        if kind == "ws_omit":
            continue
        if kind == "ws_reorder" and held is None:
            held = message
            continue
        if kind == "ws_oversize":
            message = {**message, "padding": "x" * OVERSIZE}
        await _send(send, message)
        if kind == "ws_duplicate":
            await _send(send, message)
        if held is not None:
            await _send(send, held)
            held = None


async def _send(send: Send, message: dict[str, Any]) -> None:
    await send({"type": "websocket.send", "text": orjson.dumps(message).decode()})
