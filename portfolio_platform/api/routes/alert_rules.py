"""Rules that raise alerts: the caller's own."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.bodies import WHOLE, StrictBody, body_schema, parse
from portfolio_platform.api.conditional import LATEST, entity_tag, not_modified
from portfolio_platform.api.parameters import DEFAULT_PAGE, Cursor, Id, Limit
from portfolio_platform.api.preconditions import IfMatch, expected_update
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many, one, write
from portfolio_platform.api.representation import json_response
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads import alerts
from portfolio_platform.store.reads.exchange import Row

router = APIRouter(prefix="/v1/alert-rules", tags=["alerts"])

Kind = Literal[
    "price_move", "drawdown", "weight_drift", "utilization", "depeg", "liquidity_drop",
    "stale_data", "failed_plan",
]  # fmt: skip
Severity = Literal["info", "warning", "critical"]
Name = Annotated[
    str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")
]
Cooldown = Annotated[int, Field(ge=0, le=31_536_000), WHOLE]
_COMMON = ("token-required", "role-refused", "invalid", "rate-limited", "database-busy")
_BODY = ("bad-request", "body-too-large", "unsupported-media-type", "conflict", "forbidden")
_NONE = "there is no such alert rule of yours"


class NewAlertRule(StrictBody):
    """A rule to store; `params` are checked by the evaluation, which says what it refuses."""

    name: Name
    kind: Kind
    params: dict[str, Any] = Field(default_factory=dict)
    severity: Severity = "warning"
    cooldown_seconds: Cooldown = 3600
    enabled: bool = True


class AlertRuleChange(StrictBody):
    """What to change; absent members stay as they are."""

    name: Name | None = None
    kind: Kind | None = None
    params: dict[str, Any] | None = None
    severity: Severity | None = None
    cooldown_seconds: Cooldown | None = None
    enabled: bool | None = None


class AlertRule(BaseModel):
    """A stored rule."""

    rule_id: UUID
    name: str
    kind: Kind
    params: dict[str, Any]
    severity: Severity
    cooldown_seconds: int
    enabled: bool
    problem: str | None = Field(description="Why the rule cannot be evaluated; null when it can.")
    created_at: datetime
    updated_at: datetime


class AlertRulePage(BaseModel):
    """Rules, oldest first."""

    items: list[AlertRule]
    next_cursor: str | None


@router.get("", responses={200: {"model": AlertRulePage}, **responses("bad-cursor", *_COMMON)})
async def list_rules(
    request: Request, caller: SignedIn, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE
) -> Response:
    """Your alert rules."""
    signer = services_of(request).cursors
    scope = (caller.subject, "alert-rules")
    after = signer.read(cursor, *scope) if cursor else [None, None]
    rows = await many(request, caller, alerts.RULES, *after, limit + 1)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = signer.sign([last["created_at"], last["rule_id"]], *scope)
    return json_response({"items": rows[:limit], "next_cursor": following})


@router.post(
    "",
    status_code=201,
    responses={201: {"model": AlertRule}, **responses(*_COMMON, *_BODY)},
    openapi_extra=body_schema(NewAlertRule),
)
async def create_rule(request: Request, caller: SignedIn) -> Response:
    """Store a rule; it is evaluated from the next event on."""
    body, _ = await parse(request, NewAlertRule)
    values = (
        body.name, body.kind, body.params, body.severity, body.cooldown_seconds, body.enabled,
    )  # fmt: skip
    row = (await write(request, caller, (alerts.INSERT_RULE, values)))[0][0]
    location = {"Location": f"/v1/alert-rules/{row['rule_id']}"}
    return json_response(row, status=201, tag=_tag(row), headers=location)


@router.get(
    "/{rule_id}",
    responses={
        200: {"model": AlertRule},
        304: {"description": "Not modified"},
        **responses("not-found", *_COMMON),
    },
)
async def rule(request: Request, caller: SignedIn, rule_id: Id) -> Response:
    """One of your rules."""
    row = await one(request, caller, alerts.RULE, rule_id)
    if row is None:
        raise Problem("not-found", _NONE)
    return not_modified(request, _tag(row), LATEST) or json_response(row, tag=_tag(row))


@router.patch(
    "/{rule_id}",
    responses={
        200: {"model": AlertRule},
        **responses("not-found", "precondition-failed", *_COMMON, *_BODY),
    },
    openapi_extra=body_schema(AlertRuleChange),
)
async def change_rule(
    request: Request, caller: SignedIn, rule_id: Id, if_match: IfMatch = None
) -> Response:
    """Change one of your rules."""
    body, _ = await parse(request, AlertRuleChange)
    before = await one(request, caller, alerts.RULE, rule_id)
    if before is None:
        raise Problem("not-found", _NONE)
    expected = expected_update(if_match, _tag(before), before["updated_at"])
    values = (
        rule_id, body.name, body.kind, body.params, body.severity, body.cooldown_seconds,
        body.enabled, expected,
    )  # fmt: skip
    rows = (await write(request, caller, (alerts.UPDATE_RULE, values)))[0]
    if not rows:
        raise Problem("precondition-failed", "the rule was changed or deleted meanwhile")
    return json_response(rows[0], tag=_tag(rows[0]))


@router.delete("/{rule_id}", status_code=204, responses=responses("not-found", *_COMMON))
async def delete_rule(request: Request, caller: SignedIn, rule_id: Id) -> Response:
    """Delete one of your rules with the alerts it raised."""
    rows = (await write(request, caller, (alerts.DELETE_RULE, (rule_id,))))[0]
    if not rows:
        raise Problem("not-found", _NONE)
    return Response(status_code=204)


def _tag(row: Row) -> str:
    return entity_tag(row["rule_id"].hex, row["updated_at"].isoformat(), row["problem"] or "")
