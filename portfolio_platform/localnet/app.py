"""The ASGI application: JSON-RPC, WebSocket, UDF and the control of the local chain."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from portfolio_platform.localnet import udf
from portfolio_platform.localnet.errors import INVALID_REQUEST, PARSE_ERROR, RpcError
from portfolio_platform.localnet.execution import ExecuteRequest, ExecutionRefused, execute
from portfolio_platform.localnet.faults import TRANSPORT_KINDS, Fault, FaultPlan, FaultRequest
from portfolio_platform.localnet.node import Node
from portfolio_platform.localnet.rpc import answer
from portfolio_platform.localnet.sockets import Drop, Receive, Send, serve_socket

Abort = Callable[[Any], None]
_JSON = b"application/json"
_UDF_PREFIXES = ("/v1/shims/tradingview", "/v1/real_time")
_HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1><hr>gateway</body></html>"


class AdvanceRequest(BaseModel):
    """Body of POST /advance; seconds and slots follow each other when one is missing."""

    model_config = ConfigDict(extra="forbid")

    seconds: float | None = Field(default=None, ge=0, le=400 * 86_400, allow_inf_nan=False)
    slots: int | None = Field(default=None, ge=0, le=100_000_000)


class LocalnetApp:
    """ASGI application over one node; `abort` resets the connection of a client address."""

    def __init__(self, node: Node, abort: Abort, seed: int = 0) -> None:
        self.node = node
        self.plan = FaultPlan(seed)
        self.abort = abort

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)

    async def _websocket(self, scope: Any, receive: Receive, send: Send) -> None:
        await receive()
        fault = self.plan.strike("websocket", _endpoint(scope["path"]))
        if fault is not None and fault.kind == "drop":
            self.abort(scope["client"])
            return
        if fault is not None:
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        try:
            await serve_socket(self.node, self.plan, _endpoint(scope["path"]), receive, send)
        except Drop:
            self.abort(scope["client"])

    async def _http(self, scope: Any, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        for prefix in _UDF_PREFIXES:
            path = path.removeprefix(prefix) if path.startswith(prefix) else path
        if method == "POST" and (path == "/" or path.startswith("/rpc/")):
            await self._rpc(scope, receive, send)
            return
        if method == "GET":
            query = dict(parse_qsl(scope["query_string"].decode(), keep_blank_values=True))
            await self._get(scope, path, query, send)
            return
        body = await _body(receive)
        try:
            status, value = self._control(method, path, body)
        except ValidationError as error:
            # Not orjson: the input that is shown may be a NaN.
            status, value = 422, {"detail": json.loads(error.json(include_url=False))}
        except ExecutionRefused as error:
            status, value = 409, error.body()
        await _respond(send, orjson.dumps(value), status)

    def _control(self, method: str, path: str, body: bytes) -> tuple[int, Any]:
        if (method, path) == ("POST", "/advance"):
            wanted = AdvanceRequest.model_validate_json(body or b"{}")
            self.node.advance(wanted.seconds, wanted.slots)
            return 200, {"slot": self.node.chain.slot, "time": self.node.chain.time_ms / 1000}
        if (method, path) == ("POST", "/execute"):
            return 200, execute(self.node, ExecuteRequest.model_validate_json(body))
        if (method, path) == ("POST", "/faults"):
            self.plan.add(FaultRequest.model_validate_json(body))
            return 200, self.plan.report()
        if (method, path) == ("DELETE", "/faults"):
            report = self.plan.report()
            self.plan.clear()
            return 200, report
        return 404, {"detail": f"no {method} {path} on the local chain"}

    async def _get(self, scope: Any, path: str, query: dict[str, str], send: Send) -> None:
        if path in ("/history", "/symbols", "/config", "/search", "/time"):
            fault = self.plan.strike(path, _endpoint(path))
            value = self._udf(path, query)
            status = 404 if isinstance(value, dict) and value.get("s") == "missing" else 200
            await self._deliver(scope, send, orjson.dumps(value), fault, status)
            return
        pages: dict[str, Callable[[], Any]] = {
            "/universe.json": lambda: self.node.universe,
            "/dumps": lambda: self.node.dumps,
            "/faults": self.plan.report,
            "/health": lambda: "ok",
            "/clock": lambda: {
                "slot": self.node.chain.slot,
                "time": self.node.chain.time_ms / 1000,
            },
        }
        if path not in pages:
            await _respond(send, orjson.dumps({"detail": f"no GET {path}"}), 404)
            return
        await _respond(send, orjson.dumps(pages[path]()))

    def _udf(self, path: str, query: dict[str, str]) -> Any:
        market = self.node.market
        if market is None:
            return {"s": "missing", "errmsg": "this local chain has no market, start it with one"}
        if path == "/history":
            return udf.history(market, query)
        if path == "/symbols":
            return udf.symbols(market, query)
        if path == "/search":
            return udf.search()
        return int(market.clock) if path == "/time" else udf.config(market)

    async def _rpc(self, scope: Any, receive: Receive, send: Send) -> None:
        endpoint = _endpoint(scope["path"])
        reply: Any = _refusal(RpcError(INVALID_REQUEST, "Invalid request"))
        try:
            parsed = orjson.loads(await _body(receive))
        except orjson.JSONDecodeError:
            parsed = None
            reply = _refusal(RpcError(PARSE_ERROR, "Parse error"))
        transport: Fault | None = None
        if isinstance(parsed, list) and parsed:
            replies = []
            for call in parsed:
                fault = self._strike(call, endpoint)
                if fault is not None and fault.kind in TRANSPORT_KINDS:
                    transport, fault = transport or fault, None
                replies.append(answer(self.node, self.plan, call, fault))
            reply = replies
        elif isinstance(parsed, dict):
            fault = self._strike(parsed, endpoint)
            if fault is not None and fault.kind in TRANSPORT_KINDS:
                transport, fault = fault, None
            # A request that never reached the node has no effect on it.
            lost = transport is not None and transport.kind in ("http", "html", "drop")
            reply = None if lost else answer(self.node, self.plan, parsed, fault)
        await self._deliver(scope, send, orjson.dumps(reply), transport)

    def _strike(self, call: Any, endpoint: str) -> Fault | None:
        method = call.get("method") if isinstance(call, dict) else None
        return self.plan.strike(method if isinstance(method, str) else "?", endpoint)

    async def _deliver(
        self, scope: Any, send: Send, body: bytes, fault: Fault | None, status: int = 200
    ) -> None:
        kind = None if fault is None else fault.kind
        if fault is None or kind not in TRANSPORT_KINDS:
            await _respond(send, body, status)
        elif kind == "drop":
            self.abort(scope["client"])
        elif kind == "drop_body":
            await _start(send, 200, _JSON, len(body))
            part = body[: max(1, int(len(body) * fault.part))]
            await send({"type": "http.response.body", "body": part, "more_body": True})
            await asyncio.sleep(0.01)
            self.abort(scope["client"])
        elif kind == "http":
            text = _HTML.format(f"{fault.status}") if fault.body is None else fault.body
            extra = []
            if fault.retry_after is not None:
                extra.append((b"retry-after", f"{fault.retry_after:g}".encode()))
            await _respond(send, text.encode(), fault.status, b"text/html", extra)
        elif kind == "html":
            text = _HTML.format("Just a moment...") if fault.body is None else fault.body
            await _respond(send, text.encode(), 200, b"text/html")
        elif kind == "truncated":
            await _respond(send, body[: int(len(body) * fault.part)])
        elif kind == "delay":
            await asyncio.sleep(fault.seconds)
            await _respond(send, body, status)
        else:
            await _dribble(send, body, fault.seconds)


def _endpoint(path: str) -> str:
    return path.removeprefix("/rpc/") if path.startswith("/rpc/") else ""


def _refusal(error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "error": error.body(), "id": None}


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return b""
        parts.append(event.get("body", b""))
        if not event.get("more_body"):
            return b"".join(parts)


async def _start(
    send: Send,
    status: int,
    kind: bytes,
    length: int,
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    headers = [(b"content-type", kind), (b"content-length", str(length).encode()), *(extra or [])]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _respond(
    send: Send,
    body: bytes,
    status: int = 200,
    kind: bytes = _JSON,
    extra: list[tuple[bytes, bytes]] | None = None,
) -> None:
    await _start(send, status, kind, len(body), extra)
    await send({"type": "http.response.body", "body": body})


async def _dribble(send: Send, body: bytes, seconds: float, pieces: int = 10) -> None:
    await _start(send, 200, _JSON, len(body))
    size = max(1, -(-len(body) // pieces))
    for at in range(0, len(body), size):
        await asyncio.sleep(seconds / pieces)
        part = {"type": "http.response.body", "body": body[at : at + size], "more_body": True}
        await send(part)
    await send({"type": "http.response.body", "body": b""})
