"""Bars in the database: raw ones as they came, clean ones as they flow on.

Both tables are append-only with two clocks. Writing a bar that is already stored with the same
values adds nothing, so a daily refresh of two years of history costs the new bars only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import pandas as pd
from psycopg import Connection, sql
from psycopg.types.json import Jsonb

from portfolio_platform.store import bulk

INTERVALS = {
    "1m": timedelta(minutes=1),
    "1h": timedelta(hours=1),
    "1d": timedelta(days=1),
}
_VALUES = ("open", "high", "low", "close", "volume")


def save_batch(
    conn: Connection,
    *,
    source: str,
    locator: str,
    sha256: str,
    n_rows: int,
    report: Mapping[str, Any],
    run_id: str | None = None,
) -> UUID:
    """Record where a batch of bars came from; the same content of the same place is one batch."""
    row = conn.execute(
        """
        insert into public.source_batches (source, locator, sha256, n_rows, report, run_id)
        values (%s, %s, %s, %s, %s, %s)
        on conflict (source, locator, sha256) do update set n_rows = excluded.n_rows
        returning batch_id
        """,
        (source, locator, sha256, n_rows, Jsonb(dict(report)), run_id),
    ).fetchone()
    assert row is not None
    return row[0]


class OtherAsset(ValueError):
    """A series holds bars of one asset and is claimed for another."""


def save_series(
    conn: Connection,
    *,
    mint: str,
    venue: str,
    symbol: str,
    instrument: str,
    multiplier: float = 1.0,
    quote: str = "USD",
    listed_from: datetime | None = None,
    listed_to: datetime | None = None,
) -> int:
    """Find or create a series. Instruments are never merged: each has a series of its own.

    A series that was known as ``venue:SYMBOL`` takes the mint once it is known, and keeps it.

    Raises
    ------
    OtherAsset
        The series is another mint's: the ticker of one coin never passes to another.
    """
    row = conn.execute(
        """
        insert into public.bar_series
            (mint, venue, symbol, instrument, multiplier, quote, listed_from, listed_to)
        values (%s, %s, %s, %s, %s, %s, coalesce(%s, '-infinity'::timestamptz), %s)
        on conflict (venue, symbol, instrument, listed_from) do update
            set listed_to = coalesce(excluded.listed_to, bar_series.listed_to),
                mint = case when position(':' in bar_series.mint) > 0
                            then excluded.mint else bar_series.mint end
        returning series_id, mint
        """,
        (mint, venue, symbol, instrument, multiplier, quote, listed_from, listed_to),
    ).fetchone()
    assert row is not None
    if row[1] != mint and ":" not in mint:
        raise OtherAsset(
            f"{venue}:{symbol} ({instrument}) holds bars of {row[1]}, not of {mint}: give the "
            "other asset's bars a venue name of their own"
        )
    return int(row[0])


def series(conn: Connection) -> dict[int, dict[str, Any]]:
    """All series by id, each with its token's symbol as ``symbol_base``.

    A series that was never closed has ``listed_from`` None where it is open to the past.
    """
    with conn.cursor() as cursor:
        cursor.execute(
            """
            select s.series_id, s.mint, s.venue, s.symbol, s.instrument, s.multiplier, s.quote,
                   nullif(s.listed_from, '-infinity') as listed_from, s.listed_to,
                   t.symbol as symbol_base, t.is_stable, t.token_group
            from public.bar_series as s join public.tokens as t using (mint)
            """
        )
        names = [column.name for column in cursor.description or ()]
        rows = [dict(zip(names, row, strict=True)) for row in cursor]
    return {row["series_id"]: row for row in rows}


def _append(conn: Connection, table: str, bars: pd.DataFrame) -> int:
    """Append rows whose newest stored version differs (or that are new). Returns how many."""
    target = sql.Identifier("public", table)
    compared = [
        column
        for column in bars.columns
        if column not in ("series_id", "bar_interval", "observed_at", "batch_id")
    ]
    with bulk.staged(conn, f"public.{table}", bars) as (incoming, columns), conn.cursor() as cursor:
        cursor.execute(
            sql.SQL("select min(observed_at), max(observed_at) from {}").format(incoming)
        )
        span = cursor.fetchone()
        cursor.execute("select ops.ensure_months(%s, %s, %s)", (table, *(span or (None, None))))
        cursor.execute(
            sql.SQL(
                """
                insert into {target} ({names})
                select {given} from {incoming} as i
                left join (
                    select distinct on (t.series_id, t.bar_interval, t.observed_at) t.*
                    from {target} as t
                    where t.observed_at between %s and %s
                      and (t.series_id, t.bar_interval)
                          in (select k.series_id, k.bar_interval from {incoming} as k)
                    order by t.series_id, t.bar_interval, t.observed_at, t.recorded_at desc
                ) as n using (series_id, bar_interval, observed_at)
                where n.series_id is null or {values} is distinct from {stored}
                """
            ).format(
                target=target,
                incoming=incoming,
                names=sql.SQL(", ").join(map(sql.Identifier, columns)),
                given=sql.SQL(", ").join(sql.Identifier("i", column) for column in columns),
                values=sql.SQL("row({})").format(
                    sql.SQL(", ").join(sql.Identifier("i", column) for column in compared)
                ),
                stored=sql.SQL("row({})").format(
                    sql.SQL(", ").join(sql.Identifier("n", column) for column in compared)
                ),
            ),
            span,
        )
        return cursor.rowcount


def append_raw(
    conn: Connection, series_id: int, bar_interval: str, batch_id: UUID, bars: pd.DataFrame
) -> int:
    """Append raw bars.

    Parameters
    ----------
    bars : DataFrame
        Columns ``observed_at`` (open time), ``open, high, low, close, volume``.
    """
    rows = bars[["observed_at", *_VALUES]].assign(
        series_id=series_id, bar_interval=bar_interval, batch_id=str(batch_id)
    )
    return _append(conn, "price_bars", rows)


def append_clean(conn: Connection, bars: pd.DataFrame) -> int:
    """Append clean bars: the raw columns plus ``series_id, bar_interval, state, flags``."""
    columns = ["series_id", "bar_interval", "observed_at", *_VALUES, "state", "flags"]
    return _append(conn, "market_bars", bars[columns])


def _read(
    conn: Connection,
    table: str,
    extra: tuple[str, ...],
    bar_interval: str,
    as_of: datetime | None,
    since: datetime | None,
) -> pd.DataFrame:
    query = sql.SQL(
        """
        select distinct on (b.series_id, b.observed_at)
            b.series_id, s.mint, s.venue, s.symbol, s.instrument, s.multiplier, s.quote,
            b.bar_interval, b.observed_at, {values}
        from {table} as b join public.bar_series as s using (series_id)
        where b.bar_interval = %(interval)s
          and (%(as_of)s::timestamptz is null
               or (b.recorded_at <= %(as_of)s and b.observed_at + %(length)s <= %(as_of)s))
          and (%(since)s::timestamptz is null or b.observed_at >= %(since)s)
        order by b.series_id, b.observed_at, b.recorded_at desc
        """
    ).format(
        table=sql.Identifier("public", table),
        values=sql.SQL(", ").join(sql.Identifier("b", c) for c in (*_VALUES, *extra)),
    )
    with conn.cursor() as cursor:
        cursor.execute(
            query,
            {
                "interval": bar_interval,
                "as_of": as_of,
                "since": since,
                "length": INTERVALS[bar_interval],
            },
        )
        names = [column.name for column in cursor.description or ()]
        frame = pd.DataFrame(cursor.fetchall(), columns=names)
    frame["observed_at"] = pd.to_datetime(frame["observed_at"], utc=True).dt.tz_localize(None)
    for column in _VALUES:
        frame[column] = frame[column].astype(float)
    return frame


def read_raw(
    conn: Connection,
    bar_interval: str,
    as_of: datetime | None = None,
    since: datetime | None = None,
) -> pd.DataFrame:
    """Raw bars as known at `as_of`: recorded and closed by then, the newest version of each."""
    return _read(conn, "price_bars", ("batch_id",), bar_interval, as_of, since)


def read_clean(
    conn: Connection,
    bar_interval: str,
    as_of: datetime | None = None,
    since: datetime | None = None,
) -> pd.DataFrame:
    """Clean bars as known at `as_of`."""
    return _read(conn, "market_bars", ("state", "flags"), bar_interval, as_of, since)


def opens_within(
    conn: Connection, series_id: int, bar_interval: str, start: datetime, end: datetime
) -> set[datetime]:
    """Open times of the stored raw bars of a series in the half-open range [start, end)."""
    rows = conn.execute(
        "select distinct observed_at from public.price_bars "
        "where series_id = %s and bar_interval = %s and observed_at >= %s and observed_at < %s",
        (series_id, bar_interval, start, end),
    )
    return {row[0] for row in rows}


def last_observed(conn: Connection, series_id: int, bar_interval: str) -> datetime | None:
    """Open time of the newest stored raw bar of a series."""
    row = conn.execute(
        "select max(observed_at) from public.price_bars where series_id = %s and bar_interval = %s",
        (series_id, bar_interval),
    ).fetchone()
    return None if row is None else row[0]


class Close(NamedTuple):
    """The newest clean close of a series, in its quote per token."""

    series_id: int
    mint: str
    instrument: str
    quote: str
    observed_at: datetime
    close: float


def newest_closes(
    conn: Connection,
    bar_interval: str,
    now: datetime,
    max_intervals: int,
    as_of: datetime | None = None,
) -> list[Close]:
    """Newest clean close of each series that closed within `max_intervals` intervals before `now`.

    The newest version of each bar counts: one that was clean once and is flagged now is passed
    over for the bar before it.
    """
    length = INTERVALS[bar_interval]
    rows = conn.execute(
        """
        select distinct on (n.series_id)
            n.series_id, s.mint, s.instrument, s.quote, n.observed_at, n.close
        from (
            select distinct on (b.series_id, b.observed_at) b.*
            from public.market_bars as b
            where b.bar_interval = %(interval)s
              and b.observed_at between %(first)s and %(last)s
              and (%(as_of)s::timestamptz is null or b.recorded_at <= %(as_of)s)
            order by b.series_id, b.observed_at, b.recorded_at desc
        ) as n join public.bar_series as s using (series_id)
        where n.state = 'clean' and n.close is not null
        order by n.series_id, n.observed_at desc
        """,
        {
            "interval": bar_interval,
            "first": now - (max_intervals + 1) * length,
            "last": now - length,
            "as_of": as_of,
        },
    ).fetchall()
    return [Close(*row) for row in rows]


def batches_of(
    conn: Connection, series_ids: Iterable[int], bar_interval: str
) -> list[tuple[UUID, str]]:
    """Batches (id, sha256) that the bars of these series and interval came from."""
    return conn.execute(
        """
        select batch_id, sha256 from public.source_batches
        where batch_id in (select distinct batch_id from public.price_bars
                           where series_id = any (%s) and bar_interval = %s)
        order by batch_id
        """,
        (sorted(series_ids), bar_interval),
    ).fetchall()
