"""The demo market: seeded, correlated, fat-tailed prices and the bars they imply.

Prices live on a five-minute grid anchored to the Unix epoch; between two grid points the log price
is linear. Every bar of every resolution is an aggregate of that one path, so bars of different
resolutions agree by construction, and the close of a bar is the open of the next.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from math import ceil

import numpy as np

from portfolio_platform.localnet.paths import GRID, PathSource
from portfolio_platform.localnet.tokens import BY_SYMBOL, DEMO_TOKENS, DemoToken

DAY = 86_400
INTRADAY_DAYS = 90
RESOLUTIONS: Mapping[str, int | str] = {
    **{str(minutes): minutes * 60 for minutes in (1, 2, 5, 15, 30, 60, 120, 240, 360, 720)},
    **dict.fromkeys(("D", "1D"), DAY),
    **dict.fromkeys(("W", "1W"), "week"),
    **dict.fromkeys(("M", "1M"), "month"),
}


@dataclass(frozen=True)
class Bars:
    """OHLCV bars, arrays of one length; `time` is the Unix second at which a bar opens."""

    time: np.ndarray
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray


class Market:
    """Prices of the demo tokens up to, and after, a clock that only moves forward.

    Parameters
    ----------
    seed
        Equal seeds give equal paths, however the clock is advanced.
    days
        Length of the daily history in days.
    now
        Where the clock starts; timezone-aware.
    """

    def __init__(self, seed: int, days: int, now: datetime) -> None:
        if now.tzinfo is None:
            raise ValueError("now must carry a timezone")
        self.seed = seed
        self.tokens: tuple[DemoToken, ...] = DEMO_TOKENS
        self.genesis_ms = int(now.timestamp() * 1000)
        self.clock_ms = self.genesis_ms
        genesis = self.genesis_ms // 1000
        midnight = genesis - genesis % DAY
        self.start = midnight - days * DAY
        self.intraday_start = max(self.start, midnight - INTRADAY_DAYS * DAY)
        self._paths = PathSource(seed, self.start, genesis)
        self._listed = {
            token.symbol: self.start
            if token.listed_days is None
            else max(self.start, midnight - token.listed_days * DAY)
            for token in self.tokens
        }

    @property
    def clock(self) -> float:
        """The chain's present time in Unix seconds."""
        return self.clock_ms / 1000

    def advance(self, seconds: float) -> None:
        """Move the clock forward by `seconds` (>= 0, resolution one millisecond)."""
        if not seconds >= 0:
            raise ValueError(f"seconds must be >= 0, got {seconds!r}")
        self.clock_ms += round(seconds * 1000)

    def rewind(self, seconds: float) -> None:
        """Set the clock before genesis, so that a chain can grow its recent past."""
        if self.clock_ms != self.genesis_ms:
            raise ValueError("a market that has been advanced cannot be rewound")
        self.clock_ms -= round(seconds * 1000)

    def listed_at(self, symbol: str) -> int:
        """Unix second from which the token has prices."""
        return self._listed[symbol]

    def price(self, symbol: str, at: float | None = None) -> float:
        """Price in USD of one whole token at Unix second `at` (default: the clock)."""
        instant = self.clock if at is None else at
        if instant > self.clock:
            raise ValueError(f"{instant} lies after the clock {self.clock}")
        if instant < self._listed[symbol]:
            raise ValueError(f"{symbol} is not listed at {instant}")
        return float(self._paths.prices(symbol, np.array([instant]))[0])

    def prices(self) -> dict[str, float]:
        """Price in USD of every token at the clock."""
        return {token.symbol: self.price(token.symbol) for token in self.tokens}

    def staking_rate(self, at: float | None = None) -> float:
        """Lamports of stake behind one jitoSOL lamport at Unix second `at`."""
        return self._paths.staking_rate(self.clock if at is None else at)

    def first_bar(self, symbol: str, resolution: str) -> int:
        """Unix second before which a token has no bars of this resolution."""
        step = RESOLUTIONS[resolution]
        if isinstance(step, int) and step < DAY:
            return max(self._listed[symbol], self.intraday_start)
        return self._listed[symbol]

    def bars(self, symbol: str, resolution: str, start: int, end: int) -> Bars:
        """Bars whose open lies in the closed range [start, end] of Unix seconds.

        The last bar may be unfinished: it holds what is known at the clock. Weeks begin on
        Monday, months on the first. Bars shorter than a day reach back 90 days.
        """
        if symbol not in BY_SYMBOL:
            raise KeyError(symbol)
        step, floor = RESOLUTIONS[resolution], self.first_bar(symbol, resolution)
        clock = self.clock
        # A bar that opens at this very moment has nothing in it yet.
        edges = bar_edges(step, max(start, floor), min(end, ceil(clock) - 1))
        if len(edges) < 2:
            empty = np.empty(0)
            return Bars(np.empty(0, np.int64), empty, empty, empty, empty, empty)
        opens, stop = edges[:-1], min(float(edges[-1]), clock)
        fine = min(GRID, step) if isinstance(step, int) else GRID
        times = np.arange(max(int(opens[0]), floor), np.nextafter(stop, -1), fine, dtype=np.float64)
        path = self._paths.prices(symbol, np.append(times, stop))
        volume = self._paths.volumes(symbol, np.append(times, stop))
        first = np.searchsorted(times, opens)
        closes = np.append(path[first[1:]], path[-1])
        return Bars(
            time=opens,
            open=path[first],
            high=np.maximum(np.maximum.reduceat(path[:-1], first), closes),
            low=np.minimum(np.minimum.reduceat(path[:-1], first), closes),
            close=closes,
            volume=np.round(np.add.reduceat(volume, first), 6),
        )


def bar_edges(step: int | str, start: int, end: int) -> np.ndarray:
    """Opens of the bars in [start, end] and, last, the close of the final one; int64 seconds."""
    if end < start:
        return np.empty(0, np.int64)
    if isinstance(step, int):
        first = -(-start // step) * step
        return np.arange(first, end + step + 1, step, dtype=np.int64)
    if step == "week":
        monday = 4 * DAY
        first = -(-(start - monday) // (7 * DAY)) * 7 * DAY + monday
        return np.arange(first, end + 7 * DAY + 1, 7 * DAY, dtype=np.int64)
    opens: list[int] = []
    moment = datetime.fromtimestamp(start, UTC)
    year, month = moment.year, moment.month
    while not opens or opens[-1] <= end:
        second = int(datetime(year, month, 1, tzinfo=UTC).timestamp())
        if second >= start:
            opens.append(second)
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return np.array(opens, np.int64)


def demo_market(seed: int = 7, days: int = 730, now: datetime | None = None) -> Market:
    """The seeded demo market with `days` of daily history ending at `now`.

    Without `now` the market ends at a fixed instant, so that two calls agree.
    """
    return Market(seed, days, now or datetime(2026, 6, 30, 12, 0, tzinfo=UTC))
