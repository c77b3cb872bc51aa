"""Settings of the caller."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.bodies import StrictBody, body_schema, check_spec, parse
from portfolio_platform.api.problems import responses
from portfolio_platform.api.queries import one, write
from portfolio_platform.api.representation import json_response
from portfolio_platform.store.reads import settings

router = APIRouter(prefix="/v1/settings", tags=["settings"])

_COMMON = ("token-required", "role-refused", "rate-limited", "database-busy")


class NewSettings(StrictBody):
    """All settings; what is absent is unset."""

    settings: dict[str, Any]


class UserSettings(BaseModel):
    """Stored settings; `updated_at` is null while nothing is stored."""

    settings: dict[str, Any]
    updated_at: datetime | None


@router.get("", responses={200: {"model": UserSettings}, **responses(*_COMMON)})
async def read_settings(request: Request, caller: SignedIn) -> Response:
    """Your settings."""
    row = await one(request, caller, settings.READ)
    return json_response(row or {"settings": {}, "updated_at": None})


@router.put(
    "",
    responses={
        200: {"model": UserSettings},
        **responses(
            "bad-request", "body-too-large", "unsupported-media-type", "invalid", "forbidden",
            "conflict", *_COMMON,
        ),
    },
    openapi_extra=body_schema(NewSettings),
)  # fmt: skip
async def replace_settings(request: Request, caller: SignedIn) -> Response:
    """Replace your settings; they are checked against /schemas/settings.json."""
    body, _ = await parse(request, NewSettings)
    check_spec("settings", body.settings, "settings")
    rows = await write(request, caller, (settings.REPLACE, (body.settings,)))
    return json_response(rows[0][0])
