"""When a series was listed: withdrawals, delistings, and tickers given to another coin.

A listing is an uninterrupted stretch of a series.  A gap longer than the withdrawal threshold
ends one; if the price after it cannot be the same coin's, the next one is another coin.  All
verdicts about a bar use only bars up to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from portfolio_platform.market.series import Instrument, iso
from portfolio_platform.market.settings import CleaningSettings

_DAY = np.timedelta64(1, "D")
_LEAST_RETURNS = 10


@dataclass(frozen=True, slots=True)
class Listing:
    """One stretch during which a series was listed.

    Attributes
    ----------
    instrument : Instrument
    listed_from : datetime64[ns]
        Open of its first bar.
    listed_to : datetime64[ns] or None
        Close of its last bar; None while it is still listed at the end of the data.
    began : str
        `start_of_data` (it may be older), `listed`, `returned` (same coin after a withdrawal) or
        `ticker_reuse` (another coin under the symbol).
    ended : str or None
        `withdrawn` (it returns later), `delisted`, or None.
    gap_bars : int
        Bars between the previous stretch and this one.
    jump : float or None
        Open of this stretch over the last close of the previous one.
    """

    instrument: Instrument
    listed_from: np.datetime64
    listed_to: np.datetime64 | None
    began: str
    ended: str | None
    gap_bars: int = 0
    jump: float | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON-safe form."""
        return {
            "series": self.instrument.key,
            "asset": self.instrument.asset,
            "listed_from": iso(self.listed_from),
            "listed_to": None if self.listed_to is None else iso(self.listed_to),
            "began": self.began,
            "ended": self.ended,
            "gap_bars": self.gap_bars,
            "jump": self.jump,
        }


@dataclass(frozen=True, slots=True)
class Break:
    """A gap that ends a listing: position of the first bar after it, and what follows."""

    at: int
    gap_bars: int
    jump: float
    reuse: bool


def robust_daily_volatility(
    opened_at: np.ndarray, close: np.ndarray, interval: np.timedelta64
) -> float:
    """1.4826 × median absolute one-bar log return, scaled to a day; NaN below ten returns."""
    step = np.diff(opened_at) == interval
    moves = np.abs(np.diff(np.log(close)))[step]
    if len(moves) < _LEAST_RETURNS:
        return float("nan")
    per_day = _DAY / interval
    return float(1.4826 * np.median(moves) * np.sqrt(per_day))


def find_breaks(
    opened_at: np.ndarray,
    opened: np.ndarray,
    close: np.ndarray,
    interval: np.timedelta64,
    settings: CleaningSettings,
) -> list[Break]:
    """Gaps longer than `withdrawal_hours`, each with whether another coin came back.

    Another coin: |ln(open after / close before)| exceeds both `ln(reuse_factor)` and
    `reuse_sigmas` robust standard deviations of the stretch before, scaled by the square root of
    the gap in days.

    Parameters
    ----------
    opened_at, opened, close : ndarray, shape (n,)
        Sorted, distinct, positive.
    """
    if len(opened_at) < 2:
        return []
    steps = np.diff(opened_at)
    longest = np.timedelta64(int(settings.withdrawal_hours * 3600), "s")
    breaks: list[Break] = []
    start = 0
    for before in np.flatnonzero(steps - interval > longest):
        after = int(before) + 1
        jump = float(opened[after] / close[before])
        days = float(steps[before] / _DAY)
        sigma = robust_daily_volatility(opened_at[start:after], close[start:after], interval)
        least = np.log(settings.reuse_factor)
        if np.isfinite(sigma):
            least = max(least, settings.reuse_sigmas * sigma * np.sqrt(days))
        reuse = bool(abs(np.log(jump)) > least)
        breaks.append(Break(after, int(steps[before] // interval) - 1, jump, reuse))
        start = after
    return breaks
