"""Prices as a simulator walks them: marked, tradable or not, with what the costs need to know."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.backtesting.outcomes import CannotRun, Reason
from portfolio_platform.optimization import PricePanel
from portfolio_platform.reallocation.costs import CostModel

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class MarketPath:
    """What a portfolio meets bar by bar; every array has one row per bar.

    Attributes
    ----------
    assets
        Ids of the n columns.
    times
        (T,) bar closes, naive UTC.
    price
        (T, n) marks: the last known price, 0 before the first one.
    tradable
        (T, n) whether a positive price was printed at this bar, and the costs of trading at it can
        be known.
    settle
        (T, n) whether a holding is settled in cash at this bar because its price has stopped.
    income
        (T, n) yield earned from the previous bar to this one, as a fraction; (1, 1) when none.
    adv
        (T, n) traded value per bar over the bars **before** this one; (1, 1) when not needed.
    volatility
        (T, n) standard deviation of returns up to the bar before; (1, 1) when not needed.
    depth
        (n,) hub reserve per asset; (1,) when not needed.
    """

    assets: tuple[str, ...]
    times: NDArray[np.datetime64]
    price: FloatArray
    tradable: BoolArray
    settle: BoolArray
    income: FloatArray
    adv: FloatArray
    volatility: FloatArray
    depth: FloatArray

    def __len__(self) -> int:
        return len(self.times)

    @cached_property
    def compiled(self) -> tuple[NDArray[Any], ...]:
        """The arrays as the compiled walk reads them."""
        from portfolio_platform.backtesting.kernel_trades import Market

        inverse = np.divide(1.0, self.price, out=np.zeros_like(self.price), where=self.price > 0.0)
        return Market(
            self.price,
            inverse,
            self.tradable,
            self.settle,
            np.asarray(self.settle.any(axis=1)),
            self.income,
            self.adv,
            self.volatility,
            self.depth,
        )


def forward_fill(close: FloatArray) -> FloatArray:
    """Return `close` (T, n) with each gap filled by the last known price, 0 before the first."""
    known = np.isfinite(close)
    if known.all():
        return np.ascontiguousarray(close)
    rows = np.where(known, np.arange(len(close))[:, None], -1)
    np.maximum.accumulate(rows, axis=0, out=rows)
    filled = np.take_along_axis(close, np.maximum(rows, 0), axis=0)
    return np.where(rows >= 0, filled, 0.0)


def build_path(
    panel: PricePanel,
    first: int,
    last: int,
    *,
    costs: CostModel,
    bars_per_year: float,
    settle_after: int | None = None,
    accrue_yields: bool = False,
    volumes: FloatArray | None = None,
) -> MarketPath:
    """Cut rows `first` to `last` (inclusive) of a panel into a path.

    Parameters
    ----------
    volumes
        (T, n) traded value of each bar of the whole panel, in the currency of the prices; NaN where
        unknown. Where costs depend on it an asset is traded only after a first one is known.
    settle_after
        Bars without a price after which a holding is settled; None holds it for ever. A price that
        comes back later is simply tradable again: nothing is known in advance.

    Raises
    ------
    CannotRun
        ``volume_missing`` or ``pool_depth_missing`` when the cost model needs what is not there.
    """
    rows = slice(first, last + 1)
    close = panel.close
    present = np.isfinite(close)
    marks = forward_fill(close)
    tradable = present & (close > 0)
    nothing = np.zeros((1, 1))
    income = nothing
    if accrue_yields and panel.yields is not None:
        income = np.zeros_like(marks)
        income[1:] = np.nan_to_num(panel.yields[:-1]) / bars_per_year
        income = np.ascontiguousarray(income[rows])
    adv, volatility = nothing, nothing
    if costs.needs_volume:
        if volumes is None or not np.isfinite(volumes).any():
            raise CannotRun(
                Reason(
                    "volume_missing",
                    "the cost model needs traded volumes and no bar has any; oracle prices have "
                    "none: use impact 'pool' or 'none', and no participation_cap",
                    "costs",
                )
            )
        tradable &= _known_before(volumes)
        adv = np.ascontiguousarray(_mean_before(np.nan_to_num(volumes), costs.adv_bars)[rows])
    if costs.impact == "sqrt":
        volatility = np.ascontiguousarray(_volatility_before(marks, costs.adv_bars)[rows])
    depth = np.zeros(1)
    if costs.impact == "pool":
        missing = [asset for asset in panel.assets if asset not in costs.pool_depth]
        if missing:
            raise CannotRun(
                Reason(
                    "pool_depth_missing",
                    f"no pool depth for {', '.join(missing[:3])}"
                    + (f" and {len(missing) - 3} more" if len(missing) > 3 else ""),
                    "costs.pool_depth",
                )
            )
        depth = np.array([costs.pool_depth[asset] for asset in panel.assets])
    return MarketPath(
        assets=panel.assets,
        times=panel.times[rows],
        price=np.ascontiguousarray(marks[rows]),
        tradable=np.ascontiguousarray(tradable[rows]),
        settle=np.ascontiguousarray(_settlements(present, settle_after)[rows]),
        income=income,
        adv=adv,
        volatility=volatility,
        depth=depth,
    )


def _settlements(present: BoolArray, after: int | None) -> BoolArray:
    """Return where the `after`-th bar in a row without a price falls."""
    if after is None or present.all():
        return np.zeros_like(present)
    rows = np.arange(len(present))[:, None]
    last_seen = np.maximum.accumulate(np.where(present, rows, -1), axis=0)
    return (last_seen >= 0) & (rows - last_seen == after)


def _known_before(values: FloatArray) -> BoolArray:
    """Return where a row strictly before has a value."""
    known = np.zeros(values.shape, dtype=np.bool_)
    np.logical_or.accumulate(np.isfinite(values[:-1]), axis=0, out=known[1:])
    return known


def _mean_before(values: FloatArray, window: int) -> FloatArray:
    """Mean of up to `window` rows strictly before each row; 0 in the first."""
    total = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    row = np.arange(len(values))
    low = np.maximum(row - window, 0)
    count = np.maximum(row - low, 1)[:, None]
    return (total[row] - total[low]) / count


def _volatility_before(marks: FloatArray, window: int) -> FloatArray:
    """Standard deviation (ddof 1) of up to `window` returns known one bar before each row."""
    with np.errstate(divide="ignore", invalid="ignore"):
        returns = np.where(marks[:-1] > 0, marks[1:] / marks[:-1] - 1.0, 0.0)
    returns = np.vstack([np.zeros((1, marks.shape[1])), returns])
    mean = _mean_before(returns, window)
    square = _mean_before(returns**2, window)
    count = np.minimum(np.arange(len(marks)), window)[:, None]
    correction = count / np.maximum(count - 1, 1)
    return np.sqrt(np.maximum(square - mean**2, 0.0) * correction)
