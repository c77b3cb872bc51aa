"""walk_forward: the decisions of a strategy at many times, equal to ``decide`` at each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.optimization import batch
from portfolio_platform.optimization.checks import GAP_LIMITS
from portfolio_platform.optimization.decide import decide
from portfolio_platform.optimization.panel import FloatArray, PricePanel, TimeArray, instant
from portfolio_platform.optimization.solution import NoAnswer, Solution
from portfolio_platform.optimization.spec import StrategySpec
from portfolio_platform.optimization.universe import candidates, chooses_cash, needed_history


class Solutions(Sequence[Solution]):
    """The full solution of each decision, made when asked for and then kept."""

    def __init__(self, walk: WalkForward) -> None:
        self._walk = walk
        self._kept: dict[int, Solution] = dict(walk.kept)

    def __len__(self) -> int:
        return len(self._walk.times)

    def __getitem__(self, place: Any) -> Any:
        if isinstance(place, slice):
            return [self[index] for index in range(*place.indices(len(self)))]
        index = range(len(self))[place]
        if index not in self._kept:
            walk = self._walk
            self._kept[index] = decide(walk.spec, walk.panel, walk.times[index])
        return self._kept[index]


@dataclass(frozen=True)
class WalkForward:
    """Decisions at k times over n assets.

    Attributes
    ----------
    times
        (k,) ``datetime64[ns]``.
    assets
        (n,) candidates of the panel, sorted by id.
    weights
        (k, n); 0 for an asset outside the universe of that time, a row of NaN without an answer.
    statuses
        (k,) the status of each decision.
    gaps
        (k,) certified relative gap, NaN where the model has none.
    engines
        (k,) the engine that answered.
    """

    spec: StrategySpec
    panel: PricePanel
    times: TimeArray
    assets: tuple[str, ...]
    weights: FloatArray
    statuses: NDArray[np.str_]
    gaps: FloatArray
    engines: NDArray[np.str_]
    kept: Mapping[int, Solution] = field(default_factory=dict, repr=False)

    @property
    def solutions(self) -> Solutions:
        """The full solutions, made lazily."""
        cached = self.__dict__.get("_solutions")
        if cached is None:
            cached = Solutions(self)
            object.__setattr__(self, "_solutions", cached)
        return cached

    def target(self, place: int) -> dict[str, float]:
        """Return asset to weight of one decision, without the zeros."""
        row = self.weights[place]
        return {
            asset: float(weight)
            for asset, weight in zip(self.assets, row, strict=True)
            if weight != 0 and np.isfinite(weight)
        }


def walk_forward(
    spec: StrategySpec,
    panel: PricePanel,
    times: Sequence[datetime] | TimeArray,
    *,
    current: Mapping[str, float] | None = None,
) -> WalkForward:
    """Decide at each of `times` (increasing) from what was known by then.

    Where a compiled kernel covers the strategy and needs no compiling, windows are solved together,
    moments rolled and each solve started from the one before; the rest is decided one by one.
    Weights equal those of ``decide`` within 1e-9.

    Parameters
    ----------
    spec
        The strategy.
    panel
        Prices.
    times
        Decision times, strictly increasing.
    current
        Holding before the first decision. Strategies with a turnover limit or cost carry each
        decision to the next, drifted with the prices known then.

    Raises
    ------
    ValueError
        When `times` are not strictly increasing.
    """
    stamps = _stamps(times)
    k = len(stamps)
    columns, _ = candidates(spec, panel)
    assets = tuple(panel.assets[column] for column in columns)
    weights = np.zeros((k, len(assets)))
    statuses = np.full(k, "", dtype="<U32")
    engines = np.full(k, "", dtype="<U16")
    gaps = np.full(k, np.nan)
    done = np.zeros(k, dtype=bool)
    if k and columns:
        done = _compiled(spec, panel, stamps, columns, weights, statuses, engines, gaps)
    kept = _one_by_one(spec, panel, stamps, assets, current, done, weights, statuses, engines, gaps)
    return WalkForward(spec, panel, stamps, assets, weights, statuses, gaps, engines, kept)


def _stamps(times: Sequence[datetime] | TimeArray) -> TimeArray:
    if isinstance(times, np.ndarray) and times.dtype.kind == "M":
        stamps = times.astype("datetime64[ns]")
    else:
        stamps = np.array([instant(time) for time in times], dtype="datetime64[ns]")
    if np.isnat(stamps).any() or not np.all(stamps[1:] > stamps[:-1]):
        raise ValueError("times must be strictly increasing, without NaT")
    return stamps


def _compiled(
    spec: StrategySpec,
    panel: PricePanel,
    stamps: TimeArray,
    columns: list[int],
    weights: FloatArray,
    statuses: NDArray[np.str_],
    engines: NDArray[np.str_],
    gaps: FloatArray,
) -> NDArray[np.bool_]:
    """Fill the decisions the kernels cover; return which ones they are."""
    done = np.zeros(len(stamps), dtype=bool)
    stable = np.array([panel.assets[column] in panel.stable for column in columns])
    weighs_cash = chooses_cash(spec)
    name = batch.kind(
        spec, len(columns) if weighs_cash else int((~stable).sum()), has_cash=bool(stable.any())
    )
    if name is None:
        return done
    prices = panel.close if columns == list(range(len(panel.assets))) else panel.close[:, columns]
    ends = np.searchsorted(panel.times, stamps, side="right")
    starts = ends - 1 - spec.lookback
    inside = starts >= 0
    if not inside.any():
        return done
    usable, simple = _usable(prices, np.where(inside, starts, 0), ends, spec)
    simple &= inside
    with np.errstate(divide="ignore", invalid="ignore"):
        if spec.returns == "log":
            returns = np.diff(np.log(prices), axis=0)
        else:
            returns = prices[1:] / prices[:-1] - 1.0
    for first, last in _runs(usable, simple):
        held = usable[first] if weighs_cash else usable[first] & ~stable
        cash = usable[first] & stable
        if held.sum() < 2 or (spec.budget < 1 and not cash.any()):
            continue
        this = batch.kind(spec, int(held.sum()), has_cash=bool(cash.any()))
        if this is None or not batch.is_ready(this):
            continue
        labels = tuple(panel.assets[columns[place]] for place in np.flatnonzero(usable[first]))
        try:
            rows = batch.constraints(spec, panel, labels)
            part = np.ascontiguousarray(returns if held.all() else returns[:, held])
            answer = batch.run(this, spec, part, starts[first:last].astype(np.int64), rows)
        except NoAnswer:
            continue
        good = (answer.states == batch.OPTIMAL) & rows.hold(answer.weights)
        if this != "hrp":
            with np.errstate(invalid="ignore"):
                good &= answer.gaps <= GAP_LIMITS["exact"]
        chosen = first + np.flatnonzero(good)
        weights[np.ix_(chosen, np.flatnonzero(held))] = answer.weights[good] * spec.budget
        if cash.any() and spec.budget < 1:
            weights[np.ix_(chosen, np.flatnonzero(cash))] = (1 - spec.budget) / cash.sum()
        statuses[chosen], engines[chosen], done[chosen] = "optimal", "exact", True
        gaps[chosen] = answer.gaps[good]
        if spec.fallback:
            # what has no answer here is decided one by one, with the alternatives
            continue
        empty = first + np.flatnonzero(answer.states == batch.NO_EXCESS)
        statuses[empty], done[empty] = "no_positive_excess_return", True
        weights[empty] = np.nan
    return done


def _usable(
    prices: FloatArray, starts: NDArray[np.int64], ends: NDArray[np.int64], spec: StrategySpec
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return (k, n) columns without a blemish in the window, and (k,) windows so decidable.

    A window is decidable here when every other column is plainly out: no price at its end, or a
    history that began too late. Gaps to be filled, and histories that shorten the window of all,
    are left to ``decide``.
    """
    with np.errstate(invalid="ignore"):
        good = np.isfinite(prices) & (prices > 0)
    if good.all():
        shape = (len(starts), prices.shape[1])
        return np.ones(shape, dtype=bool), np.ones(len(starts), dtype=bool)
    counts = np.zeros((len(prices) + 1, prices.shape[1]), dtype=np.int64)
    np.cumsum(~good, axis=0, out=counts[1:])
    usable = counts[ends] == counts[starts]
    last = np.isfinite(prices[np.maximum(ends - 1, 0)])
    first = np.isfinite(prices[starts])
    bad_price = np.zeros((len(prices) + 1, prices.shape[1]), dtype=np.int64)
    np.cumsum(np.isfinite(prices) & ~good, axis=0, out=bad_price[1:])
    wrong = bad_price[ends] != bad_price[starts]
    if needed_history(spec) >= spec.lookback:
        wrong |= ~first
    else:
        began = np.where(good.any(axis=0), good.argmax(axis=0), len(prices))
        wrong |= ends[:, None] - 1 - began < needed_history(spec)
    if spec.universe.max_stale == 0:
        wrong |= ~last
    return usable, (usable | wrong).all(axis=1)


def _runs(usable: NDArray[np.bool_], simple: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return maximal [first, last) runs of simple windows with the same usable columns."""
    places = np.flatnonzero(simple)
    if places.size == 0:
        return []
    breaks = (np.diff(places) > 1) | (usable[places[1:]] != usable[places[:-1]]).any(axis=1)
    edges = np.concatenate([[0], np.flatnonzero(breaks) + 1, [len(places)]])
    return [
        (int(places[edges[i]]), int(places[edges[i + 1] - 1]) + 1) for i in range(len(edges) - 1)
    ]


def _one_by_one(
    spec: StrategySpec,
    panel: PricePanel,
    stamps: TimeArray,
    assets: tuple[str, ...],
    current: Mapping[str, float] | None,
    done: NDArray[np.bool_],
    weights: FloatArray,
    statuses: NDArray[np.str_],
    engines: NDArray[np.str_],
    gaps: FloatArray,
) -> dict[int, Solution]:
    kept: dict[int, Solution] = {}
    column = {asset: place for place, asset in enumerate(assets)}
    carries = spec.turnover is not None or spec.cost_bps > 0 or "previous" in spec.fallback
    held, since = current, None
    for place in np.flatnonzero(~done):
        stamp = stamps[place]
        if carries and held is not None and since is not None:
            held = drifted(panel, held, since, stamp)
        solution = decide(spec, panel, stamp, current=held if carries else current)
        statuses[place], engines[place] = solution.status, solution.engine or ""
        gaps[place] = np.nan if solution.gap is None else solution.gap
        kept[int(place)] = solution
        if solution.ok:
            for asset, weight in solution.weights.items():
                if asset in column:
                    weights[place, column[asset]] = weight
            held = solution.weights
        else:
            weights[place] = np.nan
        since = stamp
    return kept


def drifted(
    panel: PricePanel, held: Mapping[str, float], since: np.datetime64, now: np.datetime64
) -> dict[str, float]:
    """Return the weights `held` becomes between two times as prices move, without trading.

    An asset without a price at either time keeps its weight relative to cash.
    """
    before = int(np.searchsorted(panel.times, since, side="right")) - 1
    after = int(np.searchsorted(panel.times, now, side="right")) - 1
    column = {asset: place for place, asset in enumerate(panel.assets)}
    values = {}
    for asset, weight in held.items():
        growth = 1.0
        if asset in column and before >= 0:
            start, stop = panel.close[before, column[asset]], panel.close[after, column[asset]]
            if start > 0 and stop > 0 and np.isfinite(start) and np.isfinite(stop):
                growth = float(stop / start)
        values[asset] = weight * growth
    total = sum(values.values())
    return {asset: value / total for asset, value in values.items()} if total > 0 else dict(held)
