"""The look-ahead check: change the future, and see whether the past changes its mind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from portfolio_platform.backtesting.decisions import Decision, windowed
from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.period import Period, iso_times, open_period
from portfolio_platform.backtesting.run import named_strategies
from portfolio_platform.backtesting.spec import BacktestSpec
from portfolio_platform.backtesting.walk_forward import walk_forward
from portfolio_platform.optimization import PricePanel, Solution, StrategySpec, decide

#: The step under test: a strategy, every price there is, and the time it may look up to.
DecideFn = Callable[[StrategySpec, PricePanel, np.datetime64], Solution]


@dataclass(frozen=True)
class Leak:
    """A decision that changed when only later data changed."""

    strategy: str
    decided_at: str
    future_from: str
    what: str

    def to_json(self) -> dict[str, str]:
        """Return the leak, JSON-safe."""
        return dict(self.__dict__)


@dataclass(frozen=True)
class LookaheadReport:
    """Outcome of the check: how many comparisons were made, and every one that differed."""

    comparisons: int
    leaks: tuple[Leak, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing looked ahead."""
        return not self.leaks

    def to_json(self) -> dict[str, Any]:
        """Return the report, JSON-safe."""
        return {
            "clean": self.clean,
            "comparisons": self.comparisons,
            "leaks": [leak.to_json() for leak in self.leaks],
        }


def check_lookahead(
    spec: BacktestSpec,
    panel: PricePanel,
    decide_fn: DecideFn | None = None,
    *,
    strategies: Mapping[str, StrategySpec] | None = None,
    volumes: FloatArray | None = None,
    cuts: int = 8,
) -> LookaheadReport:
    """Perturb everything after a time and demand identical bits up to it, at several times.

    Prices, yields and volumes after the cut are replaced: scaled at random, some lost, one asset
    sent to zero. Two things are compared for each strategy: the single decisions at and before the
    cut, taken by `decide_fn` on the whole perturbed panel; and, when `decide_fn` is the platform's
    own step, the whole walk with its fills, costs and equity up to the cut.

    Parameters
    ----------
    decide_fn
        The step to test; default is ``optimization.decide``.
    cuts
        Times at which the future is changed, spread evenly over the decisions.

    Raises
    ------
    CannotRun
        When the backtest could not run at all.
    """
    step = decide_fn or decide
    known = named_strategies(spec, strategies or {})
    period = open_period(spec, panel, known, volumes)
    times = iso_times(period.times)
    chosen = np.unique(
        np.linspace(0, len(period.decide_at) - 1, min(cuts, len(period.decide_at))).astype(int)
    )
    marks = [int(period.decide_at[place]) for place in chosen]
    generator = np.random.default_rng(spec.seed)
    leaks: list[Leak] = []
    comparisons = 0
    for name in spec.strategy_names:
        strategy = known[name]
        honest = {bar: _decided(step, period, strategy, period.panel, bar) for bar in marks}
        walked = walk_forward(period, name, strategy) if decide_fn is None else None
        for cut in marks:
            other, other_volumes = _other_future(period, volumes, cut, generator)
            for bar in (bar for bar in marks if bar <= cut):
                comparisons += 1
                if _decided(step, period, strategy, other, bar) != honest[bar]:
                    leaks.append(Leak(name, times[bar], times[cut], "decision"))
            if walked is None:
                continue
            changed = walk_forward(
                open_period(_until(spec, period), other, known, other_volumes), name, strategy
            )
            comparisons += 1
            past = [d for d in walked.decisions if d.bar <= cut]
            if [d for d in changed.decisions if d.bar <= cut] != past:
                leaks.append(Leak(name, times[cut], times[cut], "decisions of the walk"))
            same = slice(0, cut + 1)
            for what in ("equity", "flows", "units"):
                one = getattr(walked.simulation, what)[same]
                if not np.array_equal(one, getattr(changed.simulation, what)[same]):
                    leaks.append(Leak(name, times[cut], times[cut], what))
    return LookaheadReport(comparisons, tuple(leaks))


def _decided(
    step: DecideFn, period: Period, strategy: StrategySpec, panel: PricePanel, bar: int
) -> Decision:
    as_of = period.seen[bar]
    spec = windowed(strategy, period.spec.window, period.panel, as_of)
    return Decision.of(bar, step(spec, panel, as_of))


def _until(spec: BacktestSpec, period: Period) -> BacktestSpec:
    """Pin the period, so that a changed future cannot move its first bar."""
    first = period.times[0].astype("datetime64[us]").item()
    last = period.times[-1].astype("datetime64[us]").item()
    from datetime import UTC

    pinned = {"start": first.replace(tzinfo=UTC), "end": last.replace(tzinfo=UTC)}
    return spec.model_copy(update=pinned)


def _other_future(
    period: Period, volumes: FloatArray | None, cut: int, generator: np.random.Generator
) -> tuple[PricePanel, FloatArray | None]:
    """Return the panel (and volumes) with every row after bar `cut` replaced."""
    panel = period.panel
    after = period.first + cut + 1
    close = panel.close.copy()
    later = close[after:]
    later *= np.exp(generator.normal(0.0, 0.5, later.shape))
    later[generator.random(later.shape) < 0.05] = np.nan
    if later.size:
        later[:, int(generator.integers(0, later.shape[1]))] = 0.0
    yields = None
    if panel.yields is not None:
        yields = panel.yields.copy()
        yields[after:] = generator.random(yields[after:].shape)
    other = replace(panel, close=close, yields=yields)
    if volumes is None:
        return other, None
    changed = volumes[: len(close)].copy()
    changed[after:] *= generator.random(changed[after:].shape) * 10.0
    return other, changed
