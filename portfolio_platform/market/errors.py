"""Errors of the market room; each names what is wrong, where, and what to do about it."""

from __future__ import annotations


class MarketError(ValueError):
    """Base of everything the market room refuses."""


class SymbolError(MarketError):
    """A venue symbol that cannot be split into base and quote."""


class InstrumentError(MarketError):
    """An instrument that contradicts itself, e.g. listed_to before listed_from."""


class MixedInstruments(MarketError):
    """Two series that must never become one: other kind, venue, quote, multiplier or asset."""


class UnsupportedInterval(MarketError):
    """A bar interval that is not one of the fixed lengths the platform stores."""


class SeriesError(MarketError):
    """Columns of a bar series that do not fit together."""


class PanelError(MarketError):
    """Series that cannot stand side by side in one panel."""


class MetricsError(MarketError):
    """Inputs from which no metric may be computed (e.g. a NaN chain input)."""


class BarFileError(MarketError):
    """A bar file that cannot be read.

    Attributes
    ----------
    file : str
        Name of the file as given by the caller.
    column : str or None
        The column at fault.
    row : int or None
        The data row at fault, counted from 1 (the header is not a row).
    """

    def __init__(
        self, file: str, message: str, *, column: str | None = None, row: int | None = None
    ) -> None:
        self.file = file
        self.column = column
        self.row = row
        where = [file]
        if column is not None:
            where.append(f"column {column!r}")
        if row is not None:
            where.append(f"row {row}")
        super().__init__(f"{', '.join(where)}: {message}")


class UnreadableFile(BarFileError):
    """Missing, empty, not text or not Parquet, or with a row of the wrong number of fields."""


class MissingColumn(BarFileError):
    """A required column is not there."""


class AmbiguousColumn(BarFileError):
    """Two columns claim the same meaning, e.g. both `date` and `timestamp`."""


class UnknownInterval(BarFileError):
    """The bar interval can neither be read off the rows nor was it given."""


class BadSymbol(BarFileError):
    """A symbol in the file that cannot be parsed."""


class NoUsableRows(BarFileError):
    """Every row was refused; the first one is named."""
