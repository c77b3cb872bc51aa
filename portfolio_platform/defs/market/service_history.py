"""Bars from the history service: only what is not stored yet, page by page."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import pandas as pd
from psycopg import Connection

from portfolio_platform.settings import Settings
from portfolio_platform.solana.udf import BarPage, Interval, UdfClient, UdfError
from portfolio_platform.store import bars as bar_store

INTERVALS: tuple[Interval, ...] = ("1d", "1h")


@dataclass(frozen=True)
class TokenHistory:
    """What the service gave for one token and interval."""

    symbol: str
    interval: str
    received: int
    written: int
    error: str | None = None


def _frame(page: BarPage) -> pd.DataFrame:
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


def fetch_history(
    conn: Connection, settings: Settings, now: datetime, run_id: str | None = None
) -> list[TokenHistory]:
    """Bring every token's bars up to `now`; each page is committed before the next is asked for.

    A token whose history cannot be had is reported and does not stop the others.

    Parameters
    ----------
    now : datetime
        Time of the chain: a bar that has not closed by then is not stored.
    """
    base = settings.resolve_history_url()
    key = settings.history_api_key.get_secret_value() if settings.history_api_key else None
    place = urlsplit(base).path.strip("/") or "history"
    found = []
    tokens = conn.execute(
        "select mint, symbol, history_symbol from public.tokens where history_symbol is not null "
        "order by mint"
    ).fetchall()
    with UdfClient(
        base,
        key,
        symbol_prefix=settings.history_symbol_prefix,
        requests=settings.history_requests_per_10s,
    ) as client:
        for mint, symbol, history_symbol in tokens:
            series_id = bar_store.save_series(
                conn, mint=mint, venue="udf", symbol=history_symbol, instrument="oracle"
            )
            for interval in INTERVALS:
                days = (
                    settings.history_days_daily
                    if interval == "1d"
                    else settings.history_days_hourly
                )
                if days == 0:
                    continue
                start = bar_store.last_observed(conn, series_id, interval) or (
                    now - timedelta(days=days)
                )
                received = written = 0
                error = None
                try:
                    for page in client.pages(history_symbol, interval, start, now, now=now):
                        batch = bar_store.save_batch(
                            conn,
                            source="udf",
                            locator=f"{place} {history_symbol} {interval}",
                            sha256=_digest(page),
                            n_rows=len(page),
                            report={"unfinished": page.unfinished},
                            run_id=run_id,
                        )
                        written += bar_store.append_raw(
                            conn, series_id, interval, batch, _frame(page)
                        )
                        received += len(page)
                        conn.commit()
                except UdfError as failure:
                    error = str(failure)
                found.append(TokenHistory(symbol, interval, received, written, error))
    return found
