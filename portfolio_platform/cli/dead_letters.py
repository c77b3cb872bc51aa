"""`portfolio-platform dead-letters`: what was set aside, and another chance for it."""

from __future__ import annotations

from typing import Any

from portfolio_platform.settings import Settings
from portfolio_platform.store import dead_letters
from portfolio_platform.store.database import connect
from portfolio_platform.store.dead_letters import StoredLetter


def run_dead_letters(
    settings: Settings, *, replay: int | None = None, consumer: str | None = None
) -> list[dict[str, Any]]:
    """The pending dead letters, or the one that was replayed."""
    with connect(settings.resolve_database_url()) as conn:
        if replay is not None:
            return [_shown(dead_letters.replay(conn, replay)) | {"replayed": True}]
        return [_shown(letter) for letter in dead_letters.pending(conn, consumer)]


def _shown(letter: StoredLetter) -> dict[str, Any]:
    event = letter.event
    return {
        "id": letter.id,
        "consumer": letter.consumer,
        "table": event.table,
        "operation": event.operation,
        "keys": None if event.keys is None else [str(key) for key in event.keys],
        "at": event.at.isoformat(),
        "reason": letter.reason,
        "set_aside_at": letter.recorded_at.isoformat(),
    }
