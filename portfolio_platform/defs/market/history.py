"""Bringing bars in: files that a user has, and the history service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
from psycopg import Connection

from portfolio_platform.market.bar_file import read_bars
from portfolio_platform.market.series import BarSeries, Instrument
from portfolio_platform.store import bars as bar_store
from portfolio_platform.store.ingest import register_token


class UnsupportedBars(ValueError):
    """Bars of an interval that the platform does not keep."""


def series_of(conn: Connection, instrument: Instrument) -> int:
    """The stored series of an instrument; its token is registered where it is unknown."""
    mint = instrument.asset
    register_token(conn, mint, instrument.base)
    return bar_store.save_series(
        conn,
        mint=mint,
        venue=instrument.venue,
        symbol=instrument.symbol,
        instrument=str(instrument.kind),
        multiplier=float(instrument.multiplier),
        quote=instrument.quote,
        listed_from=instrument.listed_from,
        listed_to=instrument.listed_to,
    )


def raw_frame(series: BarSeries) -> pd.DataFrame:
    """A bar series as rows of the raw bar table (as quoted; times aware UTC)."""
    frame = series.to_frame().rename(columns={"opened_at": "observed_at"})
    frame["observed_at"] = frame["observed_at"].dt.tz_localize("UTC")
    return frame


def mints_by_symbol(conn: Connection) -> dict[str, str]:
    """Mint of each known token by its symbol, where exactly one token has it."""
    rows = conn.execute(
        "select upper(symbol), min(mint) from public.tokens where position(':' in mint) = 0 "
        "group by 1 having count(*) = 1"
    ).fetchall()
    return dict(rows)


def import_file(
    conn: Connection,
    file: Path,
    *,
    venue: str,
    instrument: str,
    interval: str | None = None,
    symbol: str | None = None,
    symbols: Sequence[str] | None = None,
    mints: Mapping[str, str] | None = None,
    named: Iterable[str] = (),
    run_id: str | None = None,
) -> dict[str, Any]:
    """Import a bar file; the report accounts for every row.

    Parameters
    ----------
    symbols : sequence of str, optional
        Import only these of the file.
    mints : mapping, optional
        Symbol or base asset to mint. A ticker is not an asset: without an entry here the series
        keeps the identity ``venue:SYMBOL``.
    named : iterable of str, optional
        Those of `mints` that must be in the file: a slip of the pen would go unnoticed.
    """
    read = read_bars(
        file,
        venue,
        instrument,
        symbol=symbol,
        interval=interval,
        mints=mints,
        closed_by=datetime.now(UTC),
    )
    if read.interval not in bar_store.INTERVALS:
        raise UnsupportedBars(
            f"{file.name} holds {read.interval} bars; the platform keeps "
            f"{', '.join(bar_store.INTERVALS)}: resample the file first"
        )
    wanted = None if symbols is None else set(symbols)
    if wanted is not None and (unknown := wanted - {i.symbol for i in read.series}):
        raise UnsupportedBars(f"{file.name} has no bars of {', '.join(sorted(unknown))}")
    spelled = {name for one in read.series for name in (one.symbol, one.base)}
    if strange := set(named) - spelled:
        raise UnsupportedBars(
            f"{file.name} has no bars of {', '.join(sorted(strange))}, for which a mint is given"
        )
    report = read.report.to_json()
    batch = bar_store.save_batch(
        conn,
        source="file",
        locator=file.name,
        sha256=read.sha256,
        n_rows=read.report.rows,
        report=report,
        run_id=run_id,
    )
    written = 0
    for one, series in read.series.items():
        if wanted is None or one.symbol in wanted:
            written += bar_store.append_raw(
                conn, series_of(conn, one), read.interval, batch, raw_frame(series)
            )
    return {**report, "written": written, "batch_id": str(batch)}


def instrument_of(row: Mapping[str, Any]) -> Instrument:
    """Instrument of a stored series."""
    listed_from = row["listed_from"]
    return Instrument(
        venue=row["venue"],
        symbol=row["symbol"],
        kind=row["instrument"],
        base=row["symbol_base"],
        quote=row["quote"],
        multiplier=int(row["multiplier"]),
        listed_from=None if listed_from is None else listed_from,
        listed_to=row["listed_to"],
        mint=row["mint"],
    )


def raw_series(
    conn: Connection, intervals: Iterable[str], as_of: datetime | None
) -> list[tuple[int, BarSeries]]:
    """All raw series known at `as_of`, with their ids."""
    stored = bar_store.series(conn)
    found = []
    for interval in intervals:
        frame = bar_store.read_raw(conn, interval, as_of)
        for key, rows in frame.groupby("series_id", sort=True):
            series_id = int(str(key))
            instrument = instrument_of(stored[series_id])
            renamed = rows.rename(columns={"observed_at": "opened_at"})
            found.append((series_id, BarSeries.from_frame(instrument, interval, renamed)))
    return found
