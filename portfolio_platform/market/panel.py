"""Clean series side by side: one series per asset, by an explicit preference."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import numpy as np

from portfolio_platform.market.clean_series import CleanSeries
from portfolio_platform.market.errors import PanelError
from portfolio_platform.market.resample import resample
from portfolio_platform.market.series import (
    INTERVALS,
    Instrument,
    InstrumentKind,
    instant,
    interval_length,
)
from portfolio_platform.market.settings import PanelSettings

DEFAULT_PREFERENCE = ("oracle:1d", "spot:1d", "spot:1h", "pool:1d", "pool:1h", "perp:1d")


@dataclass(frozen=True, slots=True)
class Preference:
    """One entry of a preference order: `[venue:]kind[:interval]`, e.g. `bybit:perp:1d`."""

    kind: InstrumentKind
    venue: str | None = None
    interval: str | None = None

    @classmethod
    def parse(cls, text: str) -> Preference:
        """Read an entry; an interval omitted matches any.

        Raises
        ------
        PanelError
            No instrument kind in it, or a part said twice.
        """
        kind: InstrumentKind | None = None
        venue: str | None = None
        interval: str | None = None
        for part in text.split(":"):
            if part in INTERVALS and interval is None:
                interval = part
            elif part in tuple(InstrumentKind) and kind is None:
                kind = InstrumentKind(part)
            elif part and venue is None:
                venue = part
            else:
                raise PanelError(f"preference {text!r}: cannot place {part!r}")
        if kind is None:
            raise PanelError(
                f"preference {text!r} names no instrument kind: use [venue:]kind[:interval] with "
                f"kind one of {', '.join(InstrumentKind)}"
            )
        return cls(kind, venue, interval)

    def matches(self, series: CleanSeries) -> bool:
        """Whether a series is of this kind, venue and interval."""
        return (
            series.instrument.kind is self.kind
            and self.venue in (None, series.instrument.venue)
            and self.interval in (None, series.interval)
        )


@dataclass(frozen=True, slots=True)
class Choice:
    """Which series stands for an asset, and which did not.

    Attributes
    ----------
    asset : str
    instrument : Instrument or None
        None where nothing matched the preference.
    interval : str or None
        Interval of the source bars.
    preference : str or None
        The entry that matched.
    passed_over : tuple of str
        The other series of the asset, `venue:SYMBOL kind interval`.
    incomplete : int
        Panel bars lost to the completeness rule.
    """

    asset: str
    instrument: Instrument | None
    interval: str | None
    preference: str | None
    passed_over: tuple[str, ...]
    incomplete: int = 0

    def to_json(self) -> dict[str, Any]:
        """JSON-safe form."""
        return {
            "asset": self.asset,
            "series": None if self.instrument is None else self.instrument.to_json(),
            "interval": self.interval,
            "preference": self.preference,
            "passed_over": list(self.passed_over),
            "incomplete": self.incomplete,
        }


@dataclass(frozen=True, slots=True, eq=False)
class MarketPanel:
    """Prices of all assets on one grid.

    Attributes
    ----------
    assets : tuple of str, length n
        Sorted.
    times : ndarray of datetime64[ns], shape (T,)
        When the row is known: bar close.  Regular, without holes.
    close : ndarray of float64, shape (T, n)
        Per token; NaN = no usable bar.
    quote_volume : ndarray of float64, shape (T, n)
        Traded value in quote units; NaN = unknown.
    interval : str
    choices : tuple of Choice
        Of every asset seen, chosen or not.
    """

    assets: tuple[str, ...]
    times: np.ndarray
    close: np.ndarray
    quote_volume: np.ndarray
    interval: str
    choices: tuple[Choice, ...]

    def until(self, as_of: datetime | np.datetime64) -> MarketPanel:
        """Only rows known at `as_of`."""
        rows = self.times <= instant(as_of)
        return replace(
            self,
            times=self.times[rows],
            close=self.close[rows],
            quote_volume=self.quote_volume[rows],
        )

    def column(self, asset: str) -> int:
        """Position of an asset."""
        try:
            return self.assets.index(asset)
        except ValueError:
            raise PanelError(f"asset {asset} is not in the panel") from None


def build_panel(
    series: Iterable[CleanSeries],
    *,
    interval: str = "1d",
    prefer: Sequence[str] = DEFAULT_PREFERENCE,
    settings: PanelSettings | None = None,
) -> MarketPanel:
    """Choose one series per asset and pivot.

    For each asset the first preference that any of its series matches decides; between two
    series of the same preference the exact interval wins over a finer one to be resampled, then
    the alphabet by `venue:SYMBOL`.  Series are never joined: an asset's spot history is not
    continued by its perp.

    Parameters
    ----------
    series : iterable of CleanSeries
        E.g. `clean(...).series`.
    interval : str
        Bar length of the panel; finer series are resampled, coarser ones are passed over.
    prefer : sequence of str
        `[venue:]kind[:interval]`, best first.
    settings : PanelSettings, optional

    Raises
    ------
    PanelError
        A malformed preference, or chosen series whose bars close at different times of day.
    """
    settings = settings or PanelSettings()
    length = interval_length(interval)
    order = [(text, Preference.parse(text)) for text in prefer]
    if not order:
        raise PanelError("the preference order is empty: name at least one kind, e.g. 'spot'")
    by_asset: dict[str, list[CleanSeries]] = {}
    for one in series:
        if len(one):
            by_asset.setdefault(one.instrument.asset, []).append(one)

    chosen: list[CleanSeries] = []
    choices: list[Choice] = []
    for asset in sorted(by_asset):
        candidates = sorted(
            by_asset[asset],
            key=lambda one: (one.interval != interval, one.instrument.key, one.interval),
        )
        text, best = _first_match(order, candidates, length)
        passed = tuple(
            f"{one.instrument.key} {one.instrument.kind} {one.interval}"
            for one in candidates
            if one is not best
        )
        if best is None:
            choices.append(Choice(asset, None, None, None, passed))
            continue
        bars = resample(best, interval, completeness=settings.completeness)
        incomplete = int((~bars.usable).sum()) if best.interval != interval else 0
        chosen.append(bars)
        choices.append(Choice(asset, best.instrument, best.interval, text, passed, incomplete))
    return _pivot(chosen, interval, tuple(choices))


def _first_match(
    order: Sequence[tuple[str, Preference]],
    candidates: Sequence[CleanSeries],
    length: np.timedelta64,
) -> tuple[str | None, CleanSeries | None]:
    for text, preference in order:
        for one in candidates:
            fine = interval_length(one.interval).astype(np.int64)
            if preference.matches(one) and length.astype(np.int64) % fine == 0:
                return text, one
    return None, None


def _pivot(
    chosen: Sequence[CleanSeries], interval: str, choices: tuple[Choice, ...]
) -> MarketPanel:
    length = interval_length(interval)
    phases = {int(one.phase.astype(np.int64)) % int(length.astype(np.int64)) for one in chosen}
    if len(phases) > 1:
        named = ", ".join(
            f"{one.instrument.key} +{np.timedelta64(one.phase, 's').item()}" for one in chosen
        )
        raise PanelError(f"bars close at different times and cannot stand in one row: {named}")
    if not chosen:
        empty = np.empty((0, 0))
        return MarketPanel((), np.array([], "datetime64[ns]"), empty, empty, interval, choices)
    start = min(one.opened_at[0] for one in chosen)
    stop = max(one.opened_at[-1] for one in chosen)
    grid = np.arange(start, stop + length, length)
    close = np.full((len(grid), len(chosen)), np.nan)
    volume = np.full((len(grid), len(chosen)), np.nan)
    for column, one in enumerate(chosen):
        at = ((one.opened_at - start) // length).astype(np.int64)
        close[at, column] = one.price()
        volume[at, column] = one.quote_volume()
    assets = tuple(one.instrument.asset for one in chosen)
    return MarketPanel(assets, grid + length, close, volume, interval, choices)
