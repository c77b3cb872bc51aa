"""Prices of many assets at the instants they became known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
TimeArray = NDArray[np.datetime64]
BoolArray = NDArray[np.bool_]
Instant = datetime | np.datetime64


class PanelError(ValueError):
    """A price panel whose parts do not fit together."""


def instant(value: Instant) -> np.datetime64:
    """Return `value` as naive UTC ``datetime64[ns]``.

    Raises
    ------
    PanelError
        For a datetime without a time zone, or not-a-time.
    """
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise PanelError(f"{value.isoformat()} has no time zone; pass an aware datetime")
        stamp = np.datetime64(value.astimezone(UTC).replace(tzinfo=None), "ns")
    else:
        stamp = value.astype("datetime64[ns]")
    if np.isnat(stamp):
        raise PanelError("the time is not a time (NaT)")
    return stamp


@dataclass(frozen=True)
class PricePanel:
    """Close prices of n assets at T instants.

    Parameters
    ----------
    assets
        Mints (or ``venue:SYMBOL``), unique.
    times
        (T,) ``datetime64[ns]``, naive UTC, strictly increasing: when each row is known (bar close).
    close
        (T, n) float64 prices; NaN is a missing bar.
    stable
        Assets that are stablecoins.
    groups
        Group of each asset that has one.
    yields
        (T, n) annual rates known at each instant, NaN where an asset earns none; or None.
    """

    assets: tuple[str, ...]
    times: TimeArray
    close: FloatArray
    stable: frozenset[str] = frozenset()
    groups: Mapping[str, str] = field(default_factory=dict)
    yields: FloatArray | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "assets", tuple(self.assets))
        object.__setattr__(self, "times", np.asarray(self.times, dtype="datetime64[ns]"))
        object.__setattr__(self, "close", np.asarray(self.close, dtype=np.float64))
        object.__setattr__(self, "stable", frozenset(self.stable))
        shape = (self.times.shape[0], len(self.assets))
        if self.times.ndim != 1 or self.close.shape != shape:
            raise PanelError(f"close has shape {self.close.shape}, times and assets say {shape}")
        if len(set(self.assets)) != len(self.assets):
            raise PanelError("an asset appears twice in the panel")
        if np.isnat(self.times).any() or not np.all(self.times[1:] > self.times[:-1]):
            raise PanelError("times must be strictly increasing, without NaT")
        if self.yields is not None:
            object.__setattr__(self, "yields", np.asarray(self.yields, dtype=np.float64))
            if self.yields.shape != shape:
                raise PanelError(f"yields has shape {self.yields.shape}, expected {shape}")

    def until(self, as_of: Instant) -> PricePanel:
        """Return the rows known at `as_of`, as views of the same memory."""
        rows = int(np.searchsorted(self.times, instant(as_of), side="right"))
        return self._rows(0, rows)

    def last(self, rows: int) -> PricePanel:
        """Return the last `rows` rows, as views of the same memory."""
        return self._rows(max(0, len(self.times) - rows), len(self.times))

    def _rows(self, start: int, stop: int) -> PricePanel:
        part = object.__new__(PricePanel)
        for name, value in self.__dict__.items():
            if name in {"times", "close", "yields"} and value is not None:
                value = value[start:stop]
            object.__setattr__(part, name, value)
        return part

    @classmethod
    def from_frame(cls, frame: Any, **parts: Any) -> PricePanel:
        """Build a panel from a DataFrame: index of instants (UTC), one column per asset."""
        index = frame.index
        if getattr(index, "tz", None) is not None:
            index = index.tz_convert("UTC").tz_localize(None)
        return cls(
            assets=tuple(str(column) for column in frame.columns),
            times=np.asarray(index.values, dtype="datetime64[ns]"),
            close=frame.to_numpy(dtype=np.float64),
            **parts,
        )
