"""Tokens, their newest prices on chain and their metrics."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.conditional import entity_tag, not_modified
from portfolio_platform.api.parameters import (
    DEFAULT_PAGE,
    AsOf,
    Cursor,
    Limit,
    Mint,
    cache_for,
)
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many, one
from portfolio_platform.api.representation import json_response, staleness
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads import metrics, prices, tokens

router = APIRouter(prefix="/v1", tags=["market"])

_COMMON = ("token-required", "role-refused", "invalid", "rate-limited", "database-busy")
_NO_TOKEN = "there is no such token"


class Token(BaseModel):
    """An asset of the universe."""

    mint: str
    symbol: str
    name: str | None
    decimals: int | None
    is_stable: bool
    token_group: str | None
    token_program: str | None
    recorded_at: datetime


class TokenPage(BaseModel):
    """Tokens in order of mint."""

    items: list[Token]
    next_cursor: str | None


class PriceSource(BaseModel):
    """The last word of one account about a price, accepted or not."""

    source: str
    pubkey: str
    slot: int
    price: float | None
    confidence: float | None
    verdict: str
    reasons: list[str]
    published_age_seconds: float | None
    observed_at: datetime
    recorded_at: datetime


class Price(BaseModel):
    """The newest accepted price in USD, and every source behind the decision."""

    mint: str
    symbol: str
    price: float
    confidence: float | None
    source: str
    pubkey: str
    slot: int
    published_at: datetime | None
    sources: list[PriceSource]
    data_as_of: datetime
    computed_at: datetime
    age_seconds: float
    stale: bool


class Metrics(BaseModel):
    """Market metrics of one token."""

    mint: str
    symbol: str
    version: UUID
    content_hash: str
    metrics: dict[str, Any]
    data_as_of: datetime
    computed_at: datetime
    age_seconds: float
    stale: bool
    lineage: str


@router.get("/tokens", responses={200: {"model": TokenPage}, **responses("bad-cursor", *_COMMON)})
async def list_tokens(
    request: Request,
    caller: SignedIn,
    symbol: Annotated[str | None, Query(pattern=r"^[^\x00-\x1f\x7f]{1,40}$")] = None,
    group: Annotated[str | None, Query(pattern=r"^[^\x00-\x1f\x7f]{1,40}$")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_PAGE,
) -> Response:
    """Tokens, optionally of one symbol or one group."""
    services = services_of(request)
    scope = (caller.subject, "tokens", symbol, group)
    after = services.cursors.read(cursor, *scope)[0] if cursor else None
    rows = await many(request, caller, tokens.PAGE, symbol, group, after, limit + 1)
    following = services.cursors.sign([rows[limit - 1]["mint"]], *scope) if rows[limit:] else None
    return json_response({"items": rows[:limit], "next_cursor": following})


@router.get("/tokens/{mint}", responses={200: {"model": Token}, **responses("not-found", *_COMMON)})
async def token(request: Request, caller: SignedIn, mint: Mint) -> Response:
    """One token."""
    row = await one(request, caller, tokens.ONE, mint)
    if row is None:
        raise Problem("not-found", _NO_TOKEN)
    return json_response(row)


@router.get(
    "/prices/{mint}",
    responses={
        200: {"model": Price},
        304: {"description": "Not modified"},
        **responses("not-found", "nothing-yet", "as-of-in-future", *_COMMON),
    },
)
async def price(request: Request, caller: SignedIn, mint: Mint, as_of: AsOf = None) -> Response:
    """The newest accepted price of a token, with what each source said."""
    services = services_of(request)
    cache_control = cache_for(as_of, services.settings)
    row = await one(request, caller, prices.LATEST, mint, as_of)
    if row is None:
        raise Problem("not-found", _NO_TOKEN)
    price_id = row.pop("price_id")
    if price_id is None:
        refused = sorted({reason for s in row["sources"] for reason in s["reasons"]})
        why = f"every source was refused: {', '.join(refused)}" if refused else "none was observed"
        raise Problem("nothing-yet", f"no accepted price: {why}")
    row["age_seconds"], row["stale"] = staleness(
        row["data_as_of"], services.settings.stale_after_seconds
    )
    tag = entity_tag(f"price-{price_id}", row["stale"], row["sources"])
    return not_modified(request, tag, cache_control) or json_response(
        row, tag=tag, cache_control=cache_control
    )


@router.get(
    "/metrics/{mint}",
    responses={
        200: {"model": Metrics},
        304: {"description": "Not modified"},
        **responses("not-found", "nothing-yet", "as-of-in-future", *_COMMON),
    },
)
async def token_metrics(
    request: Request, caller: SignedIn, mint: Mint, as_of: AsOf = None
) -> Response:
    """Market metrics of a token from the newest version that speaks of it."""
    services = services_of(request)
    cache_control = cache_for(as_of, services.settings)
    row = await one(request, caller, metrics.LATEST, mint, as_of)
    if row is None:
        raise Problem("not-found", _NO_TOKEN)
    if row["version"] is None:
        raise Problem("nothing-yet", "no metrics of this token have been published")
    age, stale = staleness(row["data_as_of"], services.settings.stale_after_seconds)
    tag = entity_tag(row["content_hash"], row["version"], mint, row["symbol"], stale)
    unchanged = not_modified(request, tag, cache_control)
    if unchanged is not None:
        return unchanged
    body = services.bodies.get("metrics", row["version"].hex, mint)
    if body is None:
        body = await one(request, caller, metrics.BODY, row["version"], mint)
        if body is None:
            raise Problem("nothing-yet", "no metrics of this token have been published")
        services.bodies.put(body, "metrics", row["version"].hex, mint)
    answer = {
        **row,
        "metrics": body["metrics"],
        "age_seconds": age,
        "stale": stale,
        "lineage": f"/v1/versions/{row['version']}/lineage",
    }
    return json_response(answer, tag=tag, cache_control=cache_control)
