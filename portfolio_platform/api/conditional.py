"""Entity tags and `If-None-Match`, decided from a small header row before the heavy read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from portfolio_platform.api.compression import plain_tag

LATEST = "private, max-age=0, must-revalidate"
IMMUTABLE = "private, max-age=31536000, immutable"
NO_STORE = "no-store"
VARY = "Authorization, Accept, Accept-Encoding"


def entity_tag(content_hash: str, *parts: object) -> str:
    """Strong tag: the content hash, then a digest of what else shapes the representation."""
    shaped = "\x1f".join(str(part) for part in parts)
    return f'"{content_hash[:32]}.{hashlib.sha256(shaped.encode()).hexdigest()[:16]}"'


def fields_part(fields: Sequence[str] | None) -> str:
    """The part of a tag that a field selection contributes."""
    return ",".join(sorted(fields)) if fields else "*"


def not_modified(request: Request, tag: str, cache_control: str) -> Response | None:
    """A 304 when the client already holds `tag`, else None."""
    held = request.headers.get("if-none-match")
    if held is None:
        return None
    for candidate in held.split(","):
        candidate = candidate.strip()
        if candidate == "*":
            return _unchanged(tag, cache_control)
        if plain_tag(candidate.removeprefix("W/")) == tag:
            return _unchanged(candidate.removeprefix("W/"), cache_control)
    return None


def _unchanged(tag: str, cache_control: str) -> Response:
    return Response(
        status_code=304, headers={"ETag": tag, "Cache-Control": cache_control, "Vary": VARY}
    )
