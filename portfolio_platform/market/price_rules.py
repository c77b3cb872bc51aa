"""Rules that look at a series along time, and at several series at one time.

Pure functions over columns.  Every verdict about a bar uses only what is known at its close, so
cleaning a longer history never changes an earlier verdict (`outage` alone may be added later, when
more series turn out to have been listed).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from portfolio_platform.market.settings import CleaningSettings

MISSING, STALE, REFUTED, DISPUTED, BASIS, LARGE_MOVE, OUTAGE = (1 << bit for bit in range(7))

FLAGS: dict[str, int] = {
    "missing": MISSING,
    "stale": STALE,
    "refuted": REFUTED,
    "disputed": DISPUTED,
    "basis": BASIS,
    "large_move": LARGE_MOVE,
    "outage": OUTAGE,
}
"""Name → bit of a clean bar's flags."""

UNUSABLE = MISSING | STALE | REFUTED
"""Flags that keep a bar out of every computation; the others only inform."""


def bar_grid(opened_at: np.ndarray, interval: np.timedelta64) -> np.ndarray:
    """All bar opens from the first to the last, shape (m,), of sorted non-empty opens."""
    return np.arange(opened_at[0], opened_at[-1] + interval, interval)


def stale_bars(
    opened: np.ndarray, high: np.ndarray, low: np.ndarray, close: np.ndarray, volume: np.ndarray
) -> np.ndarray:
    """Mask of flat bars with a recorded volume of zero: nobody traded, nothing was priced."""
    flat = (opened == high) & (high == low) & (low == close)
    mask: np.ndarray = flat & (volume == 0)
    return mask


def consensus(sources: Sequence[tuple[np.ndarray, np.ndarray]], known_at: np.ndarray) -> np.ndarray:
    """Median of other sources' closes known at the same instants, NaN where none is.

    Parameters
    ----------
    sources : sequence of (known_at, price per token)
        Sorted instants; NaN prices are passed over.
    known_at : ndarray of datetime64[ns], shape (n,)
    """
    found = np.full((len(sources), len(known_at)), np.nan)
    for row, (instants, prices) in enumerate(sources):
        if not len(instants):
            continue
        at = np.searchsorted(instants, known_at)
        at = np.minimum(at, len(instants) - 1)
        match = instants[at] == known_at
        found[row, match] = prices[at[match]]
    middle = np.full(len(known_at), np.nan)
    some = np.isfinite(found).any(axis=0)
    if some.any():
        middle[some] = np.nanmedian(found[:, some], axis=0)
    return middle


def refuted_closes(
    price: np.ndarray, reference: np.ndarray, settings: CleaningSettings, *, newcomer: bool = False
) -> np.ndarray:
    """Flags of closes far from what other sources say at the same instant.

    Within `refuted_deviation` (log) nothing is flagged.  Beyond it, both moves since the last
    bar on which the two agreed are compared:

    * the other sources moved further than this one: `disputed`, the bar stands;
    * they moved the same way by at least `confirmation` of this one's move: `basis`, it stands
      (a real crash, deeper here than there);
    * otherwise `refuted`, the bar is kept out and its values stay on record.

    Where the two never agreed before: `refuted` for a newcomer, else `disputed`, since nothing
    says which of the two is wrong (or that both are the same coin).

    Parameters
    ----------
    price, reference : ndarray of float64, shape (n,)
        Per token, in time order; NaN where there is none.
    newcomer : bool
        The sources are surely of the same asset, and the others are older than this series.
    """
    flags = np.zeros(len(price), dtype=np.uint8)
    both = np.isfinite(price) & np.isfinite(reference)
    apart = np.zeros(len(price), dtype=bool)
    apart[both] = np.abs(np.log(price[both] / reference[both])) > settings.refuted_deviation
    rows = np.flatnonzero(apart)
    if not len(rows):
        return flags
    agreed = np.where(both & ~apart, np.arange(len(price)), -1)
    last = np.maximum.accumulate(agreed)[rows]
    known = last >= 0
    own = np.log(price[rows[known]] / price[last[known]])
    other = np.log(reference[rows[known]] / reference[last[known]])
    verdict = np.where(
        np.abs(other) >= np.abs(own),
        DISPUTED,
        np.where(other * np.sign(own) >= settings.confirmation * np.abs(own), BASIS, REFUTED),
    )
    flags[rows[known]] = verdict
    flags[rows[~known]] = REFUTED if newcomer else DISPUTED
    return flags


def large_moves(price: np.ndarray, threshold: float) -> np.ndarray:
    """Mask of closes that moved more than `threshold` (log) from the close one bar before."""
    mask = np.zeros(len(price), dtype=bool)
    if len(price) > 1:
        mask[1:] = np.abs(np.diff(np.log(price))) > threshold
    return mask


def common_outages(spans: Sequence[tuple[np.ndarray, np.ndarray]], least: int) -> np.ndarray:
    """Bar opens at which every listed series of a venue has no price.

    Parameters
    ----------
    spans : sequence of (opened_at, absent)
        One per listing: its full bar grid, and a mask of bars that are missing or stale.
    least : int
        Fewest listed series for which a common absence is an outage.

    Returns
    -------
    ndarray of datetime64[ns], sorted
    """
    if not spans:
        return np.array([], dtype="datetime64[ns]")
    instants, place = np.unique(np.concatenate([grid for grid, _ in spans]), return_inverse=True)
    absent = np.concatenate([mask for _, mask in spans])
    listed = np.bincount(place, minlength=len(instants))
    without = np.bincount(place, weights=absent, minlength=len(instants))
    found: np.ndarray = instants[(listed >= least) & (without == listed)]
    return found
