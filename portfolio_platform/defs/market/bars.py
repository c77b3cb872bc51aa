"""Raw bars to clean bars, and clean bars to the panel that decisions are made on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
from psycopg import Connection

from portfolio_platform.defs.market.history import instrument_of, raw_series, series_of
from portfolio_platform.market.clean_series import CleanSeries
from portfolio_platform.market.cleaning import DOLLARS, CleanResult, clean
from portfolio_platform.market.panel import MarketPanel, build_panel
from portfolio_platform.market.price_rules import FLAGS
from portfolio_platform.market.series import FIELDS
from portfolio_platform.optimization.panel import PricePanel
from portfolio_platform.store import bars as bar_store
from portfolio_platform.store.publish import Input, sha256_of

CLEAN_INTERVALS = ("1d", "1h")


def clean_bars(conn: Connection, as_of: datetime | None = None) -> tuple[CleanResult, int]:
    """Clean every raw series known at `as_of` and append what changed.

    Returns
    -------
    result : CleanResult
        Counters per rule, listings, quarantined rows.
    written : int
        Clean bars that are new or differ from what was stored.
    """
    stored = raw_series(conn, CLEAN_INTERVALS, as_of)
    ids = {(one.instrument.key, one.instrument.kind): number for number, one in stored}
    result = clean([one for _, one in stored])
    written = 0
    for one in result.series:
        series_id = (
            ids[one.instrument.key, one.instrument.kind]
            if one.instrument.listing == 1
            else series_of(conn, one.instrument)
        )
        frame = one.to_frame(unit="token").rename(columns={"opened_at": "observed_at"})
        frame["observed_at"] = frame["observed_at"].dt.tz_localize("UTC")
        frame["series_id"] = series_id
        frame["bar_interval"] = one.interval
        written += bar_store.append_clean(conn, frame)
    return result, written


def clean_series(
    conn: Connection, interval: str, as_of: datetime | None = None
) -> list[tuple[int, CleanSeries]]:
    """Clean series of one interval known at `as_of`, prices per token."""
    stored = bar_store.series(conn)
    frame = bar_store.read_clean(conn, interval, as_of)
    found = []
    for key, rows in frame.groupby("series_id", sort=True):
        series_id = int(str(key))
        instrument = instrument_of({**stored[series_id], "multiplier": 1})
        flags = np.fromiter(
            (sum(FLAGS[name] for name in names) for names in rows["flags"]), np.uint8, len(rows)
        )
        columns: dict[str, Any] = {
            name: rows[name].to_numpy(np.float64) if name in rows else np.full(len(rows), np.nan)
            for name in FIELDS
        }
        opened = rows["observed_at"].to_numpy("datetime64[ns]")
        found.append((series_id, CleanSeries(instrument, interval, opened, flags=flags, **columns)))
    return found


def preference(order: str) -> tuple[str, ...]:
    """``spot,oracle`` as the preference order of a panel."""
    return tuple(part.strip() for part in order.split(",") if part.strip())


def market_panel(
    conn: Connection, interval: str, prefer: Sequence[str], as_of: datetime | None = None
) -> tuple[MarketPanel, list[Input]]:
    """One clean series per token side by side, and what it was built from.

    Returns
    -------
    panel : MarketPanel
    inputs : list of Input
        The chosen series with a hash of their closes, and the batches the bars came in.
    """
    # A rate against SOL is no price: the panel is in dollars.
    found = [
        one for one in clean_series(conn, interval, as_of) if one[1].instrument.quote in DOLLARS
    ]
    by_identity = {
        (one.instrument.key, one.instrument.kind, one.instrument.asset): number
        for number, one in found
    }
    panel = build_panel([one for _, one in found], interval=interval, prefer=prefer)
    inputs: list[Input] = []
    chosen: list[int] = []
    for choice in panel.choices:
        if choice.instrument is None or choice.asset not in panel.assets:
            continue
        number = by_identity[choice.instrument.key, choice.instrument.kind, choice.asset]
        closes = panel.close[:, panel.column(choice.asset)]
        known = np.isfinite(closes)
        inputs.append(
            Input(
                "bars",
                f"{number}/{interval}",
                sha256_of([repr(value) for value in closes[known].tolist()]),
                {
                    "series": choice.instrument.key,
                    "mint": choice.asset,
                    "rows": int(known.sum()),
                    "until": str(panel.times[known][-1])[:19] + "Z" if known.any() else None,
                },
            )
        )
        chosen.append(number)
    inputs += [
        Input("batch", str(batch), digest)
        for batch, digest in bar_store.batches_of(conn, chosen, interval)
    ]
    return panel, inputs


def price_panel(
    conn: Connection, panel: MarketPanel, yields: dict[str, float] | None = None
) -> PricePanel:
    """The panel as the optimiser takes it, with what is known of its tokens.

    Parameters
    ----------
    yields : dict of mint to annual rate, optional
        Known now; they stand in the last row alone, earlier rows are unknown.
    """
    stored = {row["mint"]: row for row in bar_store.series(conn).values()}
    rates = None
    if yields:
        rates = np.full(panel.close.shape, np.nan)
        for column, asset in enumerate(panel.assets):
            if asset in yields and len(rates):
                rates[-1, column] = yields[asset]
    return PricePanel(
        assets=panel.assets,
        times=panel.times,
        close=panel.close,
        stable=frozenset(a for a in panel.assets if stored[a]["is_stable"]),
        groups={a: stored[a]["token_group"] for a in panel.assets if stored[a]["token_group"]},
        yields=rates,
    )


def last_time(panel: MarketPanel) -> datetime | None:
    """The newest instant of the panel, aware UTC."""
    if not len(panel.times):
        return None
    moment: Any = pd.Timestamp(panel.times[-1]).tz_localize("UTC").to_pydatetime()
    return moment
