"""Portfolios of the caller, and their newest valued state."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.bodies import StrictBody, body_schema, parse
from portfolio_platform.api.conditional import LATEST, entity_tag, not_modified
from portfolio_platform.api.parameters import (
    DEFAULT_PAGE,
    MINT_PATTERN,
    WALLET_PATTERN,
    AsOf,
    Cursor,
    Id,
    Limit,
    cache_for,
)
from portfolio_platform.api.preconditions import IfMatch, expected_update
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many, one, read, write
from portfolio_platform.api.representation import json_response, staleness
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads import plans, portfolios
from portfolio_platform.store.reads.exchange import Row
from portfolio_platform.store.reads.session import Caller

router = APIRouter(prefix="/v1/portfolios", tags=["portfolios"])

Name = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Wallet = Annotated[str, StringConstraints(pattern=WALLET_PATTERN)]
MintText = Annotated[str, StringConstraints(pattern=MINT_PATTERN)]
_COMMON = ("token-required", "role-refused", "invalid", "rate-limited", "database-busy")
_BODY = ("bad-request", "body-too-large", "unsupported-media-type", "conflict", "forbidden")
_NONE = "there is no such portfolio of yours"


class NewPortfolio(StrictBody):
    """A wallet to follow with a strategy."""

    name: Name
    wallet: Wallet
    hub_mint: MintText
    strategy_id: UUID | None = None
    settings: dict[str, Any] = Field(default_factory=dict)


class PortfolioChange(StrictBody):
    """What to change; absent members stay, `strategy_id: null` takes the strategy away."""

    name: Name | None = None
    wallet: Wallet | None = None
    hub_mint: MintText | None = None
    strategy_id: UUID | None = None
    settings: dict[str, Any] | None = None


class Portfolio(BaseModel):
    """A stored portfolio."""

    portfolio_id: UUID
    name: str
    wallet: str
    strategy_id: UUID | None
    hub_mint: str
    settings: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    state: str
    reallocation: str


class PortfolioPage(BaseModel):
    """Portfolios, oldest first."""

    items: list[Portfolio]
    next_cursor: str | None


class PortfolioState(BaseModel):
    """What the wallet held and was worth.

    `nav` is in base units of the hub mint, null where a price is missing.
    """

    portfolio_id: UUID
    version: UUID
    content_hash: str
    nav: str | None
    state: dict[str, Any]
    data_as_of: datetime
    computed_at: datetime
    age_seconds: float
    stale: bool
    lineage: str


@router.get("", responses={200: {"model": PortfolioPage}, **responses("bad-cursor", *_COMMON)})
async def list_portfolios(
    request: Request, caller: SignedIn, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE
) -> Response:
    """Your portfolios."""
    services = services_of(request)
    scope = (caller.subject, "portfolios")
    after = services.cursors.read(cursor, *scope) if cursor else [None, None]
    rows = await many(request, caller, portfolios.PAGE, *after, limit + 1)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = services.cursors.sign([last["created_at"], last["portfolio_id"]], *scope)
    return json_response({"items": [_shown(r) for r in rows[:limit]], "next_cursor": following})


@router.post(
    "",
    status_code=201,
    responses={201: {"model": Portfolio}, **responses("not-found", *_COMMON, *_BODY)},
    openapi_extra=body_schema(NewPortfolio),
)
async def create_portfolio(request: Request, caller: SignedIn) -> Response:
    """Follow a wallet; its state and plans follow by themselves."""
    body, _ = await parse(request, NewPortfolio)
    values = (body.name, body.wallet, body.strategy_id, body.hub_mint, body.settings)
    rows = (await write(request, caller, (portfolios.INSERT, values)))[0]
    if not rows:
        raise Problem("not-found", "there is no such strategy that you may read")
    return json_response(
        _shown(rows[0]),
        status=201,
        tag=_tag(rows[0]),
        headers={"Location": f"/v1/portfolios/{rows[0]['portfolio_id']}"},
    )


@router.get(
    "/{portfolio_id}",
    responses={
        200: {"model": Portfolio},
        304: {"description": "Not modified"},
        **responses("not-found", *_COMMON),
    },
)
async def portfolio(request: Request, caller: SignedIn, portfolio_id: Id) -> Response:
    """One of your portfolios."""
    row = await one(request, caller, portfolios.ONE, portfolio_id)
    if row is None:
        raise Problem("not-found", _NONE)
    return not_modified(request, _tag(row), LATEST) or json_response(_shown(row), tag=_tag(row))


@router.patch(
    "/{portfolio_id}",
    responses={
        200: {"model": Portfolio},
        **responses("not-found", "precondition-failed", *_COMMON, *_BODY),
    },
    openapi_extra=body_schema(PortfolioChange),
)
async def change_portfolio(
    request: Request, caller: SignedIn, portfolio_id: Id, if_match: IfMatch = None
) -> Response:
    """Change one of your portfolios."""
    body, _ = await parse(request, PortfolioChange)
    before, visible = await _before(request, caller, portfolio_id, body.strategy_id)
    if before is None:
        raise Problem("not-found", _NONE)
    if not visible:
        raise Problem("not-found", "there is no such strategy that you may read")
    values = (
        portfolio_id, body.name, body.wallet, "strategy_id" in body.model_fields_set,
        body.strategy_id, body.hub_mint, body.settings,
        expected_update(if_match, _tag(before), before["updated_at"]),
    )  # fmt: skip
    rows = (await write(request, caller, (portfolios.UPDATE, values)))[0]
    if not rows:
        raise Problem("precondition-failed", "the portfolio was changed or deleted meanwhile")
    return json_response(_shown(rows[0]), tag=_tag(rows[0]))


@router.delete(
    "/{portfolio_id}", status_code=204, responses=responses("not-found", "conflict", *_COMMON)
)
async def delete_portfolio(request: Request, caller: SignedIn, portfolio_id: Id) -> Response:
    """Stop following a wallet; its states and plans are deleted."""
    rows = (await write(request, caller, (portfolios.DELETE, (portfolio_id,))))[0]
    if not rows:
        raise Problem("not-found", _NONE)
    return Response(status_code=204)


@router.get(
    "/{portfolio_id}/state/latest",
    responses={
        200: {"model": PortfolioState},
        304: {"description": "Not modified"},
        **responses("not-found", "nothing-yet", "as-of-in-future", *_COMMON),
    },
)
async def latest_state(
    request: Request, caller: SignedIn, portfolio_id: Id, as_of: AsOf = None
) -> Response:
    """The newest valued state of a portfolio: holdings, values, utilization."""
    services = services_of(request)
    cache_control = cache_for(as_of, services.settings)
    row = await one(request, caller, plans.STATE_LATEST, portfolio_id, as_of)
    if row is None:
        raise Problem("not-found", _NONE)
    if row["version"] is None:
        raise Problem("nothing-yet", "this portfolio has not been valued yet")
    age, stale = staleness(row["data_as_of"], services.settings.stale_after_seconds)
    tag = entity_tag(row["content_hash"], row["version"], stale)
    unchanged = not_modified(request, tag, cache_control)
    if unchanged is not None:
        return unchanged
    body = services.bodies.get("state", row["version"].hex)
    if body is None:
        body = await one(request, caller, plans.STATE_BODY, row["version"])
        if body is None:
            raise Problem("nothing-yet", "this portfolio has not been valued yet")
        services.bodies.put(body, "state", row["version"].hex)
    answer = {
        **row,
        **body,
        "age_seconds": age,
        "stale": stale,
        "lineage": f"/v1/versions/{row['version']}/lineage",
    }
    return json_response(answer, tag=tag, cache_control=cache_control)


async def _before(
    request: Request, caller: Caller, portfolio_id: UUID, strategy_id: UUID | None
) -> tuple[Row | None, bool]:
    rows, visible = await read(
        request,
        caller,
        (portfolios.ONE, (portfolio_id,)),
        (portfolios.STRATEGY_VISIBLE, (strategy_id,)),
    )
    return (rows[0] if rows else None), visible[0]["visible"]


def _tag(row: Row) -> str:
    return entity_tag(row["portfolio_id"].hex, row["updated_at"].isoformat())


def _shown(row: Row) -> dict[str, Any]:
    base = f"/v1/portfolios/{row['portfolio_id']}"
    return {
        **row,
        "state": f"{base}/state/latest",
        "reallocation": f"{base}/reallocation/latest",
    }
