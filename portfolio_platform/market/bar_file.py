"""Bars from a CSV or Parquet file: typed, normalised, every row accounted for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd

from portfolio_platform.market.errors import (
    BadSymbol,
    MissingColumn,
    NoUsableRows,
    SymbolError,
    UnknownInterval,
    UnreadableFile,
)
from portfolio_platform.market.file_columns import match_columns, numbers, read_table, times
from portfolio_platform.market.file_report import (
    FileReport,
    SymbolReport,
    gap_counts,
    quarantine_rows,
)
from portfolio_platform.market.row_rules import (
    DUPLICATE,
    KEPT,
    QUARANTINED,
    REASON_CODE,
    REASONS,
    Disposition,
    dispose,
    unusable_times,
)
from portfolio_platform.market.series import (
    FIELDS,
    INTERVALS,
    BarSeries,
    Instrument,
    InstrumentKind,
    instant,
    instrument_kind,
    interval_length,
    iso,
)

_BLOCK = 1 << 20
_BARS_THAT_TELL = 5


@dataclass(frozen=True, slots=True)
class BarFile:
    """A file read.

    Attributes
    ----------
    series : dict of Instrument to BarSeries
        Kept rows of each symbol, sorted by time, as quoted (contract units).
    report : FileReport
    disposition : Disposition
        What became of each row, in file order.
    """

    series: dict[Instrument, BarSeries]
    report: FileReport
    disposition: Disposition

    @property
    def sha256(self) -> str:
        """Content hash of the file."""
        return self.report.sha256

    @property
    def interval(self) -> str:
        """Bar interval of the file."""
        return self.report.interval


def file_sha256(path: Path) -> str:
    """Hex sha256 of a file's bytes."""
    if not path.is_file():
        raise UnreadableFile(str(path), "no such file: give the path of a .csv or .parquet file")
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def infer_interval(group: np.ndarray, opened_at: np.ndarray) -> np.timedelta64 | None:
    """Most frequent positive step between bars of one symbol; None without two bars."""
    order = np.lexsort((opened_at, group))
    steps = np.diff(opened_at[order])
    steps = steps[(np.diff(group[order]) == 0) & (steps > np.timedelta64(0, "ns"))]
    if not len(steps):
        return None
    lengths, counts = np.unique(steps, return_counts=True)
    common: np.timedelta64 = lengths[counts.argmax()]
    return common


def infer_phase(opened_at: np.ndarray, interval: np.timedelta64) -> np.timedelta64:
    """Most frequent offset of bar opens from the epoch grid (0 for UTC-aligned bars).

    Each distinct instant has one vote, so that a row repeated many times does not move the grid.
    """
    instants = pd.unique(opened_at).astype(np.int64)
    offsets, counts = np.unique(instants % interval.astype(np.int64), return_counts=True)
    return np.timedelta64(int(offsets[counts.argmax()]), "ns")


def _interval(
    file: str, name: str | None, group: np.ndarray, opened_at: np.ndarray
) -> tuple[str, np.timedelta64]:
    if name is not None:
        length = interval_length(name)
        _refuse_longer_bars(file, name, length, opened_at)
        return name, length
    found = infer_interval(group, opened_at)
    if found is None:
        raise UnknownInterval(
            file, "too few rows to tell the bar interval: give it, e.g. interval='1d'"
        )
    for known, length in INTERVALS.items():
        if length == found:
            return known, length
    raise UnknownInterval(
        file,
        f"bars are {pd.Timedelta(found)} apart, which is none of {', '.join(INTERVALS)}: "
        "resample them or give the interval",
    )


def _refuse_longer_bars(
    file: str, name: str, length: np.timedelta64, opened_at: np.ndarray
) -> None:
    """Refuse an interval where every bar opens on the grid of a longer one.

    Holes never put all bars of a series on a coarser grid, so the bars are those longer ones.
    """
    instants = pd.unique(opened_at).astype(np.int64)
    if len(instants) < _BARS_THAT_TELL:
        return
    for longer, candidate in reversed(INTERVALS.items()):
        if candidate > length and not ((instants - instants[0]) % candidate.astype(np.int64)).any():
            raise UnknownInterval(
                file, f"every bar opens a multiple of {longer} after the first: not {name} bars"
            )


def read_bars(
    path: str | Path,
    venue: str,
    kind: InstrumentKind | str,
    *,
    symbol: str | None = None,
    interval: str | None = None,
    quote: str | None = None,
    mints: Mapping[str, str] | None = None,
    ohlc_tolerance: float = 1e-9,
    closed_by: datetime | None = None,
) -> BarFile:
    """Read a bar file.

    Columns: one of `date|time|timestamp` (bar open; text without a zone is UTC; numbers are Unix
    s/ms/us/ns), `open`, `high`, `low`, `close`, `volume`, optionally `symbol` and `turnover`.

    Parameters
    ----------
    path : str or Path
        `.csv`, `.csv.gz` or `.parquet`.
    venue : str
    kind : InstrumentKind or str
        spot, perp, oracle or pool; a file holds one kind.
    symbol : str, optional
        The symbol of a file without a symbol column.
    interval : str, optional
        Bar length; read off the rows where omitted.
    quote : str, optional
        Quote asset where symbols do not carry one.
    mints : mapping, optional
        Venue symbol or base asset → mint.
    ohlc_tolerance : float
        See :class:`~.settings.CleaningSettings`.
    closed_by : datetime, optional
        Bars that close later are quarantined: they are not final, or have not happened.

    Returns
    -------
    BarFile

    Raises
    ------
    BarFileError
        `UnreadableFile`, `MissingColumn`, `AmbiguousColumn`, `UnknownInterval`, `BadSymbol` or
        `NoUsableRows`, each naming file and, where there is one, column and row.
    """
    source = Path(path)
    file = str(path)
    sha256 = file_sha256(source)
    frame = read_table(source)
    if not len(frame):
        raise UnreadableFile(file, "the file has a header and no row")
    columns = match_columns(file, frame)
    kind = instrument_kind(kind)

    if "symbol" in columns:
        if symbol is not None:
            raise BadSymbol(
                file, "has a symbol column: do not give a symbol as well", column="symbol"
            )
        codes, spelled = pd.factorize(frame[columns["symbol"]])
        place, names = pd.factorize(
            pd.Series([str(name).strip() for name in spelled], dtype=object)
        )
        group = np.append(place, -1)[codes].astype(np.int64)
        labels = [str(name) for name in names]
    elif symbol is not None:
        group = np.zeros(len(frame), dtype=np.int64)
        labels = [symbol]
    else:
        raise MissingColumn(
            file, "no symbol column: add one, or name the symbol of the file", column="symbol"
        )

    opened_at = times(frame[columns["time"]])
    values = {
        name: numbers(frame[columns[name]]) if name in columns else np.full(len(frame), np.nan)
        for name in FIELDS
    }
    if kind is InstrumentKind.ORACLE:
        # An oracle reports no trades: its zero volume means "not recorded".
        values["volume"] = np.where(values["volume"] == 0, np.nan, values["volume"])

    placed = (unusable_times(opened_at) == 0) & (group >= 0)
    if not placed.any():
        raise NoUsableRows(
            file,
            f"no row has a readable time and symbol; the first says "
            f"{frame[columns['time']].iloc[0]!r}",
            column=str(columns["time"]),
            row=1,
        )
    name, length = _interval(file, interval, group[placed], opened_at[placed])
    phase = infer_phase(opened_at[placed], length)

    limit = None if closed_by is None else instant(closed_by)
    disposition = dispose(group, opened_at, values, length, phase, ohlc_tolerance, limit)
    nameless = group < 0
    reason = np.where(nameless, REASON_CODE["null_symbol"], disposition.reason)
    disposition = Disposition.of_reasons(reason)
    if not (disposition.status == KEPT).any():
        first = REASONS[disposition.reason[0]]
        raise NoUsableRows(file, f"every row was refused, the first for {first}", row=1)

    series: dict[Instrument, BarSeries] = {}
    reports: list[SymbolReport] = []
    by_group = np.argsort(group, kind="stable")
    bounds = np.searchsorted(group[by_group], np.arange(len(labels) + 1))
    mints = mints or {}
    for code, label in enumerate(labels):
        rows = by_group[bounds[code] : bounds[code + 1]]
        try:
            instrument = Instrument.parse(venue, label, kind, quote=quote)
        except SymbolError as error:
            raise BadSymbol(file, str(error), column="symbol", row=int(rows[0]) + 1) from error
        mint = mints.get(label, mints.get(instrument.base))
        if mint is not None:
            instrument = Instrument.parse(venue, label, kind, quote=quote, mint=mint)
        kept = rows[disposition.status[rows] == KEPT]
        kept = kept[np.argsort(opened_at[kept], kind="stable")]
        bars = BarSeries(
            instrument,
            name,
            opened_at[kept],
            phase=phase,
            **{field: values[field][kept] for field in FIELDS},
        )
        if len(bars):
            series[instrument] = bars
        reports.append(_symbol_report(bars, opened_at[rows], length, disposition, rows))

    report = FileReport(
        file=source.name,
        sha256=sha256,
        interval=name,
        rows=len(frame),
        kept=int((disposition.status == KEPT).sum()),
        duplicates=int((disposition.status == DUPLICATE).sum()),
        quarantined=int((disposition.status == QUARANTINED).sum()),
        reasons=disposition.counts(),
        symbols=tuple(reports),
        quarantine=quarantine_rows(
            disposition,
            np.array([*labels, None], dtype=object)[group],
            opened_at,
        ),
    )
    return BarFile(series, report, disposition)


def _symbol_report(
    bars: BarSeries,
    opened_at: np.ndarray,
    interval: np.timedelta64,
    disposition: Disposition,
    rows: np.ndarray,
) -> SymbolReport:
    reason = disposition.reason[rows]
    counted = {name: int((reason == code).sum()) for name, code in REASON_CODE.items()}
    gaps, missing, longest = gap_counts(bars.opened_at, interval)
    instrument = bars.instrument
    return SymbolReport(
        symbol=instrument.symbol,
        base=instrument.base,
        quote=instrument.quote,
        multiplier=instrument.multiplier,
        fiat=instrument.fiat,
        rows=len(rows),
        kept=len(bars),
        exact_duplicates=counted["exact_duplicate"],
        superseded_duplicates=counted["superseded_duplicate"],
        quarantined=int((disposition.status[rows] == QUARANTINED).sum()),
        bad_ohlc=counted["bad_ohlc"],
        nulls=sum(counted[f"null_{name}"] for name in ("time", "open", "high", "low", "close")),
        zero_volume=int((bars.volume == 0).sum()),
        null_volume=int(np.isnan(bars.volume).sum()),
        unsorted=int((np.diff(opened_at) < np.timedelta64(0, "ns")).sum()),
        gaps=gaps,
        missing_bars=missing,
        longest_gap_bars=longest,
        first=iso(bars.opened_at[0]) if len(bars) else None,
        last=iso(bars.opened_at[-1]) if len(bars) else None,
    )
