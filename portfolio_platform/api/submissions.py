"""Storing, awaiting, listing and cancelling requests; the pipeline answers them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import Header, Query, Request, Response
from pydantic import BaseModel

from portfolio_platform.api.bodies import SpecKind, StrictBody, check_spec, parse
from portfolio_platform.api.conditional import NO_STORE
from portfolio_platform.api.parameters import Cursor, Limit
from portfolio_platform.api.problems import Problem
from portfolio_platform.api.queries import many, one, write
from portfolio_platform.api.representation import json_response
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads.exchange import Row
from portfolio_platform.store.reads.requests import RequestStatements
from portfolio_platform.store.reads.session import Caller

State = Literal["queued", "running", "done", "failed", "cancelled"]
FINISHED = ("done", "failed", "cancelled")

IdempotencyKey = Annotated[
    str | None,
    Header(
        max_length=200,
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="The same key with the same body stores one request only.",
    ),
]
Prefer = Annotated[
    str | None,
    Header(max_length=200, description="`wait=30` holds the answer for up to that many seconds."),
]
StateFilter = Annotated[State | None, Query(description="Only requests in this state.")]

_WAIT = re.compile(r"(?:^|[,;\s])wait=(\d{1,5})(?=$|[,;\s])")
_LOOK_SECONDS = 1.0


class Submission(StrictBody):
    """What to compute."""

    spec: dict[str, Any]


class RequestView(BaseModel):
    """A request and how far its answer is."""

    request_id: UUID
    state: State
    reason: str | None
    progress: float
    spec: dict[str, Any]
    version: UUID | None
    result: str | None
    idempotency_key: str | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    href: str


class RequestPage(BaseModel):
    """Requests, newest first."""

    items: list[RequestView]
    next_cursor: str | None


class Submissions:
    """The door for one kind of request.

    Parameters
    ----------
    path
        Where requests of this kind live, such as ``/v1/backtests``.
    kind
        Name of the schema that specs must agree with.
    result
        From a finished request's row to the path of its result.
    """

    def __init__(
        self,
        path: str,
        kind: SpecKind,
        statements: RequestStatements,
        result: Callable[[Row], str],
    ) -> None:
        self._path = path
        self._kind = kind
        self._sql = statements
        self._result = result

    async def submit(
        self, request: Request, caller: Caller, key: str | None, prefer: str | None
    ) -> Response:
        """Store a request: 202, or 200 when `Prefer: wait` saw it finished."""
        body, digest = await parse(request, Submission)
        check_spec(self._kind, body.spec, "spec")
        row = await self._store(request, caller, body.spec, key, digest)
        wait = wait_seconds(prefer, services_of(request).settings.max_wait_seconds)
        if wait and row["state"] not in FINISHED:
            row = await self._await(request, caller, row, wait)
        headers = {"Location": f"{self._path}/{row['request_id']}"}
        if wait:
            headers["Preference-Applied"] = f"wait={wait:g}"
        status = 200 if row["state"] in FINISHED else 202
        return json_response(self.view(row), status=status, cache_control=NO_STORE, headers=headers)

    async def row(self, request: Request, caller: Caller, request_id: UUID) -> Row:
        """The stored request.

        Raises
        ------
        Problem
            ``not-found``: missing, or not the caller's.
        """
        row = await one(request, caller, self._sql.one, request_id)
        if row is None:
            raise Problem("not-found", "there is no such request of yours")
        return row

    async def listing(
        self,
        request: Request,
        caller: Caller,
        state: State | None,
        cursor: Cursor,
        limit: Limit,
    ) -> Response:
        """A page of the caller's requests."""
        services = services_of(request)
        scope = (caller.subject, self._path, state)
        after = services.cursors.read(cursor, *scope) if cursor else [None, None]
        rows = await many(request, caller, self._sql.page, state, *after, limit + 1)
        following = None
        if len(rows) > limit:
            last = rows[limit - 1]
            following = services.cursors.sign([last["created_at"], last["request_id"]], *scope)
        items = [self.view(row) for row in rows[:limit]]
        return json_response({"items": items, "next_cursor": following})

    async def cancel(self, request: Request, caller: Caller, request_id: UUID) -> Response:
        """Cancel a request that is not finished."""
        rows = (await write(request, caller, (self._sql.cancel, (request_id,))))[0]
        if rows:
            return json_response(self.view(rows[0]), cache_control=NO_STORE)
        row = await self.row(request, caller, request_id)
        if row["of_platform"]:
            raise Problem("forbidden", "a request of the platform cannot be cancelled")
        raise Problem("not-cancellable", f"the request is already {row['state']}")

    def view(self, row: Row) -> dict[str, Any]:
        """A request as clients see it."""
        shown = {name: row.get(name) for name in RequestView.model_fields}
        shown["result"] = self._result(row) if row["version"] is not None else None
        shown["href"] = f"{self._path}/{row['request_id']}"
        return shown

    async def _store(
        self, request: Request, caller: Caller, spec: dict[str, Any], key: str | None, digest: str
    ) -> Row:
        quota = services_of(request).settings.max_open_requests
        _, inserted, known = await write(
            request,
            caller,
            (self._sql.lock, ()),
            (self._sql.insert, (spec, key, digest, quota)),
            (self._sql.by_key, (key,)),
        )
        if inserted:
            return inserted[0]
        if not known:
            raise Problem("quota-exceeded", f"at most {quota} requests may be open", retry_after=30)
        if known[0]["body_sha256"] != digest:
            raise Problem("idempotency-conflict")
        return known[0]

    async def _await(self, request: Request, caller: Caller, row: Row, seconds: float) -> Row:
        services = services_of(request)
        deadline = time.monotonic() + seconds
        while row["state"] not in FINISHED and not services.closing.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await services.wakeup.wait(min(left, _LOOK_SECONDS))
            row = await self.row(request, caller, row["request_id"])
        return row


def wait_seconds(prefer: str | None, maximum: float) -> float:
    """Seconds that `Prefer: wait` asks for, at most `maximum` (RFC 7240); 0 without it."""
    match = _WAIT.search(prefer or "")
    return min(float(match.group(1)), maximum) if match else 0.0
