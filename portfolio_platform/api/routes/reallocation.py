"""Reallocation plans: moved, nothing to do, or failed; one schema for all three outcomes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.conditional import (
    IMMUTABLE,
    LATEST,
    entity_tag,
    fields_part,
    not_modified,
)
from portfolio_platform.api.parameters import (
    DEFAULT_PAGE,
    AsOf,
    Cursor,
    Id,
    Limit,
    cache_for,
    fields_of,
    selected,
)
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many, one
from portfolio_platform.api.representation import json_response, pick, staleness
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads import plans
from portfolio_platform.store.reads.exchange import Row
from portfolio_platform.store.reads.session import Caller

router = APIRouter(prefix="/v1", tags=["reallocation"])

Outcome = Literal["reallocation", "no_reallocation_needed", "failed"]
_COMMON = (
    "token-required",
    "role-refused",
    "not-found",
    "invalid",
    "rate-limited",
    "database-busy",
)
_NONE = "there is no such portfolio of yours"


class Trade(BaseModel):
    """One swap; amounts are decimal strings in base units."""

    step: int
    side: Literal["sell", "buy"]
    mint_in: str
    mint_out: str
    pool: str
    amount_in: str
    expected_out: str
    min_out: str
    fee: str
    impact_bps: float


class Plan(BaseModel):
    """One immutable plan."""

    version: UUID
    portfolio_id: UUID
    outcome: Outcome
    reasons: list[str]
    trades: list[Trade]
    plan: dict[str, Any]
    plan_inputs: dict[str, Any]
    data_as_of: datetime
    computed_at: datetime
    content_hash: str
    lineage: str


class LatestPlan(Plan):
    """The newest plan and how old it is."""

    age_seconds: float
    stale: bool


class PlanEntry(BaseModel):
    """Header of one plan."""

    version: UUID
    outcome: Outcome
    reasons: list[str]
    n_trades: int
    content_hash: str
    data_as_of: datetime
    computed_at: datetime
    href: str


class PlanHistory(BaseModel):
    """Plans of a portfolio, newest first."""

    portfolio_id: UUID
    items: list[PlanEntry] = Field(description="Failed plans included.")
    next_cursor: str | None


@router.get(
    "/portfolios/{portfolio_id}/reallocation/latest",
    responses={
        200: {"model": LatestPlan},
        304: {"description": "Not modified"},
        **responses("nothing-yet", "as-of-in-future", *_COMMON),
    },
)
async def latest_plan(
    request: Request,
    caller: SignedIn,
    portfolio_id: Id,
    as_of: AsOf = None,
    fields: Annotated[str | None, fields_of(LatestPlan)] = None,
) -> Response:
    """The newest reallocation plan, whatever its outcome."""
    services = services_of(request)
    cache_control = cache_for(as_of, services.settings)
    names = selected(fields)
    row = await one(request, caller, plans.PLAN_LATEST, portfolio_id, as_of)
    if row is None:
        raise Problem("not-found", _NONE)
    if row["version"] is None:
        raise Problem("nothing-yet", "no plan has been made for this portfolio yet")
    age, stale = staleness(row["data_as_of"], services.settings.stale_after_seconds)
    tag = entity_tag(row["content_hash"], row["version"], stale, fields_part(names))
    unchanged = not_modified(request, tag, cache_control)
    if unchanged is not None:
        return unchanged
    body = {**await _body(request, caller, row), "age_seconds": age, "stale": stale}
    return json_response(pick(body, names), tag=tag, cache_control=cache_control)


@router.get(
    "/portfolios/{portfolio_id}/reallocation",
    responses={200: {"model": PlanHistory}, **responses("bad-cursor", *_COMMON)},
)
async def plan_history(
    request: Request,
    caller: SignedIn,
    portfolio_id: Id,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_PAGE,
    as_of: AsOf = None,
) -> Response:
    """All plans of a portfolio, newest first."""
    services = services_of(request)
    cache_for(as_of, services.settings)
    scope = (caller.subject, "plans", portfolio_id, as_of)
    after = services.cursors.read(cursor, *scope) if cursor else [None, None]
    rows = await many(request, caller, plans.PLAN_HISTORY, portfolio_id, as_of, *after, limit + 1)
    if not rows:
        raise Problem("not-found", _NONE)
    listed = [row for row in rows if row["version"] is not None]
    following = None
    if len(listed) > limit:
        last = listed[limit - 1]
        following = services.cursors.sign([last["computed_at"], last["version"]], *scope)
    items = [
        {
            **{name: row[name] for name in PlanEntry.model_fields if name != "href"},
            "href": f"/v1/plans/{row['version']}",
        }
        for row in listed[:limit]
    ]
    return json_response(
        {"portfolio_id": portfolio_id, "items": items, "next_cursor": following},
        cache_control=LATEST,
    )


@router.get(
    "/plans/{version}",
    responses={
        200: {"model": Plan},
        304: {"description": "Not modified"},
        **responses(*_COMMON),
    },
)
async def plan_of_version(
    request: Request,
    caller: SignedIn,
    version: Id,
    fields: Annotated[str | None, fields_of(Plan)] = None,
) -> Response:
    """One plan, which never changes."""
    names = selected(fields)
    row = await one(request, caller, plans.PLAN_HEADER, version)
    if row is None:
        raise Problem("not-found", "there is no such plan of yours")
    tag = entity_tag(row["content_hash"], version, fields_part(names))
    unchanged = not_modified(request, tag, IMMUTABLE)
    if unchanged is not None:
        return unchanged
    body = await _body(request, caller, row)
    return json_response(pick(body, names), tag=tag, cache_control=IMMUTABLE)


async def _body(request: Request, caller: Caller, header: Row) -> dict[str, Any]:
    bodies = services_of(request).bodies
    known = bodies.get("plan", header["version"].hex)
    if known is not None:
        return known
    row = await one(request, caller, plans.PLAN_BODY, header["version"])
    if row is None:
        raise Problem("not-found", "there is no such plan of yours")
    body = {**header, **row, "lineage": f"/v1/versions/{header['version']}/lineage"}
    bodies.put(body, "plan", header["version"].hex)
    return body
