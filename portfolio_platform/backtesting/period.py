"""From a spec and a panel to the bars of a backtest, or the typed reason why there are none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from portfolio_platform.backtesting.market_path import FloatArray, MarketPath, build_path
from portfolio_platform.backtesting.outcomes import CannotRun, Reason
from portfolio_platform.backtesting.schedule import decision_bars
from portfolio_platform.backtesting.simulator import Terms
from portfolio_platform.backtesting.spec import BacktestSpec
from portfolio_platform.optimization import PricePanel, StrategySpec


@dataclass(frozen=True)
class Period:
    """The bars of a backtest and what is common to everything simulated on them.

    Attributes
    ----------
    panel
        Prices up to the last bar, history before the first one included; nothing later.
    first
        Row of the panel of the first bar.
    decide_at
        (D,) bars (0 is the first of the period) at which strategies decide.
    notes
        What the data cannot give of what was asked, though the rest runs.
    """

    spec: BacktestSpec
    panel: PricePanel
    first: int
    path: MarketPath
    terms: Terms
    decide_at: NDArray[np.int64]
    data_hash: str
    notes: tuple[Reason, ...] = ()

    @property
    def times(self) -> NDArray[np.datetime64]:
        """(T,) bar closes."""
        return self.path.times

    @cached_property
    def seen(self) -> NDArray[np.datetime64]:
        """(T,) newest close a decision at each bar may see: its own, or `purge` bars before."""
        rows = self.first + np.arange(len(self.path)) - self.spec.window.purge
        known = self.panel.times[np.maximum(rows, 0)]
        return known + np.minimum(rows, 0) * bar_length(self.spec)


def open_period(
    spec: BacktestSpec,
    panel: PricePanel,
    strategies: Mapping[str, StrategySpec],
    volumes: FloatArray | None = None,
) -> Period:
    """Find the bars of the period and prepare the market.

    Raises
    ------
    CannotRun
        ``strategy_missing``, ``short_positions``, ``no_data_in_period``,
        ``window_longer_than_history``, ``volume_missing`` or ``pool_depth_missing``.
    """
    for position, name in enumerate(spec.strategy_names):
        if name not in strategies:
            raise CannotRun(
                Reason(
                    "strategy_missing", f"there is no strategy {name!r}", f"strategies.{position}"
                )
            )
        if not strategies[name].long_only:
            raise CannotRun(
                Reason(
                    "short_positions",
                    f"strategy {name!r} may go short; only spot holdings can be simulated",
                    f"strategies.{position}",
                )
            )
    priced = panel.until(_stamp(spec.end_time)) if spec.end_time is not None else panel
    if len(priced.times) == 0 or not np.isfinite(priced.close).any():
        raise CannotRun(Reason("no_data_in_period", "no price is known before the end", "end"))
    needed = max(_history(spec, strategies[name]) for name in spec.strategy_names)
    needed += spec.window.purge
    first = _first_row(spec, priced, needed)
    last = len(priced.times) - 1
    if needed > last:
        raise CannotRun(
            Reason(
                "window_longer_than_history",
                f"the window needs {needed} returns, {last} are known at the end of the period",
                "window",
            )
        )
    path = build_path(
        priced,
        first,
        last,
        costs=spec.costs,
        bars_per_year=spec.bars_per_year,
        settle_after=spec.delisting.after_bars,
        accrue_yields=spec.accrue_yields,
        volumes=None if volumes is None else volumes[: last + 1],
    )
    terms = Terms(
        costs=spec.costs,
        convention=spec.convention,
        rebalance=spec.rebalance,
        cash_rate_per_bar=spec.cash_rate / spec.bars_per_year,
        recovery=spec.delisting.recovery,
    )
    return Period(
        spec=spec,
        panel=priced,
        first=first,
        path=path,
        terms=terms,
        decide_at=decision_bars(path.times, spec.rebalance),
        data_hash=data_hash(priced, volumes),
        notes=tuple(_notes(spec, priced, path, volumes)),
    )


def bar_length(spec: BacktestSpec) -> np.timedelta64:
    """Return the time from one close to the next."""
    return np.timedelta64(round(365 * 86_400 / spec.bars_per_year), "s")


def _notes(
    spec: BacktestSpec, panel: PricePanel, path: MarketPath, volumes: FloatArray | None
) -> Iterator[Reason]:
    bar = bar_length(spec)
    if spec.start_time is not None and path.times[0] >= _stamp(spec.start_time) + bar:
        known = _iso(path.times[0])
        yield Reason("period_cut", f"prices begin at {known}, after the start asked for", "start")
    if spec.end_time is not None and path.times[-1] <= _stamp(spec.end_time) - bar:
        known = _iso(path.times[-1])
        yield Reason("period_cut", f"prices end at {known}, before the end asked for", "end")
    if spec.costs.needs_volume and volumes is not None:
        unknown = ~np.isfinite(volumes[: len(panel.times)]).any(axis=0)
        priced = np.isfinite(panel.close).any(axis=0)
        assets = [panel.assets[column] for column in np.flatnonzero(unknown & priced)]
        if assets:
            listed = ", ".join(assets[:5]) + (" …" if len(assets) > 5 else "")
            yield Reason(
                "volume_missing", f"no traded volume is known of {listed}: never traded", "costs"
            )


def _first_row(spec: BacktestSpec, panel: PricePanel, needed: int) -> int:
    if spec.start_time is None:
        return min(needed, len(panel.times) - 1)
    first = int(np.searchsorted(panel.times, _stamp(spec.start_time), side="left"))
    if first >= len(panel.times) or not np.isfinite(panel.close[first:]).any():
        raise CannotRun(
            Reason(
                "no_data_in_period",
                f"the last price is of {_iso(panel.times[-1])}, before the period begins",
                "start",
            )
        )
    return first


def _history(spec: BacktestSpec, strategy: StrategySpec) -> int:
    """Returns a decision needs before it can be taken at all."""
    if spec.window.bars is not None:
        return spec.window.bars
    least = strategy.universe.min_history
    own = strategy.lookback if least is None else least
    return max([own, *(_history(spec, member.spec) for member in strategy.members)])


def data_hash(panel: PricePanel, volumes: FloatArray | None = None) -> str:
    """Return the sha256 of everything a backtest reads from a panel."""
    digest = hashlib.sha256()
    digest.update("\n".join(panel.assets).encode())
    digest.update(np.ascontiguousarray(panel.times).astype("<i8").tobytes())
    digest.update(_bytes(panel.close))
    digest.update("\n".join(sorted(panel.stable)).encode())
    digest.update(repr(sorted(panel.groups.items())).encode())
    for extra in (panel.yields, volumes):
        digest.update(b"-" if extra is None else _bytes(extra[: len(panel.times)]))
    return digest.hexdigest()


def _bytes(values: FloatArray) -> bytes:
    clean = np.where(np.isnan(values), np.nan, values) + 0.0
    return np.ascontiguousarray(clean).astype("<f8").tobytes()


def _stamp(value: object) -> np.datetime64:
    from portfolio_platform.optimization.panel import instant

    return instant(value)  # type: ignore[arg-type]


def _iso(value: np.datetime64) -> str:
    return f"{np.datetime_as_string(value, unit='s')}Z"


def iso_times(times: NDArray[np.datetime64]) -> list[str]:
    """Return ISO texts, UTC, to the second."""
    return [f"{text}Z" for text in np.datetime_as_string(times, unit="s")]
