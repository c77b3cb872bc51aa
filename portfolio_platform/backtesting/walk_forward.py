"""One strategy through the period: decide in blocks, trade, hold when there is no answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from portfolio_platform.backtesting import metrics
from portfolio_platform.backtesting.decisions import (
    BLOCK,
    Decision,
    Standing,
    compile_kernels,
    looks_at_holdings,
    solve_block,
    step_with_holdings,
    target_matrix,
)
from portfolio_platform.backtesting.period import Period
from portfolio_platform.backtesting.simulator import Schedule, Simulation, Walker, simulate
from portfolio_platform.backtesting.trials import Trial, canonical_hash
from portfolio_platform.optimization import StrategySpec

#: Fields of the backtest spec that make a trial another trial.
_TERMS = {
    "interval",
    "window",
    "rebalance",
    "convention",
    "costs",
    "execution_lag",
    "initial_capital",
    "cash_rate",
    "accrue_yields",
    "delisting",
}


@dataclass(frozen=True)
class Run:
    """A strategy that went through the period."""

    name: str
    strategy: StrategySpec
    config: dict[str, Any]
    config_hash: str
    decisions: tuple[Decision, ...]
    simulation: Simulation

    def unanswered(self) -> list[Decision]:
        """Return the decisions without weights, and those another problem answered."""
        return [d for d in self.decisions if d.status != "optimal" or d.fallback is not None]


def trial_config(period: Period, name: str, strategy: StrategySpec) -> dict[str, Any]:
    """Return what identifies the trial: strategy, terms of trading, period and data."""
    return {
        "strategy": strategy.model_dump(mode="json", exclude={"description"}),
        "name": name,
        "terms": period.spec.model_dump(mode="json", include=_TERMS),
        "start": str(period.times[0]),
        "end": str(period.times[-1]),
        "bars_per_year": period.spec.bars_per_year,
        "data": period.data_hash,
    }


def config_hash(config: Mapping[str, Any]) -> str:
    """Return the identity of a trial; its name does not matter."""
    return canonical_hash({key: value for key, value in config.items() if key != "name"})


def walk_forward(
    period: Period,
    name: str,
    strategy: StrategySpec,
    *,
    stored: Sequence[Decision] = (),
    block_done: Callable[[Sequence[Decision]], None] | None = None,
) -> Run:
    """Take a strategy through the period.

    Parameters
    ----------
    stored
        Decisions of whole blocks of an earlier, interrupted run of the same configuration.
    block_done
        Called with the decisions of each new block; what it raises stops the run.
    """
    config = trial_config(period, name, strategy)
    decisions = list(stored)
    compile_kernels(strategy, period.panel)
    for block in _blocks(period, strategy, decisions):
        decisions.extend(block)
        if block_done is not None:
            block_done(block)
    targets, bars = target_matrix(decisions, period.path.assets)
    simulation = simulate(
        period.path,
        targets if len(targets) else np.zeros((1, len(period.path.assets))),
        Schedule.of(len(period.path), bars + period.spec.execution_lag),
        period.terms,
        capital=period.spec.initial_capital,
    )
    return Run(name, strategy, config, config_hash(config), tuple(decisions), simulation)


def _blocks(
    period: Period, strategy: StrategySpec, decisions: list[Decision]
) -> Iterator[list[Decision]]:
    """Yield blocks after those already in `decisions`, which the caller extends."""
    window, times = period.spec.window, period.seen
    done = len(decisions) - len(decisions) % BLOCK
    del decisions[done:]
    if not looks_at_holdings(strategy):
        for start in range(done, len(period.decide_at), BLOCK):
            bars = [int(bar) for bar in period.decide_at[start : start + BLOCK]]
            yield solve_block(strategy, window, period.panel, bars, times)
        return
    lag = period.spec.execution_lag
    most = len(period.decide_at)
    standing = Standing(period.path.assets, len(period.path), most, lag)
    for decision in decisions:
        standing.add(decision)
    walker = Walker(period.path, period.terms, capital=period.spec.initial_capital)
    block: list[Decision] = []
    for bar in period.decide_at[done:].tolist():
        # With no lag the fill falls on this very bar: look at what is held just before it.
        walker.advance(bar if lag == 0 else bar + 1, standing.targets, standing.schedule)
        held = walker.weights_at(bar)
        block.append(step_with_holdings(strategy, window, period.panel, bar, times, held))
        standing.add(block[-1])
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block


def finished_trial(run: Run, period: Period) -> Trial:
    """Return the finished trial of a run; its Sharpe is None where it is not defined."""
    returns = run.simulation.returns
    risk_free = period.spec.risk_free_rate / period.spec.bars_per_year
    values, _ = metrics.defined(
        {
            "sharpe": lambda: metrics.sharpe_per_period(returns, risk_free),
            "skewness": lambda: metrics.skewness(returns),
            "kurtosis": lambda: metrics.kurtosis(returns),
        }
    )
    return Trial(
        config_hash=run.config_hash,
        sharpe=values["sharpe"],
        skewness=values["skewness"],
        kurtosis=values["kurtosis"],
        n_observations=len(returns),
        returns=tuple(returns.tolist()),
        bars_per_year=period.spec.bars_per_year,
        start=run.config["start"],
        config=run.config,
    )
