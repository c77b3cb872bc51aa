"""`If-Match` on writes: no update is lost between two editors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Header

from portfolio_platform.api.compression import plain_tag
from portfolio_platform.api.problems import Problem

IfMatch = Annotated[
    str | None,
    Header(max_length=500, description="ETag that the change is based on; 412 when outdated."),
]


def expected_update(if_match: str | None, tag: str, updated_at: datetime) -> datetime | None:
    """The `updated_at` a write must still find, or None when the client does not care.

    Raises
    ------
    Problem
        ``precondition-failed``: the client's tag is not the current one.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    held = {plain_tag(part.strip()) for part in if_match.split(",")}
    if tag not in held:
        raise Problem("precondition-failed", "your copy is not the stored one any more")
    return updated_at
