"""Weights: the newest good set of a strategy, its versions and their history."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field

from portfolio_platform.api.auth import SignedIn, signed_in
from portfolio_platform.api.conditional import (
    IMMUTABLE,
    entity_tag,
    fields_part,
    not_modified,
)
from portfolio_platform.api.parameters import (
    AS_OF_TEXT,
    DEFAULT_PAGE,
    FIELDS_TEXT,
    KEY_PATTERN,
    AsOf,
    Cursor,
    Id,
    Instant,
    Limit,
    QueryModel,
    as_uuid,
    cache_for,
    fields_of,
    fields_pattern,
    selected,
)
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many, one
from portfolio_platform.api.representation import json_response, pick, staleness
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads import settings as settings_reads
from portfolio_platform.store.reads import weights
from portfolio_platform.store.reads.exchange import Row
from portfolio_platform.store.reads.session import Caller

router = APIRouter(prefix="/v1/weights", tags=["weights"])


class Weight(BaseModel):
    """Share of one asset."""

    mint: str
    symbol: str | None
    weight: float


class StrategyName(BaseModel):
    """Which strategy an answer is about."""

    id: UUID
    slug: str
    name: str


class Attempt(BaseModel):
    """The newest attempt, which may have failed after the weights that are served."""

    version: UUID
    status: str
    reason: str | None
    computed_at: datetime


class WeightSet(BaseModel):
    """One immutable version of weights: of a strategy, or the answer of a request."""

    version: UUID
    strategy: StrategyName | None = Field(description="Null where the weights answer a request.")
    request: str | None = Field(description="Address of the request that the weights answer.")
    status: str = Field(description="`optimal`, or why there are no weights in this version.")
    reason: str | None
    weights: list[Weight]
    solution: dict[str, Any]
    report: dict[str, Any]
    data_as_of: datetime
    computed_at: datetime
    content_hash: str
    code_version: str
    run_id: str | None
    lineage: str


class LatestWeights(WeightSet):
    """The newest good weights, how old they are, and how the newest attempt ended."""

    latest_attempt: Attempt
    age_seconds: float
    stale: bool


class LatestQuery(QueryModel):
    """Query of the newest weights."""

    strategy: str | None = Field(
        None,
        pattern=KEY_PATTERN,
        description="Slug or id. When absent, `default_strategy` of your settings.",
    )
    as_of: Instant | None = Field(None, description=AS_OF_TEXT)
    fields: str | None = Field(
        None, max_length=1000, pattern=fields_pattern(LatestWeights), description=FIELDS_TEXT
    )


class HistoryEntry(BaseModel):
    """Header of one version."""

    version: UUID
    status: str
    reason: str | None
    content_hash: str
    data_as_of: datetime
    computed_at: datetime
    href: str


class WeightHistory(BaseModel):
    """Versions of one strategy, newest first."""

    strategy: StrategyName
    items: list[HistoryEntry]
    next_cursor: str | None


_NO_STRATEGY = "there is no strategy with this slug or id that you may read"


@router.get(
    "/latest",
    responses={
        200: {"model": LatestWeights},
        304: {"description": "Not modified"},
        **responses(
            "token-required", "role-refused", "not-found", "nothing-yet", "invalid",
            "as-of-in-future", "rate-limited", "database-busy",
        ),
    },
    openapi_extra=LatestQuery.described(),
)  # fmt: skip
async def latest_weights(request: Request) -> Response:
    """The newest good weights of a strategy.

    When the newest attempt failed, the last good weights stay, and `latest_attempt` says why.
    """
    caller = await signed_in(request)
    query = LatestQuery.read(request)
    services = services_of(request)
    cache_control = cache_for(query.as_of, services.settings)
    names = selected(query.fields)
    key = query.strategy or await _default_strategy(request, caller)
    found = await one(request, caller, weights.LATEST, key, as_uuid(key), query.as_of)
    if found is None:
        raise Problem("not-found", _NO_STRATEGY)
    if found["version"] is None:
        raise Problem("nothing-yet", _why_nothing(found))
    age, stale = staleness(found["data_as_of"], services.settings.stale_after_seconds)
    tag = entity_tag(
        found["content_hash"], found["version"], found["attempt_version"], stale,
        found["slug"], found["name"], fields_part(names),
    )  # fmt: skip
    unchanged = not_modified(request, tag, cache_control)
    if unchanged is not None:
        return unchanged
    body = {
        **await _body(request, caller, found["version"]),
        "strategy": _strategy(found),
        "latest_attempt": {
            "version": found["attempt_version"],
            "status": found["attempt_status"],
            "reason": found["attempt_reason"],
            "computed_at": found["attempt_at"],
        },
        "age_seconds": age,
        "stale": stale,
    }
    return json_response(pick(body, names), tag=tag, cache_control=cache_control)


@router.get(
    "",
    responses={
        200: {"model": WeightHistory},
        **responses(
            "bad-cursor", "token-required", "role-refused", "not-found", "invalid",
            "rate-limited", "database-busy",
        ),
    },
)  # fmt: skip
async def weight_history(
    request: Request,
    caller: SignedIn,
    strategy: Annotated[str, Query(pattern=KEY_PATTERN)],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_PAGE,
    as_of: AsOf = None,
) -> Response:
    """All versions of a strategy, newest first, failed attempts included."""
    services = services_of(request)
    cache_for(as_of, services.settings)
    scope = (caller.subject, "weights", strategy, as_of)
    after = services.cursors.read(cursor, *scope) if cursor else [None, None]
    rows = await many(
        request, caller, weights.HISTORY, strategy, as_uuid(strategy), as_of, *after, limit + 1
    )
    if not rows:
        raise Problem("not-found", _NO_STRATEGY)
    listed = [row for row in rows if row["version"] is not None]
    page = listed[:limit]
    following = None
    if len(listed) > limit:
        last = page[-1]
        following = services.cursors.sign([last["computed_at"], last["version"]], *scope)
    body = {
        "strategy": _strategy(rows[0]),
        "items": [
            {
                "version": row["version"],
                "status": row["status"],
                "reason": row["reason"],
                "content_hash": row["content_hash"],
                "data_as_of": row["data_as_of"],
                "computed_at": row["computed_at"],
                "href": f"/v1/weights/{row['version']}",
            }
            for row in page
        ],
        "next_cursor": following,
    }
    return json_response(body)


@router.get(
    "/{version}",
    responses={
        200: {"model": WeightSet},
        304: {"description": "Not modified"},
        **responses(
            "token-required", "role-refused", "not-found", "invalid", "rate-limited",
            "database-busy",
        ),
    },
)  # fmt: skip
async def weights_of_version(
    request: Request,
    caller: SignedIn,
    version: Id,
    fields: Annotated[str | None, fields_of(WeightSet)] = None,
) -> Response:
    """One version, which never changes."""
    names = selected(fields)
    header = await one(request, caller, weights.HEADER, version)
    if header is None:
        raise Problem("not-found", "there is no such version of weights that you may read")
    tag = entity_tag(
        header["content_hash"], version, header["slug"] or "", header["name"] or "",
        fields_part(names),
    )  # fmt: skip
    unchanged = not_modified(request, tag, IMMUTABLE)
    if unchanged is not None:
        return unchanged
    body = {**await _body(request, caller, version), "strategy": _strategy(header)}
    return json_response(pick(body, names), tag=tag, cache_control=IMMUTABLE)


async def _default_strategy(request: Request, caller: Caller) -> str:
    row = await one(request, caller, settings_reads.DEFAULT_STRATEGY)
    if row is None or row["strategy"] is None:
        raise Problem("not-found", "name a strategy, or store default_strategy in /v1/settings")
    return row["strategy"]


async def _body(request: Request, caller: Caller, version: UUID) -> dict[str, Any]:
    bodies = services_of(request).bodies
    known = bodies.get("weights", version.hex)
    if known is not None:
        return known
    row = await one(request, caller, weights.BODY, version)
    if row is None:
        raise Problem("not-found", "there is no such version of weights that you may read")
    body = {
        "version": row["version"],
        "strategy": _strategy(row),
        "request": row["request_id"] and f"/v1/optimizations/{row['request_id']}",
        "status": row["status"],
        "reason": row["reason"],
        "weights": row["weights"],
        "solution": row["solution"],
        "report": row["report"],
        "data_as_of": row["data_as_of"],
        "computed_at": row["computed_at"],
        "content_hash": row["content_hash"],
        "code_version": row["code_version"],
        "run_id": row["run_id"],
        "lineage": f"/v1/weights/{row['version']}/lineage",
    }
    bodies.put(body, "weights", version.hex)
    return body


def _strategy(row: Row) -> dict[str, Any] | None:
    if row["strategy_id"] is None:
        return None
    return {"id": row["strategy_id"], "slug": row["slug"], "name": row["name"]}


def _why_nothing(row: Row) -> str:
    if row["attempt_version"] is None:
        return "this strategy has no weights yet"
    return (
        f"the newest attempt ended {row['attempt_status']}: {row['attempt_reason'] or 'no reason'}"
    )
