"""Bars made up for the tests: seeded, clean unless a test spoils them."""

from dataclasses import replace

import numpy as np
import pandas as pd

from portfolio_platform.market import BarSeries, Instrument

START = "2024-01-01"


def bars(
    symbol: str = "SOLUSDT",
    *,
    venue: str = "bybit",
    kind: str = "perp",
    interval: str = "1d",
    n: int = 60,
    start: str = START,
    seed: int = 7,
    scale: float = 0.03,
    first: float = 100.0,
    mint: str | None = None,
) -> BarSeries:
    """A random walk with volume; two series of one seed and length have the same path."""
    rng = np.random.default_rng(seed)
    close = first * np.exp(np.cumsum(rng.normal(0, scale, n)))
    opened = np.concatenate([[first], close[:-1]])
    high = np.maximum(opened, close) * 1.01
    low = np.minimum(opened, close) * 0.99
    volume = rng.uniform(1e5, 2e5, n)
    step = {"1d": np.timedelta64(1, "D"), "1h": np.timedelta64(1, "h")}[interval]
    opened_at = np.datetime64(start, "ns") + np.arange(n) * step
    return BarSeries(
        Instrument.parse(venue, symbol, kind, mint=mint),
        interval,
        opened_at,
        opened,
        high,
        low,
        close,
        volume,
        np.full(n, np.nan),
    )


def without(series: BarSeries, rows: slice | list[int] | np.ndarray) -> BarSeries:
    """The series with rows taken out."""
    keep = np.ones(len(series), dtype=bool)
    keep[rows] = False
    return series.take(keep)


def changed(series: BarSeries, row: int, **values: float) -> BarSeries:
    """The series with fields of one row replaced."""
    columns = {}
    for name, value in values.items():
        column = getattr(series, name).copy()
        column[row] = value
        columns[name] = column
    return replace(series, **columns)


def priced(series: BarSeries, row: int, price: float) -> BarSeries:
    """The series with one row's whole bar at one price."""
    return changed(series, row, open=price, high=price, low=price, close=price)


def joined(first: BarSeries, second: BarSeries) -> BarSeries:
    """Rows of both under the first's instrument, whatever they are of."""
    frame = pd.concat([first.to_frame(), second.to_frame()], ignore_index=True)
    return BarSeries.from_frame(first.instrument, first.interval, frame)
