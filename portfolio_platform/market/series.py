"""Instruments and their bars: what a price is a price of, and the columns that hold it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import numpy as np
import pandas as pd

from portfolio_platform.market.errors import (
    InstrumentError,
    MixedInstruments,
    SeriesError,
    UnsupportedInterval,
)
from portfolio_platform.market.symbols import FIAT, RENAMES, parse_symbol

FIELDS: tuple[str, ...] = ("open", "high", "low", "close", "volume", "turnover")

INTERVALS: dict[str, np.timedelta64] = {
    name: np.timedelta64(seconds, "s").astype("timedelta64[ns]")
    for name, seconds in {
        "1m": 60,
        "3m": 180,
        "5m": 300,
        "15m": 900,
        "30m": 1800,
        "1h": 3600,
        "2h": 7200,
        "4h": 14400,
        "6h": 21600,
        "8h": 28800,
        "12h": 43200,
        "1d": 86400,
        "1w": 604800,
    }.items()
}
"""Supported bar lengths; all fixed, so a calendar month is not one."""


_LONGEST_NAME = 100
UTC_ALIGNED = np.timedelta64(0, "ns")
"""Phase of bars that open on whole multiples of their interval since the epoch."""


def interval_length(interval: str) -> np.timedelta64:
    """Length of a named interval in nanoseconds; refuses an unknown name."""
    try:
        return INTERVALS[interval]
    except KeyError:
        raise UnsupportedInterval(
            f"interval {interval!r} is not supported: use one of {', '.join(INTERVALS)}"
        ) from None


def instant(when: datetime | np.datetime64 | pd.Timestamp | str) -> np.datetime64:
    """A moment as naive UTC datetime64[ns]; a naive input is taken to be UTC."""
    stamp = pd.Timestamp(when)
    if stamp is pd.NaT:
        raise SeriesError("a moment in time is required, got none")
    if stamp.tzinfo is not None:
        stamp = stamp.tz_convert("UTC").tz_localize(None)
    return stamp.as_unit("ns").to_datetime64()


def iso(when: np.datetime64) -> str:
    """ISO 8601 text with `Z` of a naive UTC datetime64."""
    return pd.Timestamp(when).tz_localize("UTC").isoformat().replace("+00:00", "Z")


class InstrumentKind(StrEnum):
    """What kind of price a series holds; two kinds never share one series."""

    SPOT = "spot"
    PERP = "perp"
    ORACLE = "oracle"
    POOL = "pool"


def instrument_kind(kind: InstrumentKind | str) -> InstrumentKind:
    """The kind of that name; refuses an unknown one with :class:`~.errors.InstrumentError`."""
    try:
        return InstrumentKind(kind)
    except ValueError:
        raise InstrumentError(
            f"instrument kind {kind!r} is not one of {', '.join(InstrumentKind)}"
        ) from None


def _utc(when: datetime | None, name: str) -> datetime | None:
    if when is not None and when.tzinfo is None:
        raise InstrumentError(f"{name} {when} has no time zone: give an aware UTC datetime")
    return None if when is None else when.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Instrument:
    """One series' identity: where it trades, under which symbol, as what, and of which asset.

    Attributes
    ----------
    venue, symbol : str
        The venue and its own spelling of the symbol.
    kind : InstrumentKind
    base, quote : str
        Asset and quote after multiplier and renames.
    multiplier : int
        Tokens per quoted unit; bars hold prices as quoted, `price / multiplier` is per token.
    listed_from, listed_to : datetime or None
        Declared listing interval, aware UTC, half open; bars outside it are another coin's.
    mint : str or None
        Solana mint, base58, if known (or the `venue:SYMBOL` a store keeps in the same column).
    listing : int
        1, or 2, 3, … where the venue gave the same symbol to another coin later.
    """

    venue: str
    symbol: str
    kind: InstrumentKind
    base: str
    quote: str
    multiplier: int = 1
    listed_from: datetime | None = None
    listed_to: datetime | None = None
    mint: str | None = None
    listing: int = 1

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", instrument_kind(self.kind))
        object.__setattr__(self, "listed_from", _utc(self.listed_from, "listed_from"))
        object.__setattr__(self, "listed_to", _utc(self.listed_to, "listed_to"))
        if not self.venue or not self.symbol:
            raise InstrumentError("an instrument needs a venue and a symbol")
        for what, name in (("venue", self.venue), ("symbol", self.symbol)):
            if len(name) > _LONGEST_NAME or not name.isprintable():
                raise InstrumentError(
                    f"{what} {name[:40]!r} is not a name of at most {_LONGEST_NAME} printable "
                    "characters"
                )
        if self.multiplier < 1:
            raise InstrumentError(f"{self.symbol}: multiplier {self.multiplier} is below 1")
        if self.listing < 1:
            raise InstrumentError(f"{self.symbol}: listing {self.listing} is below 1")
        if self.listed_from and self.listed_to and self.listed_to <= self.listed_from:
            raise InstrumentError(
                f"{self.symbol}: listed_to {self.listed_to} is not after "
                f"listed_from {self.listed_from}"
            )

    @classmethod
    def parse(
        cls,
        venue: str,
        symbol: str,
        kind: InstrumentKind | str,
        *,
        mint: str | None = None,
        quote: str | None = None,
        listed_from: datetime | None = None,
        listed_to: datetime | None = None,
        renames: Mapping[str, str] = RENAMES,
    ) -> Instrument:
        """Instrument from a venue symbol; see :func:`~.symbols.parse_symbol` for the errors."""
        parsed_kind = instrument_kind(kind)
        parsed = parse_symbol(symbol, quote=quote, renames=renames)
        return cls(
            venue=venue,
            symbol=symbol,
            kind=parsed_kind,
            base=parsed.base,
            quote=parsed.quote,
            multiplier=parsed.multiplier,
            listed_from=listed_from,
            listed_to=listed_to,
            mint=mint,
        )

    @property
    def key(self) -> str:
        """`venue:SYMBOL`, with `#2` … for a later coin under the same symbol."""
        suffix = "" if self.listing == 1 else f"#{self.listing}"
        return f"{self.venue}:{self.symbol}{suffix}"

    @property
    def asset(self) -> str:
        """Identity of the asset: the mint, or `venue:SYMBOL` where no mint is known."""
        return self.mint or self.key

    @property
    def comparable(self) -> str:
        """What other venues' series may be compared with (never joined): mint, or base name.

        A later coin under an old ticker is comparable with nothing unless its mint is known.
        """
        if self.mint is not None and ":" not in self.mint:
            return self.mint
        reused = self.listing > 1 or "#" in (self.mint or "")
        return self.asset if reused else self.base

    @property
    def fiat(self) -> bool:
        """Whether the base is a national currency."""
        return self.base in FIAT

    def to_json(self) -> dict[str, Any]:
        """JSON-safe form."""
        return {
            "venue": self.venue,
            "symbol": self.symbol,
            "instrument": str(self.kind),
            "base": self.base,
            "quote": self.quote,
            "multiplier": self.multiplier,
            "listed_from": None if self.listed_from is None else self.listed_from.isoformat(),
            "listed_to": None if self.listed_to is None else self.listed_to.isoformat(),
            "mint": self.mint,
            "listing": self.listing,
            "asset": self.asset,
        }


@dataclass(frozen=True, slots=True, eq=False)
class BarSeries:
    """Bars of one instrument at one interval, as quoted by the venue, in the order received.

    Attributes
    ----------
    instrument : Instrument
    interval : str
        A key of :data:`INTERVALS`.
    opened_at : ndarray of datetime64[ns], shape (n,)
        Bar opens, naive UTC.  A bar is known at `opened_at + interval`.
    open, high, low, close, volume, turnover : ndarray of float64, shape (n,)
        As quoted (contract units).  NaN volume or turnover means not recorded.
    phase : timedelta64[ns]
        Offset of the bar grid from the epoch modulo the interval (0 = UTC midnight for days).
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
    phase: np.timedelta64 = UTC_ALIGNED

    def __post_init__(self) -> None:
        interval_length(self.interval)
        opened = np.asarray(self.opened_at).astype("datetime64[ns]")
        object.__setattr__(self, "opened_at", opened)
        for name in FIELDS:
            column = np.asarray(getattr(self, name), dtype=np.float64)
            if column.shape != opened.shape or column.ndim != 1:
                raise SeriesError(
                    f"{self.instrument.key}: column {name} has shape {column.shape}, "
                    f"opened_at has {opened.shape}"
                )
            object.__setattr__(self, name, column)

    @classmethod
    def from_frame(
        cls,
        instrument: Instrument,
        interval: str,
        frame: pd.DataFrame,
        *,
        phase: np.timedelta64 = UTC_ALIGNED,
    ) -> BarSeries:
        """Series from a frame with `opened_at`, OHLC and optionally `volume`, `turnover`.

        Time-zone aware times are converted to UTC; database decimals become float64.
        """
        missing = {"opened_at", "open", "high", "low", "close"} - set(frame.columns)
        if missing:
            raise SeriesError(f"{instrument.key}: frame has no column {sorted(missing)}")
        opened = pd.to_datetime(frame["opened_at"], utc=True).dt.tz_localize(None)
        columns = {
            name: (
                pd.to_numeric(frame[name]).to_numpy(np.float64, na_value=np.nan)
                if name in frame
                else np.full(len(frame), np.nan)
            )
            for name in FIELDS
        }
        return cls(instrument, interval, opened.to_numpy("datetime64[ns]"), phase=phase, **columns)

    def __len__(self) -> int:
        return len(self.opened_at)

    @property
    def known_at(self) -> np.ndarray:
        """When each bar is known: its close, `opened_at + interval`."""
        return self.opened_at + interval_length(self.interval)

    def take(self, rows: np.ndarray) -> BarSeries:
        """The given rows (mask or positions), in that order."""
        columns = {name: getattr(self, name)[rows] for name in FIELDS}
        return replace(self, opened_at=self.opened_at[rows], **columns)

    def to_frame(self) -> pd.DataFrame:
        """Columns `opened_at` and the six fields, as quoted."""
        return pd.DataFrame(
            {"opened_at": self.opened_at, **{name: getattr(self, name) for name in FIELDS}}
        )


def splice(first: BarSeries, second: BarSeries) -> BarSeries:
    """Continue `first` by `second` where a venue renamed one and the same asset.

    The result carries the second's instrument.  `second` must start after `first` ends.

    Raises
    ------
    MixedInstruments
        Kind, venue, quote, multiplier, listing, asset or interval differ, or the two overlap.
    """
    a, b = first.instrument, second.instrument
    for name, left, right in (
        ("instrument kind", str(a.kind), str(b.kind)),
        ("venue", a.venue, b.venue),
        ("quote", a.quote, b.quote),
        ("multiplier", a.multiplier, b.multiplier),
        ("listing", a.listing, b.listing),
        ("asset", a.mint or a.base, b.mint or b.base),
        ("interval", first.interval, second.interval),
        ("phase", first.phase, second.phase),
    ):
        if left != right:
            raise MixedInstruments(
                f"{a.key} and {b.key} must stay separate series: {name} is {left} and {right}"
            )
    if len(first) and len(second) and first.opened_at.max() >= second.opened_at.min():
        raise MixedInstruments(f"{a.key} and {b.key} overlap in time: nothing to continue")
    opened_at = np.concatenate([first.opened_at, second.opened_at])
    columns = {
        name: np.concatenate([getattr(first, name), getattr(second, name)]) for name in FIELDS
    }
    return BarSeries(b, second.interval, opened_at, phase=second.phase, **columns)
