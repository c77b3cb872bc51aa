"""What wraps every request: trace id, size limits, compression, timing, metrics, one log line."""

from __future__ import annotations

import logging
import re
import secrets
import time
from typing import Any

import orjson
from opentelemetry import trace
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from portfolio_platform.api import compression
from portfolio_platform.api.measures import Measures
from portfolio_platform.api.problems import Problem

log = logging.getLogger("portfolio_platform.api.access")

_TRACEPARENT = re.compile(rb"^[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}$")
_COMPRESSIBLE = (b"application/json", b"application/problem+json", b"text/", b"application/vnd")
_ENDLESS = ("/v1/stream",)
_MIN_COMPRESSED = 1024


class _BodyTooLarge(Exception):
    """Raised inside `receive`, answered as 413 by the envelope."""


class Envelope:
    """ASGI middleware around the whole application."""

    def __init__(
        self, app: ASGIApp, *, measures: Measures, max_body_bytes: int, max_url_bytes: int
    ) -> None:
        self._app = app
        self._measures = measures
        self._max_body = max_body_bytes
        self._max_url = max_url_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request; other scopes pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if scope["method"] == "HEAD" and scope["path"] not in _ENDLESS:
            # Served as GET; the server below withholds the body of what it knows to be HEAD.
            scope = {**scope, "method": "GET"}
        exchange = _Exchange(scope, receive, send, self._max_body)
        self._measures.in_flight.inc()
        try:
            refusal = self._refusal(scope, exchange.headers)
            if refusal is None:
                await self._app(scope, exchange.receive, exchange.send)
            else:
                await self._answer(refusal, scope, exchange)
        except _BodyTooLarge:
            await self._answer(self._too_large(), scope, exchange)
        finally:
            self._measures.in_flight.dec()
            self._record(scope, exchange)

    def _refusal(self, scope: Scope, headers: dict[bytes, bytes]) -> Problem | None:
        length = len(scope.get("raw_path") or b"") + len(scope["query_string"])
        if length > self._max_url:
            return Problem("url-too-long", f"the URL is longer than {self._max_url} bytes")
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._max_body:
            return self._too_large()
        return None

    def _too_large(self) -> Problem:
        return Problem("body-too-large", f"the body is larger than {self._max_body} bytes")

    async def _answer(self, problem: Problem, scope: Scope, exchange: _Exchange) -> None:
        if exchange.status:
            return
        response = problem.response(scope["path"], scope["state"]["trace_id"])
        response.headers["Connection"] = "close"
        await response(scope, exchange.receive, exchange.send)

    def _record(self, scope: Scope, exchange: _Exchange) -> None:
        seconds = time.perf_counter() - exchange.started
        route = scope.get("route")
        path = getattr(route, "path", "unmatched")
        self._measures.observe(scope["method"], path, exchange.status, seconds)
        if log.isEnabledFor(logging.INFO):
            state = scope["state"]
            line = {
                "trace_id": state["trace_id"],
                "method": scope["method"],
                "route": path,
                "path": scope["path"],
                "status": exchange.status,
                "milliseconds": round(seconds * 1000, 3),
                "subject": state.get("subject"),
            }
            log.info(orjson.dumps(line).decode())


class _Exchange:
    """One request's wrapped `receive` and `send`."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body: int) -> None:
        self.started = time.perf_counter()
        self.status = 0
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive = receive
        self._send = send
        self._max_body = max_body
        self._received = 0
        self._start: Message | None = None
        self._coding = compression.chosen(self.headers.get(b"accept-encoding", b""))
        self._state: dict[str, Any] = scope.setdefault("state", {})
        self._state["trace_id"] = self._trace_id()

    def _trace_id(self) -> str:
        """The caller's, that of the span where spans are made, else a new one."""
        match = _TRACEPARENT.match(self.headers.get(b"traceparent", b""))
        if match:
            return match.group(1).decode()
        span = trace.get_current_span().get_span_context()
        return f"{span.trace_id:032x}" if span.is_valid else secrets.token_hex(16)

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
            if self._received > self._max_body:
                raise _BodyTooLarge
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._start = message
            return
        if self._start is not None:
            start, self._start = self._start, None
            self._finish_headers(start, message)
            await self._send(start)
        await self._send(message)

    def _finish_headers(self, start: Message, first: Message) -> None:
        headers: list[tuple[bytes, bytes]] = list(start["headers"])
        body = first.get("body", b"")
        if self._coding and not first.get("more_body") and len(body) >= _MIN_COMPRESSED:
            headers = self._compress(self._coding, headers, first, body)
        total = (time.perf_counter() - self.started) * 1000
        timing = "".join(
            f"{name};dur={seconds * 1000:.2f}, "
            for name, seconds in self._state.get("timings", {}).items()
        )
        headers.append((b"server-timing", f"{timing}total;dur={total:.2f}".encode()))
        headers.append((b"x-trace-id", self._state["trace_id"].encode()))
        headers.append((b"x-content-type-options", b"nosniff"))
        start["headers"] = headers

    def _compress(
        self, coding: bytes, headers: list[tuple[bytes, bytes]], message: Message, body: bytes
    ) -> list[tuple[bytes, bytes]]:
        found = dict(headers)
        kind = found.get(b"content-type", b"")
        if b"content-encoding" in found or not kind.startswith(_COMPRESSIBLE):
            return headers
        packed = compression.PACKERS[coding](body)
        message["body"] = packed
        kept = []
        for name, value in headers:
            if name == b"content-length":
                value = str(len(packed)).encode()
            elif name == b"etag":
                value = compression.tag_of(value, coding)
            kept.append((name, value))
        kept.append((b"content-encoding", coding))
        return kept
