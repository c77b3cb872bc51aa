"""Requests for an optimization; the answer is a version of weights."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.bodies import body_schema
from portfolio_platform.api.conditional import NO_STORE
from portfolio_platform.api.parameters import DEFAULT_PAGE, Cursor, Id, Limit
from portfolio_platform.api.problems import responses
from portfolio_platform.api.representation import json_response
from portfolio_platform.api.submissions import (
    IdempotencyKey,
    Prefer,
    RequestPage,
    RequestView,
    StateFilter,
    Submissions,
)
from portfolio_platform.store.reads.requests import OPTIMIZATIONS

router = APIRouter(prefix="/v1/optimizations", tags=["requests"])
door = Submissions(
    "/v1/optimizations",
    "strategy",
    OPTIMIZATIONS,
    lambda row: f"/v1/weights/{row['version']}",
)
_COMMON = ("token-required", "role-refused", "invalid", "rate-limited", "database-busy")
_BODY = (
    "bad-request", "body-too-large", "unsupported-media-type", "idempotency-conflict",
    "quota-exceeded", "forbidden",
)  # fmt: skip


@router.post(
    "",
    status_code=202,
    responses={
        200: {"model": RequestView, "description": "Finished within `Prefer: wait`."},
        202: {"model": RequestView, "description": "Stored; see `Location`."},
        **responses(*_COMMON, *_BODY),
    },
    openapi_extra=body_schema("NewOptimization"),
)
async def request_optimization(
    request: Request,
    caller: SignedIn,
    idempotency_key: IdempotencyKey = None,
    prefer: Prefer = None,
) -> Response:
    """Ask for weights by a strategy spec; the API stores the request and computes nothing."""
    return await door.submit(request, caller, idempotency_key, prefer)


@router.get("", responses={200: {"model": RequestPage}, **responses("bad-cursor", *_COMMON)})
async def list_optimizations(
    request: Request,
    caller: SignedIn,
    state: StateFilter = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_PAGE,
) -> Response:
    """Your optimization requests, newest first."""
    return await door.listing(request, caller, state, cursor, limit)


@router.get(
    "/{request_id}", responses={200: {"model": RequestView}, **responses("not-found", *_COMMON)}
)
async def optimization(request: Request, caller: SignedIn, request_id: Id) -> Response:
    """State of one request; `result` leads to the weights."""
    row = await door.row(request, caller, request_id)
    return json_response(door.view(row), cache_control=NO_STORE)


@router.delete(
    "/{request_id}",
    responses={
        200: {"model": RequestView},
        **responses("not-found", "not-cancellable", "forbidden", *_COMMON),
    },
)
async def cancel_optimization(request: Request, caller: SignedIn, request_id: Id) -> Response:
    """Cancel a request that is queued or running."""
    return await door.cancel(request, caller, request_id)
