"""Coarser bars from finer ones, only where enough of them are there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from portfolio_platform.market.clean_series import CleanSeries
from portfolio_platform.market.errors import PanelError
from portfolio_platform.market.price_rules import MISSING
from portfolio_platform.market.series import interval_length


def resample(series: CleanSeries, interval: str, *, completeness: float = 0.75) -> CleanSeries:
    """Bars of `interval` from finer clean bars.

    A coarse bar exists where at least `completeness` of its finer bars are usable **and** the
    last one is (its close is the coarse close); otherwise it is `missing`.  Open is the first
    usable open, high and low the extremes, volume the sum, turnover the sum of
    traded values (volume x close of the finer bar where no turnover was recorded).

    Parameters
    ----------
    series : CleanSeries
    interval : str
        A multiple of the series' interval; the coarse grid is aligned to the epoch plus phase.
    completeness : float
        In (0, 1].

    Raises
    ------
    PanelError
        `interval` is not a multiple of the series' interval.
    """
    if interval == series.interval:
        return series
    fine, coarse = interval_length(series.interval), interval_length(interval)
    if coarse < fine or coarse.astype(np.int64) % fine.astype(np.int64) != 0:
        raise PanelError(
            f"{series.instrument.key}: {series.interval} bars cannot be made into {interval} bars"
        )
    if not len(series):
        return replace(series, interval=interval)
    per_bar = int(coarse // fine)
    base = series.phase.astype(np.int64)
    slot = (series.opened_at.astype(np.int64) - base) // coarse.astype(np.int64)
    first = int(slot[0])
    n_bars = int(slot[-1]) - first + 1
    usable = series.usable
    index = (slot - first)[usable]
    rows = np.flatnonzero(usable)
    count = np.bincount(index, minlength=n_bars)

    grid_ns = (first + np.arange(n_bars)) * coarse.astype(np.int64) + base
    grid = grid_ns.astype("datetime64[ns]")
    opened, close = np.full(n_bars, np.nan), np.full(n_bars, np.nan)
    opened[index[::-1]] = series.open[rows[::-1]]
    close[index] = series.close[rows]
    high, low = np.full(n_bars, -np.inf), np.full(n_bars, np.inf)
    np.maximum.at(high, index, series.high[rows])
    np.minimum.at(low, index, series.low[rows])
    ends = series.opened_at[rows] + fine == grid[index] + coarse
    has_last = np.bincount(index, weights=ends, minlength=n_bars) > 0
    exists = (count >= completeness * per_bar) & has_last
    listed = np.unique(slot - first)
    keep = np.zeros(n_bars, dtype=bool)
    keep[listed] = True

    columns = {
        "open": opened,
        "high": high,
        "low": low,
        "close": close,
        "volume": _sum(series.volume, rows, index, n_bars),
        "turnover": _sum(series.quote_volume(), rows, index, n_bars),
    }
    return CleanSeries(
        series.instrument,
        interval,
        grid[keep],
        **{name: np.where(exists, column, np.nan)[keep] for name, column in columns.items()},
        flags=np.where(exists, 0, MISSING).astype(np.uint8)[keep],
        phase=series.phase,
    )


def _sum(column: np.ndarray, rows: np.ndarray, index: np.ndarray, n_bars: int) -> np.ndarray:
    """Sum per bar; NaN where any usable finer bar did not record it (never understated)."""
    total: np.ndarray = np.bincount(index, weights=column[rows], minlength=n_bars)
    return total
