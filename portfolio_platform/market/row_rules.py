"""Rules that look at single rows: what is no bar, and which rows say the same bar twice.

Pure functions over columns; each returns one code per row and touches nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

KEPT, DUPLICATE, QUARANTINED = 0, 1, 2
DISPOSITIONS: tuple[str, ...] = ("kept", "duplicate", "quarantined")

REASONS: tuple[str, ...] = (
    "",
    "null_symbol",
    "null_time",
    "implausible_time",
    "off_grid",
    "not_closed",
    "outside_listing",
    "null_open",
    "null_high",
    "null_low",
    "null_close",
    "not_finite",
    "non_positive_price",
    "bad_ohlc",
    "negative_volume",
    "exact_duplicate",
    "superseded_duplicate",
    "conflicting_duplicate",
)
"""Why a row is not kept; index 0 is no reason."""

REASON_CODE: Mapping[str, int] = {name: code for code, name in enumerate(REASONS)}
DUPLICATE_REASONS = frozenset({"exact_duplicate", "superseded_duplicate"})

EARLIEST = np.datetime64("2009-01-03T18:15:05", "ns")
"""Bitcoin's genesis block: no crypto bar opens before it."""
LATEST = np.datetime64("2100-01-01", "ns")


@dataclass(frozen=True, slots=True)
class Disposition:
    """What became of each row.

    Attributes
    ----------
    status : ndarray of int8, shape (n,)
        :data:`KEPT`, :data:`DUPLICATE` or :data:`QUARANTINED`.
    reason : ndarray of int8, shape (n,)
        Index into :data:`REASONS`.
    """

    status: np.ndarray
    reason: np.ndarray

    @classmethod
    def of_reasons(cls, reason: np.ndarray) -> Disposition:
        """Status that follows from the reasons."""
        duplicate = np.isin(reason, [REASON_CODE[name] for name in DUPLICATE_REASONS])
        status = np.where(reason == 0, KEPT, np.where(duplicate, DUPLICATE, QUARANTINED))
        return cls(status.astype(np.int8), reason.astype(np.int8))

    def counts(self) -> dict[str, int]:
        """Rows per reason, only reasons that occur."""
        found = np.bincount(self.reason, minlength=len(REASONS))
        return {name: int(n) for name, n in zip(REASONS, found, strict=True) if n and name}


def _mark(reason: np.ndarray, where: np.ndarray, name: str) -> None:
    reason[where & (reason == 0)] = REASON_CODE[name]


def unusable_times(opened_at: np.ndarray) -> np.ndarray:
    """Codes of rows without a time, or with one outside 2009-01-03 … 2100."""
    reason = np.zeros(len(opened_at), dtype=np.int8)
    null = np.isnat(opened_at)
    _mark(reason, null, "null_time")
    _mark(reason, ~null & ((opened_at < EARLIEST) | (opened_at >= LATEST)), "implausible_time")
    return reason


def off_grid(opened_at: np.ndarray, interval: np.timedelta64, phase: np.timedelta64) -> np.ndarray:
    """Mask of bars that do not open on the grid `phase + k * interval` (e.g. 13:07 in 1 h bars)."""
    offset = opened_at.astype(np.int64) - phase.astype(np.int64)
    mask: np.ndarray = offset % interval.astype(np.int64) != 0
    return mask & ~np.isnat(opened_at)


def not_closed(
    opened_at: np.ndarray, interval: np.timedelta64, closed_by: np.datetime64 | None
) -> np.ndarray:
    """Mask of bars that had not closed by `closed_by`: they may still change, or never were."""
    if closed_by is None:
        return np.zeros(len(opened_at), dtype=bool)
    mask: np.ndarray = opened_at > closed_by - interval
    return mask


def unusable_bars(columns: Mapping[str, np.ndarray], tolerance: float) -> np.ndarray:
    """Codes of rows that are no bar: nulls, infinities, prices ≤ 0, high or low not the extreme.

    Parameters
    ----------
    columns : mapping of str to ndarray, shape (n,)
        `open, high, low, close, volume, turnover`; NaN is null.  A null volume is allowed.
    tolerance : float
        Relative slack of the comparison, for prices that passed through text.
    """
    opened, high, low, close = (columns[name] for name in ("open", "high", "low", "close"))
    reason = np.zeros(len(opened), dtype=np.int8)
    for name in ("open", "high", "low", "close"):
        _mark(reason, np.isnan(columns[name]), f"null_{name}")
    for name in ("open", "high", "low", "close", "volume", "turnover"):
        _mark(reason, np.isinf(columns[name]), "not_finite")
    _mark(reason, (opened <= 0) | (high <= 0) | (low <= 0) | (close <= 0), "non_positive_price")
    top = np.maximum(opened, close)
    bottom = np.minimum(opened, close)
    bad = (high * (1 + tolerance) < np.maximum(top, low)) | (low * (1 - tolerance) > bottom)
    _mark(reason, bad, "bad_ohlc")
    _mark(reason, (columns["volume"] < 0) | (columns["turnover"] < 0), "negative_volume")
    return reason


def _extreme(values: np.ndarray, starts: np.ndarray, ufunc: np.ufunc) -> np.ndarray:
    found: np.ndarray = ufunc.reduceat(values, starts)
    return found


def repeated_bars(
    group: np.ndarray, opened_at: np.ndarray, columns: Mapping[str, np.ndarray]
) -> np.ndarray:
    """Codes of rows that give a bar (group, opened_at) again.

    Equal rows: all but the first are `exact_duplicate`.  Different rows: where exactly one of
    them contains the others (same open, the highest high, the lowest low, the largest volume) it
    is the later state of the same bar, and the others are `superseded_duplicate`; otherwise
    nobody can say which is true and all are `conflicting_duplicate`.  The verdict does not
    depend on the order of rows.

    Parameters
    ----------
    group : ndarray of int, shape (n,)
    opened_at : ndarray of datetime64[ns], shape (n,)
    columns : mapping of str to ndarray, shape (n,)
    """
    reason = np.zeros(len(group), dtype=np.int8)
    order = np.lexsort((opened_at, group))
    same = (group[order][1:] == group[order][:-1]) & (opened_at[order][1:] == opened_at[order][:-1])
    if not same.any():
        return reason
    member = np.zeros(len(order), dtype=bool)
    member[1:] |= same
    member[:-1] |= same
    rows = np.sort(order[member])

    names = ("open", "high", "low", "close", "volume", "turnover")
    values = np.column_stack([columns[name][rows] for name in names])
    keys = (rows, *values.T[::-1], opened_at[rows], group[rows])
    rank = np.lexsort(keys)
    rows, values = rows[rank], values[rank]
    run = (group[rows][1:] == group[rows][:-1]) & (opened_at[rows][1:] == opened_at[rows][:-1])
    alike = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    exact = np.concatenate([[False], run & alike.all(axis=1)])
    reason[rows[exact]] = REASON_CODE["exact_duplicate"]

    rows, values = rows[~exact], values[~exact]
    new_run = np.concatenate(
        [
            [True],
            (group[rows][1:] != group[rows][:-1]) | (opened_at[rows][1:] != opened_at[rows][:-1]),
        ]
    )
    starts = np.flatnonzero(new_run)
    which = np.cumsum(new_run) - 1
    conflict = np.bincount(which)[which] > 1
    volume = np.nan_to_num(values[:, 4], nan=-1.0)
    one_open = _extreme(values[:, 0], starts, np.minimum) == _extreme(
        values[:, 0], starts, np.maximum
    )
    contains = (
        one_open[which]
        & (values[:, 1] == _extreme(values[:, 1], starts, np.maximum)[which])
        & (values[:, 2] == _extreme(values[:, 2], starts, np.minimum)[which])
        & (volume == _extreme(volume, starts, np.maximum)[which])
    )
    decided = np.bincount(which, weights=contains)[which] == 1
    reason[rows[conflict & decided & ~contains]] = REASON_CODE["superseded_duplicate"]
    reason[rows[conflict & ~decided]] = REASON_CODE["conflicting_duplicate"]
    return reason


def dispose(
    group: np.ndarray,
    opened_at: np.ndarray,
    columns: Mapping[str, np.ndarray],
    interval: np.timedelta64,
    phase: np.timedelta64,
    tolerance: float,
    closed_by: np.datetime64 | None = None,
) -> Disposition:
    """Apply the row rules in order: time, grid, close, bar, then repetition among what is left."""
    reason = unusable_times(opened_at)
    _mark(reason, off_grid(opened_at, interval, phase), "off_grid")
    _mark(reason, not_closed(opened_at, interval, closed_by), "not_closed")
    bars = unusable_bars(columns, tolerance)
    reason = np.where(reason == 0, bars, reason).astype(np.int8)
    left = np.flatnonzero(reason == 0)
    reason[left] = repeated_bars(
        group[left], opened_at[left], {name: column[left] for name, column in columns.items()}
    )
    return Disposition.of_reasons(reason)
