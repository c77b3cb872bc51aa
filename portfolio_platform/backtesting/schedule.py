"""When a strategy decides: bars of a calendar, from the times of the bars alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.backtesting.spec_parts import Rebalance

_DAY = np.timedelta64(1, "D")
#: 1970-01-01 was a Thursday; weeks begin on Monday.
_TO_MONDAY = 3


def decision_bars(times: NDArray[np.datetime64], rule: Rebalance) -> NDArray[np.int64]:
    """Return the rows of `times` (T,) at which the strategy decides; the first row always.

    A bar belongs to the week or month in which it **closes**; weekly and monthly decide at the
    first bar that closes in a new one.
    """
    bars = len(times)
    if isinstance(rule.every, int):
        return np.arange(0, bars, rule.every)
    if rule.every == "weekly":
        days = (times - np.datetime64(0, "D")) // _DAY
        period = (days + _TO_MONDAY) // 7
    else:
        period = times.astype("datetime64[M]").astype(np.int64)
    changed = np.flatnonzero(np.diff(period)) + 1
    return np.concatenate([[0], changed]) if bars else np.zeros(0, dtype=np.int64)
