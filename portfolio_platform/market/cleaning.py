"""Clean bar series: apply every rule, count it, and keep the original of what is kept out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from portfolio_platform.market.clean_series import CleanSeries
from portfolio_platform.market.errors import SeriesError
from portfolio_platform.market.listings import Break, Listing, find_breaks
from portfolio_platform.market.price_rules import (
    FLAGS,
    LARGE_MOVE,
    MISSING,
    OUTAGE,
    STALE,
    UNUSABLE,
    bar_grid,
    common_outages,
    consensus,
    large_moves,
    refuted_closes,
    stale_bars,
)
from portfolio_platform.market.row_rules import (
    KEPT,
    QUARANTINED,
    REASON_CODE,
    REASONS,
    Disposition,
    dispose,
)
from portfolio_platform.market.series import FIELDS, BarSeries, Instrument, interval_length, iso
from portfolio_platform.market.settings import CleaningSettings

DOLLARS = frozenset({"USD", "USDT", "USDC", "BUSD", "FDUSD", "TUSD"})
"""Quotes close enough to a dollar that series quoted in them can refute each other."""

_LISTING_COUNTERS = ("withdrawn", "returned", "ticker_reuse", "delisted", "listed")


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A row that cleaning kept out of the series altogether."""

    instrument: Instrument
    interval: str
    row: int
    opened_at: np.datetime64
    reason: str

    def to_json(self) -> dict[str, Any]:
        """JSON-safe form; `row` is the position in the series given, from 0."""
        return {
            "series": self.instrument.key,
            "interval": self.interval,
            "row": self.row,
            "opened_at": None if np.isnat(self.opened_at) else iso(self.opened_at),
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class CleanResult:
    """What cleaning made of the series.

    Attributes
    ----------
    series : tuple of CleanSeries
        One per coin and interval; a reused ticker gives several.
    listings : tuple of Listing
    quarantine : tuple of Quarantined
    counters : dict of str to int
        Rows, bars or listings per rule over all series; every rule is present, also with 0.
    by_series : dict of str to dict
        The same per `venue:SYMBOL kind interval`, only what occurs.
    """

    series: tuple[CleanSeries, ...]
    listings: tuple[Listing, ...]
    quarantine: tuple[Quarantined, ...]
    counters: dict[str, int]
    by_series: dict[str, dict[str, int]]

    def of(self, instrument: Instrument, interval: str | None = None) -> CleanSeries:
        """The clean series of an instrument; the interval only where there are several."""
        found = [
            one
            for one in self.series
            if one.instrument == instrument and interval in (None, one.interval)
        ]
        if len(found) != 1:
            raise SeriesError(
                f"{instrument.key} {instrument.kind} has {len(found)} clean series"
                f"{'' if interval is None else ' of ' + interval}: name instrument and interval"
            )
        return found[0]

    def to_json(self) -> dict[str, Any]:
        """Counters, listings and quarantine, JSON-safe (the bars are the store's)."""
        return {
            "counters": self.counters,
            "series": self.by_series,
            "listings": [listing.to_json() for listing in self.listings],
            "quarantine": [row.to_json() for row in self.quarantine],
        }


@dataclass(slots=True, eq=False)
class _Coin:
    """A coin's bars while the rules run."""

    bars: CleanSeries
    stretches: list[np.ndarray]
    began: list[tuple[str, int, float | None]]
    name: str


def clean(
    series: Mapping[Instrument, BarSeries] | Iterable[BarSeries],
    settings: CleaningSettings | None = None,
) -> CleanResult:
    """Clean bar series, each by itself and against the others.

    Parameters
    ----------
    series : mapping or iterable of BarSeries
        All series to be judged together: a venue's outages and refuted prices are only visible
        beside others.  Only what is known at some time may be given to know what was clean then.
    settings : CleaningSettings, optional

    Returns
    -------
    CleanResult
        Every input row is a bar of `series`, a counted duplicate, or in `quarantine`.

    Raises
    ------
    SeriesError
        The same instrument and interval is given twice, or under another instrument's key.
    """
    settings = settings or CleaningSettings()
    given = _checked(series)
    total: Counter[str] = Counter(
        {name: 0 for name in (*REASONS[1:], *FLAGS, *_LISTING_COUNTERS, "rows", "kept", "split")}
    )
    per_series: dict[str, Counter[str]] = {}
    quarantine: list[Quarantined] = []
    coins: list[_Coin] = []
    for one in given:
        counts = per_series.setdefault(_name(one.instrument, one.interval), Counter())
        kept, disposition = _row_rules(one, settings)
        counts.update(rows=len(one), kept=len(kept), **disposition.counts())
        quarantine.extend(_quarantined(one, disposition))
        if len(kept):
            coins.extend(_split(kept, settings, counts))

    sources = _sources(coins)
    for position, coin in enumerate(coins):
        _judge(position, coins, sources, settings)
        per_series[coin.name].update({k: n for k, n in coin.bars.counts().items() if n})
    for instants, members in _venue_outages(coins, settings):
        for coin in members:
            coin.bars = _flag(coin.bars, np.isin(coin.bars.opened_at, instants), OUTAGE)
            per_series[coin.name]["outage"] += coin.bars.counts()["outage"]

    listings: list[Listing] = []
    for coin in coins:
        for listing in _listings(coin, coins, settings):
            listings.append(listing)
            per_series[coin.name].update(
                name for name in (listing.began, listing.ended) if name in _LISTING_COUNTERS
            )
    for counts in per_series.values():
        total.update(counts)
    return CleanResult(
        series=tuple(coin.bars for coin in coins),
        listings=tuple(listings),
        quarantine=tuple(quarantine),
        counters=dict(total),
        by_series={name: {k: n for k, n in c.items() if n} for name, c in per_series.items()},
    )


def _name(instrument: Instrument, interval: str) -> str:
    return f"{instrument.key} {instrument.kind} {interval}"


def _checked(series: Mapping[Instrument, BarSeries] | Iterable[BarSeries]) -> list[BarSeries]:
    if isinstance(series, Mapping):
        for key, one in series.items():
            if key != one.instrument:
                raise SeriesError(f"series of {one.instrument.key} given under {key.key}")
        given = list(series.values())
    else:
        given = list(series)
    seen: set[tuple[Instrument, str]] = set()
    for one in given:
        identity = (one.instrument, one.interval)
        if identity in seen:
            raise SeriesError(f"{_name(*identity)} is given twice: join its bars first")
        seen.add(identity)
    return sorted(given, key=lambda one: _name(one.instrument, one.interval))


def _row_rules(one: BarSeries, settings: CleaningSettings) -> tuple[BarSeries, Disposition]:
    disposition = dispose(
        np.zeros(len(one), dtype=np.int64),
        one.opened_at,
        {name: getattr(one, name) for name in FIELDS},
        interval_length(one.interval),
        one.phase,
        settings.ohlc_tolerance,
    )
    outside = np.zeros(len(one), dtype=bool)
    if one.instrument.listed_from is not None:
        start = np.datetime64(one.instrument.listed_from.replace(tzinfo=None), "ns")
        outside |= one.opened_at < start
    if one.instrument.listed_to is not None:
        end = np.datetime64(one.instrument.listed_to.replace(tzinfo=None), "ns")
        outside |= one.opened_at >= end
    if outside.any():
        code = REASON_CODE["outside_listing"]
        reason = np.where(outside & (disposition.status == KEPT), code, disposition.reason)
        disposition = Disposition.of_reasons(reason)
    rows = np.flatnonzero(disposition.status == KEPT)
    return one.take(rows[np.argsort(one.opened_at[rows], kind="stable")]), disposition


def _quarantined(one: BarSeries, disposition: Disposition) -> Iterable[Quarantined]:
    for row in np.flatnonzero(disposition.status == QUARANTINED):
        yield Quarantined(
            one.instrument,
            one.interval,
            int(row),
            one.opened_at[row],
            REASONS[disposition.reason[row]],
        )


def _split(kept: BarSeries, settings: CleaningSettings, counts: Counter[str]) -> list[_Coin]:
    """One coin per stretch of the ticker, each on the full grid of its listings."""
    interval = interval_length(kept.interval)
    breaks = find_breaks(kept.opened_at, kept.open, kept.close, interval, settings)
    edges = [0, *(found.at for found in breaks), len(kept)]
    groups: list[list[tuple[int, int, Break | None]]] = [[(edges[0], edges[1], None)]]
    for found, start, end in zip(breaks, edges[1:-1], edges[2:], strict=True):
        if found.reuse:
            groups.append([])
        groups[-1].append((start, end, found))
    coins: list[_Coin] = []
    for number, group in enumerate(groups):
        instrument = _coin_instrument(kept.instrument, number, len(groups))
        pieces = [(bar_grid(kept.opened_at[a:b], interval), a, b) for a, b, _ in group]
        grid = np.concatenate([piece[0] for piece in pieces])
        present = slice(group[0][0], group[-1][1])
        at = np.searchsorted(grid, kept.opened_at[present])
        columns = {}
        for name in FIELDS:
            column = np.full(len(grid), np.nan)
            column[at] = getattr(kept, name)[present]
            columns[name] = column
        flags = np.full(len(grid), MISSING, dtype=np.uint8)
        flags[at] = 0
        if instrument.kind in settings.stale_kinds:
            stale = stale_bars(*(columns[n] for n in ("open", "high", "low", "close", "volume")))
            flags[stale] |= STALE
        began = [_beginning(found) for _, _, found in group]
        bars = CleanSeries(
            instrument, kept.interval, grid, **columns, flags=flags, phase=kept.phase
        )
        coins.append(
            _Coin(bars, [g for g, _, _ in pieces], began, _name(kept.instrument, kept.interval))
        )
    counts.update(split=len(groups) - 1)
    return coins


def _beginning(found: Break | None) -> tuple[str, int, float | None]:
    if found is None:
        return "listed", 0, None
    return ("ticker_reuse" if found.reuse else "returned"), found.gap_bars, found.jump


def _coin_instrument(instrument: Instrument, number: int, of: int) -> Instrument:
    """The mint given is today's, so it belongs to the last coin that used the ticker."""
    if of == 1:
        return instrument
    mint = instrument.mint if number == of - 1 else None
    if mint is not None and ":" in mint:
        mint = None
    return replace(instrument, listing=instrument.listing + number, mint=mint)


def _sources(coins: Sequence[_Coin]) -> dict[tuple[str, str], list[int]]:
    """Positions of coins whose prices are comparable: one asset, one kind of quote."""
    found: dict[tuple[str, str], list[int]] = {}
    for position, coin in enumerate(coins):
        instrument = coin.bars.instrument
        quote = "USD" if instrument.quote in DOLLARS else instrument.quote
        found.setdefault((instrument.comparable, quote), []).append(position)
    return found


def _judge(
    position: int,
    coins: Sequence[_Coin],
    sources: Mapping[tuple[str, str], Sequence[int]],
    settings: CleaningSettings,
) -> None:
    """Mark refuted closes and large moves of one coin."""
    coin = coins[position]
    bars = coin.bars
    members = next(m for m in sources.values() if position in m)
    others = [coins[other].bars for other in members if other != position]
    if others:
        known_at = bars.known_at
        reference = consensus([(o.known_at, _listed_price(o)) for o in others], known_at)
        mint = bars.instrument.mint
        certain = mint is not None and ":" not in mint
        newcomer = certain and any(o.known_at[0] < known_at[0] for o in others)
        verdict = refuted_closes(_listed_price(bars), reference, settings, newcomer=newcomer)
        bars = replace(bars, flags=bars.flags | verdict)
    coin.bars = _flag(bars, large_moves(bars.price(), settings.large_move), LARGE_MOVE)


def _listed_price(bars: CleanSeries) -> np.ndarray:
    """Per-token close before any verdict by others, so that the order of judging is no matter."""
    priced = (bars.flags & (MISSING | STALE)) == 0
    return np.where(priced, bars.close, np.nan) / bars.instrument.multiplier


def _flag(bars: CleanSeries, where: np.ndarray, bit: int) -> CleanSeries:
    return replace(bars, flags=bars.flags | np.where(where, bit, 0).astype(np.uint8))


def _markets(coins: Sequence[_Coin]) -> dict[tuple[str, str, str], list[_Coin]]:
    found: dict[tuple[str, str, str], list[_Coin]] = {}
    for coin in coins:
        key = (coin.bars.instrument.venue, str(coin.bars.instrument.kind), coin.bars.interval)
        found.setdefault(key, []).append(coin)
    return found


def _venue_outages(
    coins: Sequence[_Coin], settings: CleaningSettings
) -> Iterable[tuple[np.ndarray, list[_Coin]]]:
    for members in _markets(coins).values():
        spans = [
            (coin.bars.opened_at, (coin.bars.flags & (MISSING | STALE)) != 0) for coin in members
        ]
        yield common_outages(spans, settings.outage_min_series), members


def _listings(coin: _Coin, coins: Sequence[_Coin], settings: CleaningSettings) -> Iterable[Listing]:
    bars = coin.bars
    interval = interval_length(bars.interval)
    market = next(members for members in _markets(coins).values() if coin in members)
    opens = min(other.bars.opened_at[0] for other in market)
    closes = max(other.bars.known_at[-1] for other in market)
    slack = np.timedelta64(int(settings.delisted_after_hours * 3600), "s")
    later = any(
        other.name == coin.name and other.bars.opened_at[0] > bars.opened_at[-1] for other in market
    )
    for number, (grid, (began, gap, jump)) in enumerate(
        zip(coin.stretches, coin.began, strict=True)
    ):
        last = grid[-1] + interval
        ended: str | None = None
        if number + 1 < len(coin.stretches):
            ended = "withdrawn"
        elif later or closes - last >= slack:
            ended = "delisted"
        if began == "listed" and grid[0] - opens < slack:
            began = "start_of_data"
        yield Listing(
            instrument=bars.instrument,
            listed_from=grid[0],
            listed_to=None if ended is None else last,
            began=began,
            ended=ended,
            gap_bars=gap,
            jump=jump,
        )


__all__ = ["DOLLARS", "UNUSABLE", "CleanResult", "Quarantined", "clean"]
