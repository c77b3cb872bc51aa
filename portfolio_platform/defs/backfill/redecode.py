"""Stored bytes through the present decoders, fetch by fetch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from psycopg import Connection

from portfolio_platform.defs.solana.facts import land_facts
from portfolio_platform.defs.solana.stored import NoSnapshot, stored_snapshot
from portfolio_platform.settings import Settings
from portfolio_platform.store import ingest


@dataclass
class Redecoded:
    """How many fetches were decoded again, and how many rows of each table that gave.

    ``without_bytes`` are fetches of which some bytes are no longer kept.
    """

    fetches: int = 0
    without_bytes: int = 0
    written: Counter[str] = field(default_factory=Counter)


def redecode_days(
    conn: Connection,
    settings: Settings,
    start: datetime,
    end: datetime,
    warn: Callable[[str], object] = lambda text: None,
) -> Redecoded:
    """Decode every fetch observed in [start, end) again; each is committed by itself."""
    done = Redecoded()
    for fetch_id, whole in ingest.fetches_within(conn, start, end):
        try:
            written = land_facts(
                conn, stored_snapshot(conn, fetch_id=fetch_id), settings, prices=whole
            )
        except NoSnapshot as error:
            conn.rollback()
            done.without_bytes += 1
            warn(str(error))
            continue
        conn.commit()
        done.fetches += 1
        done.written.update(written)
    return done
