"""Live changes as server-sent events, resumed from the outbox without a gap."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response
from starlette.types import Receive, Scope, Send

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many, one
from portfolio_platform.api.representation import dumps
from portfolio_platform.api.services import Services, services_of
from portfolio_platform.store.reads import changes
from portfolio_platform.store.reads.session import Caller

router = APIRouter(prefix="/v1", tags=["stream"])

TOPICS = {
    "tokens": ("tokens",),
    "prices": ("token_prices",),
    "pools": ("pool_states",),
    "reserves": ("lending_reserves", "stake_pool_rates"),
    "holdings": ("wallet_holdings",),
    "bars": ("price_bars", "market_bars"),
    "strategies": ("strategies",),
    "portfolios": ("portfolios",),
    "settings": ("user_settings",),
    "requests": ("optimization_requests", "backtest_requests"),
    "versions": ("versions",),
    "alerts": ("alerts", "alert_rules", "notification_channels"),
}
_POSITION = re.compile(r"^(\d{1,20})\.(\d{1,19})$")
_MAX_SEQ = 2**63 - 1
_BATCH = 500
_RETRY_MILLISECONDS = 1000


@router.get(
    "/stream",
    responses={
        200: {
            "description": "`id` is the position in the outbox; send it back as `Last-Event-ID`.",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **responses(
            "bad-request", "token-required", "role-refused", "invalid", "rate-limited",
            "too-many-streams", "database-busy",
        ),
    },
)  # fmt: skip
async def stream(
    request: Request,
    caller: SignedIn,
    topics: Annotated[
        str | None,
        Query(
            pattern=f"^({'|'.join(TOPICS)})(,({'|'.join(TOPICS)}))*$",
            max_length=200,
            description=f"Comma-separated: {', '.join(TOPICS)}; all when absent.",
        ),
    ] = None,
    last_event_id: Annotated[
        str | None, Header(max_length=60, description="Resume after this position.")
    ] = None,
) -> Response:
    """Changes of shared data and of your own, as they are committed.

    Events are `ready` (the position from which nothing is missed), `change`, `reset` (the position
    is not of this database: load everything anew) and `close` (with the reason).
    """
    services = services_of(request)
    wanted = _relations(topics)
    head = await one(request, caller, changes.HEAD)
    if head is None:
        raise Problem("database-unavailable", retry_after=2)
    now = (int(head["xid"]), int(head["seq"]))
    position, first = (now, "ready") if last_event_id is None else _resume(last_event_id, now)
    _admit(services, caller)
    events = _events(request, caller, wanted, position, first)
    return EventStream(events, services, caller, services.settings.stream_send_timeout)


class EventStream(Response):
    """Sends events until the client goes, is too slow, or the events end."""

    media_type = "text/event-stream"

    def __init__(
        self, events: AsyncIterator[bytes], services: Services, caller: Caller, patience: float
    ) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events
        self._services = services
        self._caller = caller
        self._patience = patience

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream; the subject's slot is given back whatever happens."""
        sending = asyncio.create_task(self._send_all(send))
        leaving = asyncio.create_task(_gone(receive))
        self._services.measures.streams.inc()
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._services.measures.streams.dec()
            _release(self._services, self._caller)
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send_all(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        async for event in self._events:
            message = {"type": "http.response.body", "body": event, "more_body": True}
            # A reader that does not drain its socket is dropped, never buffered for.
            await asyncio.wait_for(send(message), self._patience)
        with suppress(OSError):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _events(
    request: Request,
    caller: Caller,
    wanted: frozenset[str],
    position: tuple[int, int],
    first: str,
) -> AsyncIterator[bytes]:
    services = services_of(request)
    settings = services.settings
    yield f"retry: {_RETRY_MILLISECONDS}\n".encode() + _event(first, position, {})
    spoken = time.monotonic()
    while True:
        if services.closing.is_set():
            yield _event("close", position, {"reason": "the server is shutting down"})
            return
        if time.time() >= request.state.expires_at:
            yield _event("close", position, {"reason": "the token has expired"})
            return
        try:
            rows = await many(request, caller, changes.AFTER, *map(str, position), _BATCH)
        except Problem as problem:
            yield _event("close", position, {"reason": problem.kind.code})
            return
        out = []
        for row in rows:
            position = (int(row["xid"]), row["seq"])
            if row["relname"] in wanted:
                out.append(_event("change", position, _change(row)))
        if rows and (not out or rows[-1]["relname"] not in wanted):
            # Rows of other topics move the position too; an id alone dispatches no event.
            out.append(f"id: {position[0]}.{position[1]}\n\n".encode())
        if out:
            spoken = time.monotonic()
            yield b"".join(out)
        elif time.monotonic() - spoken >= settings.stream_heartbeat:
            spoken = time.monotonic()
            yield b": heartbeat\n\n"
        if len(rows) < _BATCH:
            await services.wakeup.wait(min(settings.stream_poll, settings.stream_heartbeat))


def _event(name: str, position: tuple[int, int], data: dict[str, object]) -> bytes:
    head = f"id: {position[0]}.{position[1]}\nevent: {name}\ndata: ".encode()
    return head + dumps(data) + b"\n\n"


def _change(row: dict[str, object]) -> dict[str, object]:
    return {
        "table": row["relname"],
        "op": row["op"],
        "rows": row["n_rows"],
        "keys": row["keys"],
        "at": row["at"],
    }


def _relations(topics: str | None) -> frozenset[str]:
    names = topics.split(",") if topics else list(TOPICS)
    return frozenset(relation for name in names for relation in TOPICS[name])


def _resume(last_event_id: str, now: tuple[int, int]) -> tuple[tuple[int, int], str]:
    match = _POSITION.match(last_event_id)
    if match is None:
        raise Problem("bad-request", "Last-Event-ID is not a position of this stream")
    position = (int(match.group(1)), min(int(match.group(2)), _MAX_SEQ))
    # A position ahead of the database belongs to another one: this was restored from a copy.
    return (now, "reset") if position > now else (position, "ready")


def _admit(services: Services, caller: Caller) -> None:
    subject = caller.subject or ""
    mine = services.streams.get(subject, 0)
    settings = services.settings
    if mine >= settings.max_streams_per_subject:
        raise Problem("too-many-streams", f"you have {mine} open", retry_after=10)
    if sum(services.streams.values()) >= settings.max_streams:
        raise Problem("too-many-streams", "this server holds as many as it may", retry_after=10)
    services.streams[subject] = mine + 1


def _release(services: Services, caller: Caller) -> None:
    subject = caller.subject or ""
    left = services.streams.get(subject, 1) - 1
    if left > 0:
        services.streams[subject] = left
    else:
        services.streams.pop(subject, None)
