"""A planted look-ahead: puts everything on the token that will rise most tomorrow."""

from __future__ import annotations

import numpy as np

from portfolio_platform.optimization import PricePanel, Solution, StrategySpec


def decide_with_tomorrow(spec: StrategySpec, panel: PricePanel, as_of: np.datetime64) -> Solution:
    """Look one row past `as_of`."""
    row = int(np.searchsorted(panel.times, as_of, side="right"))
    after = panel.close[min(row, len(panel.times) - 1)] / panel.close[max(row - 1, 0)]
    best = panel.assets[int(np.nanargmax(after))]
    return Solution(status="optimal", weights={best: 1.0}, universe=(best,))
