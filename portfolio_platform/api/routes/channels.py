"""Where the caller is notified of alerts; addresses go in sealed and do not come out again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field, StringConstraints

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.bodies import StrictBody, body_schema, parse
from portfolio_platform.api.conditional import LATEST, NO_STORE, entity_tag, not_modified
from portfolio_platform.api.parameters import DEFAULT_PAGE, Cursor, Id, Limit
from portfolio_platform.api.preconditions import IfMatch, expected_update
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many, one, write
from portfolio_platform.api.representation import json_response
from portfolio_platform.api.routes.alert_rules import Name, Severity
from portfolio_platform.api.services import services_of
from portfolio_platform.store.channels import (
    ADDRESS_PATTERN,
    MAX_ADDRESS,
    BadChannel,
    Sealed,
    sealed,
)
from portfolio_platform.store.reads import channels
from portfolio_platform.store.reads.exchange import Call, Row

router = APIRouter(prefix="/v1/channels", tags=["alerts"])

Address = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=MAX_ADDRESS,
        pattern=ADDRESS_PATTERN,
    ),
    Field(
        description="`https://…`: a webhook, signed after Standard Webhooks; anything else: an "
        "apprise address such as `mailto://…`, `slack://…`, `tgram://…`."
    ),
]
_COMMON = ("token-required", "role-refused", "invalid", "rate-limited", "database-busy")
_BODY = ("bad-request", "body-too-large", "unsupported-media-type", "conflict", "forbidden")
_NONE = "there is no such channel of yours"


class NewChannel(StrictBody):
    """A channel to store."""

    name: Name
    address: Address
    min_severity: Severity = "info"
    enabled: bool = True


class ChannelChange(StrictBody):
    """What to change; absent members stay as they are. A new address gets a new signing secret."""

    name: Name | None = None
    address: Address | None = None
    min_severity: Severity | None = None
    enabled: bool | None = None


class Channel(BaseModel):
    """A stored channel."""

    channel_id: UUID
    name: str
    kind: Literal["webhook", "apprise"]
    hint: str = Field(description="What may be shown of the address: host or service.")
    min_severity: Severity
    enabled: bool
    created_at: datetime
    updated_at: datetime


class WrittenChannel(Channel):
    """A channel as it was just written."""

    signing_secret: str | None = Field(
        description="Of a new webhook address: verifies its deliveries, and is shown only here."
    )


class ChannelPage(BaseModel):
    """Channels, oldest first."""

    items: list[Channel]
    next_cursor: str | None


@router.get("", responses={200: {"model": ChannelPage}, **responses("bad-cursor", *_COMMON)})
async def list_channels(
    request: Request, caller: SignedIn, cursor: Cursor = None, limit: Limit = DEFAULT_PAGE
) -> Response:
    """Your channels."""
    signer = services_of(request).cursors
    scope = (caller.subject, "channels")
    after = signer.read(cursor, *scope) if cursor else [None, None]
    rows = await many(request, caller, channels.PAGE, *after, limit + 1)
    following = None
    if len(rows) > limit:
        last = rows[limit - 1]
        following = signer.sign([last["created_at"], last["channel_id"]], *scope)
    return json_response({"items": rows[:limit], "next_cursor": following})


@router.post(
    "",
    status_code=201,
    responses={201: {"model": WrittenChannel}, **responses("not-offered", *_COMMON, *_BODY)},
    openapi_extra=body_schema(NewChannel),
)
async def create_channel(request: Request, caller: SignedIn) -> Response:
    """Store a channel; alerts raised from now on are sent there."""
    body, _ = await parse(request, NewChannel)
    target = _seal(request, body.address)
    values = (
        body.name, target.kind, target.secret, target.hint, body.min_severity, body.enabled,
    )  # fmt: skip
    row = (await write(request, caller, (channels.INSERT, values)))[0][0]
    return _written(row, target, 201, {"Location": f"/v1/channels/{row['channel_id']}"})


@router.get(
    "/{channel_id}",
    responses={
        200: {"model": Channel},
        304: {"description": "Not modified"},
        **responses("not-found", *_COMMON),
    },
)
async def channel(request: Request, caller: SignedIn, channel_id: Id) -> Response:
    """One of your channels."""
    row = await one(request, caller, channels.ONE, channel_id)
    if row is None:
        raise Problem("not-found", _NONE)
    return not_modified(request, _tag(row), LATEST) or json_response(row, tag=_tag(row))


@router.patch(
    "/{channel_id}",
    responses={
        200: {"model": WrittenChannel},
        **responses("not-found", "precondition-failed", "not-offered", *_COMMON, *_BODY),
    },
    openapi_extra=body_schema(ChannelChange),
)
async def change_channel(
    request: Request, caller: SignedIn, channel_id: Id, if_match: IfMatch = None
) -> Response:
    """Change one of your channels."""
    body, _ = await parse(request, ChannelChange)
    before = await one(request, caller, channels.ONE, channel_id)
    if before is None:
        raise Problem("not-found", _NONE)
    expected = expected_update(if_match, _tag(before), before["updated_at"])
    target = None if body.address is None else _seal(request, body.address)
    values = (channel_id, body.name, body.min_severity, body.enabled, expected)
    if target is None:
        call: Call = (channels.UPDATE, values)
    else:
        call = (channels.MOVE, (*values, target.kind, target.secret, target.hint))
    rows = (await write(request, caller, call))[0]
    if not rows:
        raise Problem("precondition-failed", "the channel was changed or deleted meanwhile")
    return _written(rows[0], target, 200, {})


@router.delete("/{channel_id}", status_code=204, responses=responses("not-found", *_COMMON))
async def delete_channel(request: Request, caller: SignedIn, channel_id: Id) -> Response:
    """Delete one of your channels; what was not sent yet is not sent any more."""
    rows = (await write(request, caller, (channels.DELETE, (channel_id,))))[0]
    if not rows:
        raise Problem("not-found", _NONE)
    return Response(status_code=204)


def _seal(request: Request, address: str) -> Sealed:
    cipher = services_of(request).cipher
    if cipher is None:
        raise Problem("not-offered", "this installation has no key to seal addresses with")
    try:
        return sealed(cipher, address)
    except BadChannel as error:
        refusal = {"loc": ["body", "address"], "msg": str(error), "type": "address"}
        raise Problem("invalid", "the address cannot be used", errors=[refusal]) from error


def _written(row: Row, target: Sealed | None, status: int, headers: dict[str, str]) -> Response:
    shown = {**row, "signing_secret": target.signing_secret if target else None}
    # The only answer that holds a secret: no cache keeps it.
    return json_response(
        shown, status=status, tag=_tag(row), cache_control=NO_STORE, headers=headers
    )


def _tag(row: Row) -> str:
    return entity_tag(row["channel_id"].hex, row["updated_at"].isoformat())
