"""Alerts that were raised for the caller."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.parameters import DEFAULT_PAGE, Cursor, Flag, Id, Limit
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many, one
from portfolio_platform.api.representation import json_response
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads import alerts

router = APIRouter(prefix="/v1/alerts", tags=["alerts"])

_COMMON = ("token-required", "role-refused", "invalid", "rate-limited", "database-busy")


class Delivery(BaseModel):
    """How one notification went."""

    channel_id: UUID
    event: str
    state: str
    attempts: int
    sent_at: datetime | None


class Alert(BaseModel):
    """One episode: raised once, cleared once."""

    alert_id: UUID
    rule_id: UUID
    kind: str
    subject: str
    severity: str
    message: str
    value: float | None
    threshold: float | None
    evidence: dict[str, Any]
    observed_at: datetime
    raised_at: datetime
    cleared_at: datetime | None
    deliveries: list[Delivery]


class AlertPage(BaseModel):
    """Alerts, newest first."""

    items: list[Alert]
    next_cursor: str | None


@router.get("", responses={200: {"model": AlertPage}, **responses("bad-cursor", *_COMMON)})
async def list_alerts(
    request: Request,
    caller: SignedIn,
    active: Annotated[Flag, Query(description="Only those not cleared.")] = False,
    rule_id: Annotated[UUID | None, Query(description="Only those of one rule.")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_PAGE,
) -> Response:
    """Your alerts, newest first."""
    signer = services_of(request).cursors
    scope = (caller.subject, "alerts", active, rule_id)
    after = signer.read(cursor, *scope) if cursor else [None, None]
    rows = await many(request, caller, alerts.PAGE, active, rule_id, *after, limit + 1)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = signer.sign([last["raised_at"], last["alert_id"]], *scope)
    return json_response({"items": rows[:limit], "next_cursor": following})


@router.get("/{alert_id}", responses={200: {"model": Alert}, **responses("not-found", *_COMMON)})
async def alert(request: Request, caller: SignedIn, alert_id: Id) -> Response:
    """One of your alerts."""
    row = await one(request, caller, alerts.ONE, alert_id)
    if row is None:
        raise Problem("not-found", "there is no such alert of yours")
    return json_response(row)
