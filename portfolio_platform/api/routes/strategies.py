"""Strategies: read the platform's and one's own, write one's own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, StringConstraints

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.bodies import StrictBody, body_schema, check_spec, parse
from portfolio_platform.api.conditional import entity_tag, not_modified
from portfolio_platform.api.parameters import DEFAULT_PAGE, SLUG_PATTERN, Cursor, Id, Limit
from portfolio_platform.api.preconditions import IfMatch, expected_update
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many, one, write
from portfolio_platform.api.representation import json_response
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads import strategies
from portfolio_platform.store.reads.exchange import Row

router = APIRouter(prefix="/v1/strategies", tags=["strategies"])

Slug = Annotated[str, StringConstraints(pattern=SLUG_PATTERN)]
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
_COMMON = ("token-required", "role-refused", "invalid", "rate-limited", "database-busy")
_BODY = ("bad-request", "body-too-large", "unsupported-media-type", "conflict", "forbidden")
_NONE = "there is no such strategy that you may read"


class NewStrategy(StrictBody):
    """A strategy to store."""

    slug: Slug
    name: Name
    spec: dict[str, Any]
    enabled: bool = True


class StrategyChange(StrictBody):
    """What to change; absent members stay as they are."""

    slug: Slug | None = None
    name: Name | None = None
    spec: dict[str, Any] | None = None
    enabled: bool | None = None


class Strategy(BaseModel):
    """A stored strategy; `owner` is `platform` or `own`."""

    strategy_id: UUID
    slug: str
    name: str
    spec: dict[str, Any]
    enabled: bool
    owner: str
    created_at: datetime
    updated_at: datetime
    weights: str


class StrategyPage(BaseModel):
    """Strategies in order of slug."""

    items: list[Strategy]
    next_cursor: str | None


@router.get("", responses={200: {"model": StrategyPage}, **responses("bad-cursor", *_COMMON)})
async def list_strategies(
    request: Request, caller: SignedIn, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE
) -> Response:
    """The platform's strategies and your own."""
    services = services_of(request)
    scope = (caller.subject, "strategies")
    after = services.cursors.read(cursor, *scope) if cursor else [None, None]
    rows = await many(request, caller, strategies.PAGE, *after, limit + 1)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = services.cursors.sign([last["slug"], last["strategy_id"]], *scope)
    return json_response({"items": [_shown(row) for row in rows[:limit]], "next_cursor": following})


@router.post(
    "",
    status_code=201,
    responses={201: {"model": Strategy}, **responses(*_COMMON, *_BODY)},
    openapi_extra=body_schema(NewStrategy),
)
async def create_strategy(request: Request, caller: SignedIn) -> Response:
    """Store a strategy of your own; its weights follow by themselves."""
    body, _ = await parse(request, NewStrategy)
    check_spec("strategy", body.spec, "spec")
    values = (body.slug, body.name, body.spec, body.enabled)
    row = (await write(request, caller, (strategies.INSERT, values)))[0][0]
    return json_response(
        _shown(row),
        status=201,
        tag=_tag(row),
        headers={"Location": f"/v1/strategies/{row['strategy_id']}"},
    )


@router.get(
    "/{strategy_id}",
    responses={
        200: {"model": Strategy},
        304: {"description": "Not modified"},
        **responses("not-found", *_COMMON),
    },
)
async def strategy(request: Request, caller: SignedIn, strategy_id: Id) -> Response:
    """One strategy."""
    row = await one(request, caller, strategies.ONE, strategy_id)
    if row is None:
        raise Problem("not-found", _NONE)
    tag = _tag(row)
    return not_modified(request, tag, "private, max-age=0, must-revalidate") or json_response(
        _shown(row), tag=tag
    )


@router.patch(
    "/{strategy_id}",
    responses={
        200: {"model": Strategy},
        **responses("not-found", "precondition-failed", *_COMMON, *_BODY),
    },
    openapi_extra=body_schema(StrategyChange),
)
async def change_strategy(
    request: Request, caller: SignedIn, strategy_id: Id, if_match: IfMatch = None
) -> Response:
    """Change a strategy of your own."""
    body, _ = await parse(request, StrategyChange)
    if body.spec is not None:
        check_spec("strategy", body.spec, "spec")
    before = await one(request, caller, strategies.ONE, strategy_id)
    if before is None:
        raise Problem("not-found", _NONE)
    if before["owner"] != "own":
        raise Problem("forbidden", "a strategy of the platform cannot be changed; copy it")
    expected = expected_update(if_match, _tag(before), before["updated_at"])
    values = (strategy_id, body.slug, body.name, body.spec, body.enabled, expected)
    rows = (await write(request, caller, (strategies.UPDATE, values)))[0]
    if not rows:
        raise Problem("precondition-failed", "the strategy was changed or deleted meanwhile")
    return json_response(_shown(rows[0]), tag=_tag(rows[0]))


@router.delete(
    "/{strategy_id}",
    status_code=204,
    responses=responses("not-found", "conflict", "forbidden", *_COMMON),
)
async def delete_strategy(request: Request, caller: SignedIn, strategy_id: Id) -> Response:
    """Delete a strategy of your own, with the weights computed for it."""
    rows = (await write(request, caller, (strategies.DELETE, (strategy_id,))))[0]
    if not rows:
        if await one(request, caller, strategies.ONE, strategy_id) is not None:
            raise Problem("forbidden", "a strategy of the platform cannot be deleted")
        raise Problem("not-found", _NONE)
    return Response(status_code=204)


def _tag(row: Row) -> str:
    return entity_tag(row["strategy_id"].hex, row["updated_at"].isoformat())


def _shown(row: Row) -> dict[str, Any]:
    return {**row, "weights": f"/v1/weights/latest?strategy={row['strategy_id']}"}
