"""Lineage: what a version of any kind was computed from."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from portfolio_platform.api.auth import SignedIn
from portfolio_platform.api.conditional import LATEST, entity_tag, not_modified
from portfolio_platform.api.parameters import Id
from portfolio_platform.api.problems import Problem, responses
from portfolio_platform.api.queries import many, one
from portfolio_platform.api.representation import json_response
from portfolio_platform.store.reads import versions
from portfolio_platform.store.reads.session import Caller

router = APIRouter(prefix="/v1", tags=["lineage"])


class LineageNode(BaseModel):
    """One input, and the input or version that used it."""

    depth: int
    parent: str | None
    kind: str
    id: str
    sha256: str | None
    detail: dict[str, Any] | None


class Lineage(BaseModel):
    """Everything a version was computed from, down to files and account bytes."""

    version: UUID
    content_hash: str
    nodes: list[LineageNode]


_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {"model": Lineage},
    304: {"description": "Not modified"},
    **responses(
        "token-required", "role-refused", "not-found", "invalid", "rate-limited",
        "database-busy", "query-timeout",
    ),
}  # fmt: skip


@router.get("/weights/{version}/lineage", responses=_RESPONSES)
async def weights_lineage(request: Request, caller: SignedIn, version: Id) -> Response:
    """What weights were computed from, down to slots, accounts and the sha256 of their bytes."""
    return await _lineage(request, caller, version, only="weights")


@router.get("/versions/{version}/lineage", responses=_RESPONSES)
async def version_lineage(request: Request, caller: SignedIn, version: Id) -> Response:
    """What a version of any kind was computed from."""
    return await _lineage(request, caller, version, only=None)


async def _lineage(
    request: Request, caller: Caller, version: UUID, *, only: str | None
) -> Response:
    header = await one(request, caller, versions.HEADER, version)
    if header is None or only not in (None, header["kind"]):
        raise Problem("not-found", "there is no such version that you may read")
    tag = entity_tag(header["content_hash"], version, "lineage")
    unchanged = not_modified(request, tag, LATEST)
    if unchanged is not None:
        return unchanged
    nodes = await many(request, caller, versions.LINEAGE, version)
    body = {"version": version, "content_hash": header["content_hash"], "nodes": nodes}
    return json_response(body, tag=tag, cache_control=LATEST)
