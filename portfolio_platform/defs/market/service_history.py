"""Bars from the history service: only what is not stored yet, page by page."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

import pandas as pd
from psycopg import Connection

from portfolio_platform.settings import Settings
from portfolio_platform.solana.udf import BarPage, Interval, UdfClient, UdfError
from portfolio_platform.store import bars as bar_store

INTERVALS: tuple[Interval, ...] = ("1d", "1h")


class MixedServices(ValueError):
    """A series holds bars of another history service; two services are never one series."""


@dataclass(frozen=True)
class TokenHistory:
    """What the service gave for one token and interval; nothing `asked` is nothing missing."""

    symbol: str
    interval: str
    received: int
    written: int
    error: str | None = None
    asked: int = 0


@dataclass(frozen=True)
class ServiceSeries:
    """A token's series at the history service."""

    symbol: str
    history_symbol: str
    series_id: int


@dataclass(frozen=True)
class Span:
    """A range of bar opens, both ends inclusive."""

    start: datetime
    end: datetime


def page_frame(page: BarPage) -> pd.DataFrame:
    """A page as rows of the raw bar table."""
    return pd.DataFrame(
        {
            "observed_at": pd.DatetimeIndex(page.opened_at).tz_localize("UTC"),
            "open": page.open,
            "high": page.high,
            "low": page.low,
            "close": page.close,
            "volume": page.volume,
        }
    )


def _digest(page: BarPage) -> str:
    digest = hashlib.sha256()
    for column in (page.opened_at, page.open, page.high, page.low, page.close, page.volume):
        digest.update(column.tobytes())
    return digest.hexdigest()


def service_of(base_url: str) -> str:
    """Name of a history service: its host, or `local`, whose port is another one each time."""
    host = urlsplit(base_url).hostname or ""
    try:
        return "local" if ip_address(host).is_loopback else host
    except ValueError:
        return "local" if host == "localhost" else host


def open_client(settings: Settings) -> UdfClient:
    """The configured history service, with its limits."""
    key = settings.history_api_key.get_secret_value() if settings.history_api_key else None
    return UdfClient(
        settings.resolve_history_url(),
        key,
        symbol_prefix=settings.history_symbol_prefix,
        requests=settings.history_requests_per_10s,
    )


def service_series(
    conn: Connection, settings: Settings
) -> tuple[list[ServiceSeries], list[TokenHistory]]:
    """The series of every token that the service knows by a symbol, and what has none.

    Two tokens with one history symbol are one too many: the second is refused by name.
    """
    tokens = conn.execute(
        "select mint, symbol, history_symbol from public.tokens where history_symbol is not null "
        "order by mint"
    ).fetchall()
    series, refused = [], []
    for mint, symbol, history_symbol in tokens:
        try:
            series_id = bar_store.save_series(
                conn,
                mint=mint,
                venue=settings.history_venue,
                symbol=history_symbol,
                instrument=settings.history_instrument,
            )
        except bar_store.OtherAsset as error:
            refused.append(TokenHistory(symbol, "-", 0, 0, str(error)))
        else:
            series.append(ServiceSeries(symbol, history_symbol, series_id))
    return series, refused


def _refuse_other_service(conn: Connection, series: ServiceSeries, service: str) -> None:
    other = conn.execute(
        "select report ->> 'service' from public.source_batches "
        "where source = 'udf' and report ->> 'series' = %s and report ->> 'service' <> %s limit 1",
        (str(series.series_id), service),
    ).fetchone()
    if other is not None:
        raise MixedServices(
            f"{series.history_symbol} holds bars of {other[0]}, this service is {service}; set "
            "PORTFOLIO_HISTORY_VENUE to a name of its own"
        )


def land_bars(
    conn: Connection,
    client: UdfClient,
    settings: Settings,
    series: ServiceSeries,
    interval: Interval,
    spans: Sequence[Span],
    now: datetime,
    run_id: str | None,
) -> TokenHistory:
    """Bring a series' bars of some spans; each page is committed before the next is asked for.

    What goes wrong is in the answer: the other series are not concerned by it.
    """
    base = settings.resolve_history_url()
    service = service_of(base)
    place = urlsplit(base).path.strip("/") or "history"
    received = written = 0
    error = None
    try:
        _refuse_other_service(conn, series, service)
        for page in _pages(client, series, interval, spans, now):
            batch = bar_store.save_batch(
                conn,
                source="udf",
                locator=f"{place} {series.history_symbol} {interval}",
                sha256=_digest(page),
                n_rows=len(page),
                report={
                    "unfinished": page.unfinished,
                    "service": service,
                    "series": str(series.series_id),
                },
                run_id=run_id,
            )
            written += bar_store.append_raw(
                conn, series.series_id, interval, batch, page_frame(page)
            )
            received += len(page)
            conn.commit()
    except (UdfError, MixedServices) as failure:
        error = str(failure)
    return TokenHistory(series.symbol, interval, received, written, error, len(spans))


def _pages(
    client: UdfClient,
    series: ServiceSeries,
    interval: Interval,
    spans: Sequence[Span],
    now: datetime,
) -> Iterator[BarPage]:
    for span in spans:
        yield from client.pages(series.history_symbol, interval, span.start, span.end, now=now)


def fetch_history(
    conn: Connection, settings: Settings, now: datetime, run_id: str | None = None
) -> list[TokenHistory]:
    """Bring every token's bars up to `now`; only what is newer than the stored ones is asked for.

    A token whose history cannot be had is reported and does not stop the others.

    Parameters
    ----------
    now : datetime
        Time of the chain: a bar that has not closed by then is not stored.
    """
    known, found = service_series(conn, settings)
    with open_client(settings) as client:
        for series in known:
            for interval in INTERVALS:
                days = (
                    settings.history_days_daily
                    if interval == "1d"
                    else settings.history_days_hourly
                )
                if days == 0:
                    continue
                start = bar_store.last_observed(conn, series.series_id, interval) or (
                    now - timedelta(days=days)
                )
                found.append(
                    land_bars(
                        conn, client, settings, series, interval, [Span(start, now)], now, run_id
                    )
                )
    return found
