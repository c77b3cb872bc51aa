"""How old the data is."""

from __future__ import annotations

from datetime import UTC, datetime

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.problems import responses
from portfolio_platform.api.queries import read
from portfolio_platform.api.representation import json_response
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads import freshness

router = APIRouter(prefix="/v1", tags=["operations"])


class Age(BaseModel):
    """Newest row of one source."""

    source: str
    detail: str | None
    slot: int | None
    observed_at: datetime
    recorded_at: datetime
    age_seconds: float
    stale: bool


class Freshness(BaseModel):
    """Ages of everything the caller may read, stalest first."""

    now: datetime
    stale_after_seconds: float
    items: list[Age]


@router.get(
    "/freshness",
    responses={
        200: {"model": Freshness},
        **responses("token-required", "role-refused", "rate-limited", "database-busy"),
    },
)
async def data_freshness(request: Request, caller: SignedIn) -> Response:
    """When each source last spoke, on both clocks."""
    limit = services_of(request).settings.stale_after_seconds
    facts, bars, versions = await read(
        request,
        caller,
        (freshness.FACTS, ()),
        (freshness.BARS, ()),
        (freshness.VERSIONS, ()),
    )
    now = datetime.now(UTC)
    items = []
    for row in [*facts, *bars, *versions]:
        age = (now - row["observed_at"]).total_seconds()
        items.append({**row, "age_seconds": round(age, 3), "stale": age > limit})
    items.sort(key=lambda item: -item["age_seconds"])
    return json_response({"now": now, "stale_after_seconds": limit, "items": items})
