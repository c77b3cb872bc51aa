"""Lag of the change feed's consumers in the Prometheus text format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

_BY_CONSUMER = {
    "events": ("lag_events", "Events that the consumer has not passed yet."),
    "seconds": ("lag_seconds", "Age of the oldest of them."),
    "dead_letters": ("dead_letters", "Events set aside and not replayed."),
}
_OF_ALL = {
    "held_events": "Events that an open transaction somewhere in the cluster holds back.",
    "held_seconds": "Age of the oldest of them.",
}


def exposition(rows: Iterable[Mapping[str, Any]]) -> str:
    """Measures of the feed.

    Parameters
    ----------
    rows : iterable of mappings
        Of the SQL function ``public.consumer_lag()``, one per consumer.
    """
    listed = list(rows)
    lines: list[str] = []
    for column, (name, meaning) in _BY_CONSUMER.items():
        metric = f"portfolio_feed_{name}"
        lines += [f"# HELP {metric} {meaning}", f"# TYPE {metric} gauge"]
        lines += [f'{metric}{{consumer="{row["consumer"]}"}} {row[column]}' for row in listed]
    for column, meaning in _OF_ALL.items():
        metric = f"portfolio_feed_{column}"
        lines += [f"# HELP {metric} {meaning}", f"# TYPE {metric} gauge"]
        # The same for every consumer; nothing is read where there is none.
        lines.append(f"{metric} {max((row[column] for row in listed), default=0)}")
    return "\n".join(lines) + "\n"
