"""What a bar file held, row by row and symbol by symbol."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from portfolio_platform.market.row_rules import QUARANTINED, REASONS, Disposition


@dataclass(frozen=True, slots=True)
class QuarantinedRow:
    """A row kept out, with why.

    Attributes
    ----------
    row : int
        Data row counted from 1 (line `row + 1` of a CSV).
    symbol, opened_at : str or None
        As far as they could be read; the time to the second.
    reason : str
        One of :data:`~.row_rules.REASONS`.
    """

    row: int
    symbol: str | None
    opened_at: str | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """JSON-safe form."""
        return {
            "row": self.row,
            "symbol": self.symbol,
            "opened_at": self.opened_at,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True)
class SymbolReport:
    """Counts of one symbol; `rows == kept + duplicates + quarantined`."""

    symbol: str
    base: str
    quote: str
    multiplier: int
    fiat: bool
    rows: int
    kept: int
    exact_duplicates: int
    superseded_duplicates: int
    quarantined: int
    bad_ohlc: int
    nulls: int
    zero_volume: int
    null_volume: int
    unsorted: int
    gaps: int
    missing_bars: int
    longest_gap_bars: int
    first: str | None
    last: str | None

    @property
    def duplicates(self) -> int:
        """Rows that only repeat a kept one."""
        return self.exact_duplicates + self.superseded_duplicates

    def to_json(self) -> dict[str, Any]:
        """JSON-safe form."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class FileReport:
    """The account of a bar file: every row is kept, a duplicate, or quarantined.

    Attributes
    ----------
    file, sha256 : str
        Name and content hash, for lineage.
    interval : str
    rows, kept, duplicates, quarantined : int
    reasons : dict
        Rows per reason of not being kept.
    symbols : tuple of SymbolReport
    quarantine : tuple of QuarantinedRow
        All of them.
    """

    file: str
    sha256: str
    interval: str
    rows: int
    kept: int
    duplicates: int
    quarantined: int
    reasons: dict[str, int]
    symbols: tuple[SymbolReport, ...]
    quarantine: tuple[QuarantinedRow, ...]

    def to_json(self, *, quarantine_limit: int = 1000) -> dict[str, Any]:
        """JSON-safe form; the quarantine list is cut at the limit and says so."""
        return {
            "file": self.file,
            "sha256": self.sha256,
            "interval": self.interval,
            "rows": self.rows,
            "kept": self.kept,
            "duplicates": self.duplicates,
            "quarantined": self.quarantined,
            "reasons": self.reasons,
            "multiplier_symbols": {
                s.symbol: s.multiplier for s in self.symbols if s.multiplier > 1
            },
            "fiat_symbols": [s.symbol for s in self.symbols if s.fiat],
            "symbols": [s.to_json() for s in self.symbols],
            "quarantine": [row.to_json() for row in self.quarantine[:quarantine_limit]],
            "quarantine_listed": min(len(self.quarantine), quarantine_limit),
        }


def gap_counts(opened_at: np.ndarray, interval: np.timedelta64) -> tuple[int, int, int]:
    """Number of gaps, bars missing in them, and the longest one, of sorted distinct opens."""
    if len(opened_at) < 2:
        return 0, 0, 0
    steps = np.diff(opened_at) // interval - 1
    gaps = steps[steps > 0]
    if not len(gaps):
        return 0, 0, 0
    return len(gaps), int(gaps.sum()), int(gaps.max())


def quarantine_rows(
    disposition: Disposition, symbols: np.ndarray, opened_at: np.ndarray
) -> tuple[QuarantinedRow, ...]:
    """List every quarantined row, in file order."""
    rows = np.flatnonzero(disposition.status == QUARANTINED)
    shown = np.datetime_as_string(opened_at[rows], unit="s")
    return tuple(
        QuarantinedRow(row + 1, symbol, None if when == "NaT" else f"{when}Z", REASONS[reason])
        for row, symbol, when, reason in zip(
            rows.tolist(),
            symbols[rows].tolist(),
            shown.tolist(),
            disposition.reason[rows].tolist(),
            strict=True,
        )
    )
