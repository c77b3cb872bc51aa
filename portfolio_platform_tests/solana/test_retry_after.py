"""``Retry-After`` in both its forms, and in none."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from portfolio_platform.solana.retry_after import retry_after

NOW = datetime(2026, 11, 28, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("0", 0.0),
        ("0.5", 0.5),
        ("86400", 120.0),
        ("Sat, 28 Nov 2026 12:00:30 GMT", 30.0),
        ("Sat, 28 Nov 2026 11:00:00 GMT", 0.0),
        ("Sun, 29 Nov 2026 12:00:00 GMT", 120.0),
        ("-1", None),
        ("nan", None),
        ("inf", None),
        ("soon", None),
        ("", None),
    ],
)
def test_seconds_dates_and_nonsense(header: str | None, seconds: float | None) -> None:
    assert retry_after(header, NOW) == seconds
