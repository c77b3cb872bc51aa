"""From the cells of a bar file to typed columns: which column is what, and what its cells say."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import numpy as np
import pandas as pd

from portfolio_platform.market.errors import (
    AmbiguousColumn,
    MissingColumn,
    UnreadableFile,
)

TIME_NAMES = ("date", "time", "timestamp", "datetime", "open_time", "opened_at")
COLUMN_NAMES: dict[str, tuple[str, ...]] = {
    "time": TIME_NAMES,
    "open": ("open",),
    "high": ("high",),
    "low": ("low",),
    "close": ("close",),
    "volume": ("volume",),
    "symbol": ("symbol",),
    "turnover": ("turnover", "quote_volume"),
}
REQUIRED = ("time", "open", "high", "low", "close", "volume")
_TEXT_SUFFIXES = (".csv", ".csv.gz")
_FIELDS_SEEN = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")


def read_table(path: Path) -> pd.DataFrame:
    """The file as a frame, cells as pandas reads them.

    Raises
    ------
    UnreadableFile
        No such file, empty, neither CSV nor Parquet, or a CSV row with too many fields.
    """
    name = path.name.lower()
    if not path.is_file():
        raise UnreadableFile(str(path), "no such file: give the path of a .csv or .parquet file")
    if path.stat().st_size == 0:
        raise UnreadableFile(str(path), "the file is empty")
    try:
        if name.endswith(".parquet"):
            return pd.read_parquet(path)
        if name.endswith(_TEXT_SUFFIXES):
            return _read_csv(path)
    except (OSError, ValueError, EOFError) as error:
        if isinstance(error, UnreadableFile):
            raise
        shown = str(error).splitlines()[0] if str(error) else type(error).__name__
        match = _FIELDS_SEEN.search(str(error))
        if match:
            raise UnreadableFile(
                str(path),
                f"{match[3]} fields where the header has {match[1]}: a decimal comma?",
                row=int(match[2]) - 1,
            ) from error
        raise UnreadableFile(str(path), f"cannot be read: {shown}") from error
    raise UnreadableFile(str(path), "unknown format: use .csv, .csv.gz or .parquet")


def _read_csv(path: Path) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("error", pd.errors.ParserWarning)
        frame = pd.read_csv(
            path,
            encoding="utf-8-sig",
            low_memory=False,
            skip_blank_lines=False,
        )
    if not isinstance(frame.index, pd.RangeIndex):
        raise UnreadableFile(
            str(path), "rows have more fields than the header: a decimal comma?", row=1
        )
    return frame


def match_columns(file: str, frame: pd.DataFrame) -> dict[str, str]:
    """Meaning → column of the frame, matched without regard to case or surrounding space.

    Raises
    ------
    MissingColumn, AmbiguousColumn
    """
    spelled: dict[str, list[str]] = {}
    for column in frame.columns:
        spelled.setdefault(str(column).strip().lower(), []).append(column)
    found: dict[str, str] = {}
    for meaning, names in COLUMN_NAMES.items():
        present = [column for name in names for column in spelled.get(name, [])]
        if len(present) > 1:
            raise AmbiguousColumn(
                file, f"{present} all say {meaning}: keep one of them", column=str(present[1])
            )
        if present:
            found[meaning] = present[0]
    for meaning in REQUIRED:
        if meaning not in found:
            wanted = "|".join(COLUMN_NAMES[meaning])
            raise MissingColumn(
                file,
                f"no column {wanted}; found {', '.join(map(str, frame.columns))}",
                column=meaning if meaning != "time" else "date",
            )
    return found


def numbers(column: pd.Series) -> np.ndarray:
    """Cells as float64; what is empty or no number becomes NaN (and its row is quarantined)."""
    if pd.api.types.is_bool_dtype(column):
        return np.full(len(column), np.nan)
    converted = pd.to_numeric(column, errors="coerce")
    return converted.to_numpy(np.float64, na_value=np.nan)


def times(column: pd.Series) -> np.ndarray:
    """Cells as naive UTC datetime64[ns]; NaT where they say no time.

    Text without a zone is UTC, text with one is converted.  Numbers are Unix time in seconds,
    milliseconds, microseconds or nanoseconds, told apart by magnitude cell by cell.
    """
    if pd.api.types.is_datetime64_any_dtype(column):
        stamps = column
    elif pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return _unix(column.to_numpy(np.float64, na_value=np.nan))
    else:
        as_number = pd.to_numeric(column, errors="coerce")
        if len(column) and as_number.notna().to_numpy().mean() > 0.5:
            return _unix(as_number.to_numpy(np.float64, na_value=np.nan))
        stamps = pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601")
    if stamps.dt.tz is not None:
        stamps = stamps.dt.tz_convert("UTC").dt.tz_localize(None)
    return stamps.to_numpy("datetime64[ns]")


def _unix(values: np.ndarray) -> np.ndarray:
    out = np.full(len(values), np.datetime64("NaT"), dtype="datetime64[ns]")
    size = np.abs(values)
    for least, most, per_second in (
        (0.0, 1e11, 1),
        (1e11, 1e14, 1_000),
        (1e14, 1e17, 1_000_000),
        (1e17, 9.2e18, 1_000_000_000),
    ):
        rows = np.isfinite(values) & (size >= least) & (size < most)
        # Float64 holds microseconds of this century exactly, nanoseconds not.
        microseconds = np.rint(values[rows] * (1_000_000 / per_second)).astype(np.int64)
        out[rows] = microseconds.astype("datetime64[us]")
    return out
