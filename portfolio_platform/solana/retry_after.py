"""``Retry-After`` of HTTP answers: how long a service wants to be left alone."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import isfinite

#: No service is left alone for longer, whatever it asks for.
LONGEST_SECONDS = 120.0


def retry_after(header: str | None, now: datetime) -> float | None:
    """Seconds to wait, at most `LONGEST_SECONDS`; None where the header says nothing.

    Parameters
    ----------
    header : str or None
        Seconds, or a date (RFC 9110, 10.2.3); a date that has passed is no wait at all.
    now : datetime
        The present, with its zone.
    """
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            until = parsedate_to_datetime(header)
        except ValueError:
            return None
        if until.tzinfo is None:
            until = until.replace(tzinfo=UTC)
        seconds = max((until - now).total_seconds(), 0.0)
    return min(seconds, LONGEST_SECONDS) if isfinite(seconds) and seconds >= 0 else None
