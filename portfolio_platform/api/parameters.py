"""Query and path parameters that routes share."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

from fastapi import Path, Query
from pydantic import AwareDatetime, BeforeValidator

from portfolio_platform.api.conditional import IMMUTABLE, LATEST, NO_STORE
from portfolio_platform.api.problems import Problem
from portfolio_platform.api.settings import ApiSettings

_RFC3339 = re.compile(r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)$")
_SKEW = timedelta(seconds=2)

MINT_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9:._-]{0,99}$"
WALLET_PATTERN = r"^[1-9A-HJ-NP-Za-km-z]{32,44}$"
SLUG_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,62}$"
KEY_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$"


def _instant(value: object) -> object:
    if isinstance(value, str) and not _RFC3339.match(value):
        raise ValueError("an RFC 3339 instant is needed, such as 2026-01-31T12:00:00Z")
    return value


Instant = Annotated[AwareDatetime, BeforeValidator(_instant)]

AsOf = Annotated[
    Instant | None,
    Query(description="Answer with what the database had learnt by this RFC 3339 instant."),
]
Fields = Annotated[
    str | None,
    Query(
        max_length=500,
        pattern=r"^[a-z0-9_]+(,[a-z0-9_]+)*$",
        description="Comma-separated top-level fields to return; all when absent.",
    ),
]
Cursor = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=1024,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="`next_cursor` of the page before.",
    ),
]
Mint = Annotated[
    str, Path(pattern=MINT_PATTERN, description="Mint, or `venue:SYMBOL` where there is none.")
]
Id = Annotated[UUID, Path(description="UUID.")]
StrategyKey = Annotated[
    str | None,
    Query(
        pattern=KEY_PATTERN,
        description="Slug or id. When absent, `default_strategy` of your settings.",
    ),
]


def page_limit(asked: int | None, settings: ApiSettings, default: int = 50) -> int:
    """Rows on a page.

    Raises
    ------
    Problem
        More than the configured maximum was asked for.
    """
    if asked is None:
        return min(default, settings.max_page)
    if asked > settings.max_page:
        raise Problem(
            "invalid",
            f"limit may be at most {settings.max_page}",
            errors=[{"loc": ["query", "limit"], "msg": f"at most {settings.max_page}"}],
        )
    return asked


Limit = Annotated[int | None, Query(ge=1, le=10_000, description="Rows on a page.")]


def as_uuid(key: str) -> UUID | None:
    """The UUID that `key` spells, or None."""
    try:
        return UUID(key)
    except ValueError:
        return None


def cache_for(as_of: datetime | None, settings: ApiSettings) -> str:
    """Cache-Control of an answer about `as_of`.

    Raises
    ------
    Problem
        ``as-of-in-future``: the answer could still change.
    """
    if as_of is None:
        return LATEST
    now = datetime.now(UTC)
    if as_of > now + _SKEW:
        raise Problem("as-of-in-future", f"the server's clock says {now.isoformat()}")
    settled = as_of <= now - timedelta(seconds=settings.settle_seconds)
    return IMMUTABLE if settled else NO_STORE


def selected(fields: str | None, allowed: Sequence[str]) -> list[str] | None:
    """The fields asked for, or None for all.

    Raises
    ------
    Problem
        ``invalid``: a field that this resource does not have.
    """
    if fields is None:
        return None
    names = fields.split(",")
    unknown = sorted(set(names) - set(allowed))
    if unknown:
        raise Problem(
            "invalid",
            f"unknown fields: {', '.join(unknown)}; there are {', '.join(allowed)}",
            errors=[{"loc": ["query", "fields"], "msg": f"unknown field {unknown[0]}"}],
        )
    return names
