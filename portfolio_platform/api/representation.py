"""From rows to bytes: JSON that round-trips, staleness that is visible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import orjson
from starlette.responses import Response

from portfolio_platform.api.conditional import LATEST, VARY

_OPTIONS = orjson.OPT_UTC_Z


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(type(value).__name__)


def dumps(body: Any) -> bytes:
    """Compact JSON: shortest floats that round-trip, UTC times with ``Z``."""
    return orjson.dumps(body, default=_plain, option=_OPTIONS)


def json_response(
    body: Any,
    *,
    tag: str | None = None,
    cache_control: str = LATEST,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A JSON response with its caching headers."""
    response = Response(dumps(body), status_code=status, media_type="application/json")
    response.headers["Cache-Control"] = cache_control
    response.headers["Vary"] = VARY
    if tag is not None:
        response.headers["ETag"] = tag
    if headers:
        response.headers.update(headers)
    return response


def pick(body: Mapping[str, Any], fields: Sequence[str] | None) -> Mapping[str, Any]:
    """The selected fields of a body, or all of it."""
    return body if fields is None else {name: body[name] for name in fields if name in body}


def staleness(data_as_of: datetime, stale_after: float) -> tuple[float, bool]:
    """Age in seconds of the data behind an answer, and whether that is too old."""
    age = round((datetime.now(UTC) - data_as_of).total_seconds(), 3)
    return age, age > stale_after
