"""Bars of whole days from the history service: only those that are not stored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from psycopg import Connection

from portfolio_platform.defs.market.service_history import (
    INTERVALS,
    ServiceSeries,
    Span,
    TokenHistory,
    land_bars,
    open_client,
    service_series,
)
from portfolio_platform.settings import Settings
from portfolio_platform.solana.udf import Interval
from portfolio_platform.store import bars as bar_store


def missing_spans(
    conn: Connection, series: ServiceSeries, interval: Interval, start: datetime, end: datetime
) -> Iterator[Span]:
    """Runs of bar opens in [start, end) that are not stored, oldest first."""
    step = bar_store.INTERVALS[interval]
    known = bar_store.opens_within(conn, series.series_id, interval, start, end)
    first: datetime | None = None
    at = start
    while at < end:
        if at in known:
            if first is not None:
                yield Span(first, at - step)
            first = None
        elif first is None:
            first = at
        at += step
    if first is not None:
        yield Span(first, end - timedelta(seconds=1))


def fill_history(
    conn: Connection,
    settings: Settings,
    start: datetime,
    end: datetime,
    now: datetime,
    run_id: str | None = None,
    intervals: Sequence[Interval] = INTERVALS,
) -> list[TokenHistory]:
    """Fill [start, end) for every token; a run that was cut off goes on where it was.

    Pages are committed one by one and only what is missing is asked for, so that filling the same
    time twice costs nothing. A token whose history cannot be had does not stop the others.
    """
    known, found = service_series(conn, settings)
    with open_client(settings) as client:
        for series in known:
            for interval in intervals:
                spans = list(missing_spans(conn, series, interval, start, min(end, now)))
                found.append(
                    land_bars(conn, client, settings, series, interval, spans, now, run_id)
                )
    return found
