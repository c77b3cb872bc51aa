"""A cleaned series: every bar of its listings, with flags that say what may be computed from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd

from portfolio_platform.market.price_rules import FLAGS, MISSING, UNUSABLE
from portfolio_platform.market.series import (
    FIELDS,
    UTC_ALIGNED,
    BarSeries,
    Instrument,
    InstrumentKind,
    interval_length,
)

Unit = Literal["token", "quoted"]


@dataclass(frozen=True, slots=True, eq=False)
class CleanSeries:
    """Bars on the full grid of a series' listings, values as quoted, flags beside them.

    Attributes
    ----------
    instrument : Instrument
    interval : str
    opened_at : ndarray of datetime64[ns], shape (m,)
        Sorted, distinct; every grid point of each listing (none while withdrawn).
    open, high, low, close, volume, turnover : ndarray of float64, shape (m,)
        Original values, also of bars kept out; NaN on `missing` bars.
    flags : ndarray of uint8, shape (m,)
        Bits of :data:`~.price_rules.FLAGS`.
    phase : timedelta64[ns]
    """

    instrument: Instrument
    interval: str
    opened_at: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    turnover: np.ndarray
    flags: np.ndarray
    phase: np.timedelta64 = UTC_ALIGNED

    def __len__(self) -> int:
        return len(self.opened_at)

    @property
    def known_at(self) -> np.ndarray:
        """When each bar is known: its close."""
        return self.opened_at + interval_length(self.interval)

    @property
    def usable(self) -> np.ndarray:
        """Mask of bars whose price counts."""
        mask: np.ndarray = (self.flags & UNUSABLE) == 0
        return mask

    def price(self) -> np.ndarray:
        """Close per token, NaN where the bar is missing or kept out; shape (m,)."""
        return np.where(self.usable, self.close, np.nan) / self.instrument.multiplier

    def quote_volume(self) -> np.ndarray:
        """Traded value in quote units: turnover, else volume x close; NaN where unknown.

        An oracle has none.
        """
        if self.instrument.kind is InstrumentKind.ORACLE:
            return np.full(len(self), np.nan)
        value = np.where(np.isnan(self.turnover), self.volume * self.close, self.turnover)
        return np.where(self.usable, value, np.nan)

    def counts(self) -> dict[str, int]:
        """Bars per flag, zeros included."""
        return {name: int(((self.flags & bit) != 0).sum()) for name, bit in FLAGS.items()}

    def flag_names(self) -> list[list[str]]:
        """Names of the flags of each bar."""
        names = {
            int(value): [name for name, bit in FLAGS.items() if value & bit]
            for value in np.unique(self.flags)
        }
        return [names[int(value)] for value in self.flags]

    def states(self) -> np.ndarray:
        """`missing` (no bar), `flagged` (kept out) or `clean`, per bar."""
        missing = (self.flags & MISSING) != 0
        return np.where(missing, "missing", np.where(self.usable, "clean", "flagged"))

    def original(self) -> BarSeries:
        """The bars that exist, as quoted: cleaning them again gives this series again."""
        rows = (self.flags & MISSING) == 0
        return BarSeries(
            self.instrument,
            self.interval,
            self.opened_at[rows],
            phase=self.phase,
            **{name: getattr(self, name)[rows] for name in FIELDS},
        )

    def until(self, as_of: np.datetime64) -> CleanSeries:
        """Only bars known at `as_of`."""
        rows = self.known_at <= as_of
        columns = {name: getattr(self, name)[rows] for name in ("opened_at", *FIELDS, "flags")}
        return replace(self, **columns)

    def to_frame(self, *, unit: Unit = "token") -> pd.DataFrame:
        """Columns `opened_at`, six fields, `state`, `flags` (list of names).

        Parameters
        ----------
        unit : {'token', 'quoted'}
            `token` divides prices by the multiplier and multiplies the volume by it.
        """
        scale = self.instrument.multiplier if unit == "token" else 1
        columns: dict[str, object] = {"opened_at": self.opened_at}
        for name in ("open", "high", "low", "close"):
            columns[name] = getattr(self, name) / scale
        columns["volume"] = self.volume * scale
        columns["turnover"] = self.turnover
        columns["state"] = self.states()
        columns["flags"] = self.flag_names()
        return pd.DataFrame(columns)
