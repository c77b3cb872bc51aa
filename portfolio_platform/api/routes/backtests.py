"""Requests for a backtest, and the reports that answer them."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.bodies import body_schema
from portfolio_platform.api.conditional import LATEST, VARY, entity_tag, not_modified
from portfolio_platform.api.parameters import DEFAULT_PAGE, Cursor, Id, Limit
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import one, read
from portfolio_platform.api.representation import json_response
from portfolio_platform.api.services import services_of
from portfolio_platform.api.submissions import (
    IdempotencyKey,
    Prefer,
    RequestPage,
    RequestView,
    StateFilter,
    Submissions,
)
from portfolio_platform.store.reads.exchange import Row
from portfolio_platform.store.reads.requests import (
    BACKTESTS,
    REPORT_BODY,
    REPORT_HEADER,
    REPORT_HTML,
)
from portfolio_platform.store.reads.session import Caller

router = APIRouter(prefix="/v1/backtests", tags=["requests"])
door = Submissions(
    "/v1/backtests",
    "backtest",
    BACKTESTS,
    lambda row: f"/v1/backtests/{row['request_id']}",
)
_COMMON = ("token-required", "role-refused", "invalid", "rate-limited", "database-busy")
_BODY = (
    "bad-request", "body-too-large", "unsupported-media-type", "idempotency-conflict",
    "quota-exceeded", "forbidden",
)  # fmt: skip

# The page is self-contained: it may run its own scripts, and reach nothing and nobody.
_SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'unsafe-inline'; img-src data: blob:; font-src data:"
)


class BacktestReport(BaseModel):
    """The report that answers a request."""

    version: UUID
    outcome: str
    report: dict[str, Any]
    html: str
    data_as_of: datetime
    computed_at: datetime
    content_hash: str
    lineage: str


class BacktestView(RequestView):
    """A request with its report, once there is one."""

    report: BacktestReport | None


@router.post(
    "",
    status_code=202,
    responses={
        200: {"model": RequestView, "description": "Finished within `Prefer: wait`."},
        202: {"model": RequestView, "description": "Stored; see `Location`."},
        **responses(*_COMMON, *_BODY),
    },
    openapi_extra=body_schema("NewBacktest"),
)
async def request_backtest(
    request: Request,
    caller: SignedIn,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Ask for a backtest; the API stores the request and computes nothing."""
    return await door.submit(request, caller, idempotency_key, prefer)


@router.get("", responses={200: {"model": RequestPage}, **responses("bad-cursor", *_COMMON)})
async def list_backtests(
    request: Request,
    caller: SignedIn,
    state: StateFilter = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_PAGE,
) -> Response:
    """Your backtest requests, newest first."""
    return await door.listing(request, caller, state, cursor, limit)


@router.get(
    "/{request_id}",
    responses={
        200: {"model": BacktestView},
        304: {"description": "Not modified"},
        **responses("not-found", *_COMMON),
    },
)
async def backtest(request: Request, caller: SignedIn, request_id: Id) -> Response:
    """State of a request, with its report once it is done."""
    row, header = await _found(request, caller, request_id)
    progress = (row["state"], row["progress"], row["reason"])
    parts = (header["version"] if header else None, *progress)
    tag = entity_tag(header["content_hash"] if header else request_id.hex, *parts)
    unchanged = not_modified(request, tag, LATEST)
    if unchanged is not None:
        return unchanged
    report = await _report(request, caller, request_id, header) if header else None
    return json_response({**door.view(row), "report": report}, tag=tag)


@router.get(
    "/{request_id}/report.html",
    responses={
        200: {"content": {"text/html": {"schema": {"type": "string"}}}},
        304: {"description": "Not modified"},
        **responses("not-found", "nothing-yet", *_COMMON),
    },
)
async def backtest_page(request: Request, caller: SignedIn, request_id: Id) -> Response:
    """The interactive report: one self-contained page."""
    row, header = await _found(request, caller, request_id)
    if header is None:
        raise Problem("nothing-yet", f"the request is {row['state']}; it has no report")
    tag = entity_tag(header["content_hash"], header["version"], "html")
    unchanged = not_modified(request, tag, LATEST)
    if unchanged is not None:
        return unchanged
    page = await one(request, caller, REPORT_HTML, header["version"])
    if page is None:
        raise Problem("nothing-yet", "the report is gone")
    return Response(
        page["html"],
        media_type="text/html",
        headers={
            "ETag": tag,
            "Cache-Control": LATEST,
            "Vary": VARY,
            "Content-Security-Policy": _SANDBOX,
        },
    )


@router.delete(
    "/{request_id}",
    responses={
        200: {"model": RequestView},
        **responses("not-found", "not-cancellable", "forbidden", *_COMMON),
    },
)
async def cancel_backtest(request: Request, caller: SignedIn, request_id: Id) -> Response:
    """Cancel a request that is queued or running."""
    return await door.cancel(request, caller, request_id)


async def _found(request: Request, caller: Caller, request_id: UUID) -> tuple[Row, Row | None]:
    rows, headers = await read(
        request, caller, (BACKTESTS.one, (request_id,)), (REPORT_HEADER, (request_id,))
    )
    if not rows:
        raise Problem("not-found", "there is no such request of yours")
    return rows[0], headers[0] if headers else None


async def _report(
    request: Request, caller: Caller, request_id: UUID, header: Row
) -> dict[str, Any] | None:
    bodies = services_of(request).bodies
    body = bodies.get("report", header["version"].hex)
    if body is None:
        body = await one(request, caller, REPORT_BODY, header["version"])
        if body is None:
            return None
        bodies.put(body, "report", header["version"].hex)
    return {
        **header,
        **body,
        "html": f"/v1/backtests/{request_id}/report.html",
        "lineage": f"/v1/versions/{header['version']}/lineage",
    }
