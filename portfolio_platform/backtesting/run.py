"""run_backtest: from a spec and known prices to everything the report shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from portfolio_platform.backtesting import assemble
from portfolio_platform.backtesting.benchmarks import simulate_benchmark
from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.outcomes import CannotRun, Reason
from portfolio_platform.backtesting.period import Period, open_period
from portfolio_platform.backtesting.progress import Journal, Progress
from portfolio_platform.backtesting.result import BacktestResult
from portfolio_platform.backtesting.simulator import Simulation
from portfolio_platform.backtesting.spec import BacktestSpec
from portfolio_platform.backtesting.spec_parts import NamedStrategy, PreviousVersion, StoredStrategy
from portfolio_platform.backtesting.trials import Trial, TrialFamily
from portfolio_platform.backtesting.variants import variants_of
from portfolio_platform.backtesting.walk_forward import Run, config_hash, trial_config, walk_forward
from portfolio_platform.optimization import PricePanel, StrategySpec


def run_backtest(
    spec: BacktestSpec,
    panel: PricePanel,
    *,
    strategies: Mapping[str, StrategySpec] | None = None,
    trials: TrialFamily | None = None,
    code_version: str = "unknown",
    provenance: Mapping[str, Any] | None = None,
    volumes: FloatArray | None = None,
    previous: StrategySpec | None = None,
    progress: Callable[[Progress], None] | None = None,
    resume: Sequence[Mapping[str, Any]] = (),
    cancelled: Callable[[], bool] | None = None,
) -> BacktestResult:
    """Run a backtest.

    Parameters
    ----------
    strategies
        Stored strategies by slug; those given in place in the spec need no entry.
    trials
        The family as the registry knows it now. This request's own configurations may already be
        among them; they are not counted twice.
    provenance
        Data versions and the like, JSON-safe; shown in the report and hashed.
    volumes
        (T, n) traded value of each bar of `panel`, for costs that depend on it.
    previous
        What the first stored strategy was before its newest change, for the benchmark ``previous``.
    progress
        Called after each block of decisions.
    resume
        Blocks that `progress` handed out in an interrupted run; those of other configurations are
        ignored. The result is the same to the bit as that of an uninterrupted run.
    cancelled
        Asked after each block.

    Returns
    -------
    BacktestResult
        With outcome ``failed`` and a typed reason when the data cannot carry the request; nothing
        is raised for data.

    Raises
    ------
    Cancelled
        When `cancelled` says so; carries the blocks done.
    """
    known = named_strategies(spec, strategies or {})
    family = trials or TrialFamily(spec.family)
    facts = {"code_version": code_version, **(provenance or {})}
    try:
        period = open_period(spec, panel, known, volumes)
        variants = variants_of(spec, known)
    except CannotRun as failure:
        return assemble.failed(spec, failure.reason, facts)
    journal = Journal(
        len(period.decide_at) * (len(spec.strategy_names) + len(variants)),
        progress=progress,
        resume=resume,
        cancelled=cancelled,
    )
    runs = [_run(period, name, known[name], journal) for name in spec.strategy_names]
    others = [_run(period, name, variant, journal) for name, variant in variants.items()]
    reasons: list[Reason] = []
    compared: dict[str, Simulation] = {}
    for position, benchmark in enumerate(spec.benchmarks):
        field = f"benchmarks.{position}"
        try:
            if isinstance(benchmark, StoredStrategy | PreviousVersion):
                strategy = _rival(benchmark, known, previous, field)
                run = walk_forward(period, benchmark.label, strategy)
                compared[benchmark.label] = run.simulation
                reasons.extend(_unanswered(run, field))
            else:
                compared[benchmark.label] = simulate_benchmark(benchmark, period, field=field)
        except CannotRun as failure:
            reasons.append(failure.reason)
    journal.report("judging the evidence")
    return assemble.result(period, runs, others, compared, family, reasons, facts)


def _rival(
    benchmark: StoredStrategy | PreviousVersion,
    known: Mapping[str, StrategySpec],
    previous: StrategySpec | None,
    field: str,
) -> StrategySpec:
    """Return the strategy that a benchmark names, if it can be simulated."""
    if isinstance(benchmark, StoredStrategy):
        strategy, missing = known.get(benchmark.slug), f"no strategy {benchmark.slug!r}"
    else:
        strategy, missing = previous, "no stored strategy of this request was changed before"
    if strategy is None:
        raise CannotRun(Reason("benchmark_missing", missing, field))
    if not strategy.long_only:
        message = f"{benchmark.label!r} may go short; only spot holdings can be simulated"
        raise CannotRun(Reason("short_positions", message, field))
    return strategy


def _unanswered(run: Run, field: str) -> list[Reason]:
    failed = [decision for decision in run.decisions if decision.status != "optimal"]
    if not failed:
        return []
    message = (
        f"benchmark {run.name}: {len(failed)} decisions had no answer and the weights were held; "
        f"the first: {failed[0].status}: {failed[0].reason}"
    )
    return [Reason("infeasible_periods", message, field)]


def named_strategies(
    spec: BacktestSpec, stored: Mapping[str, StrategySpec]
) -> dict[str, StrategySpec]:
    """Return every strategy the spec names or refers to and that is known."""
    given = {s.name: s.spec for s in spec.strategies if isinstance(s, NamedStrategy)}
    return {**stored, **given}


def planned_trials(
    spec: BacktestSpec,
    panel: PricePanel,
    *,
    strategies: Mapping[str, StrategySpec] | None = None,
    volumes: FloatArray | None = None,
) -> list[Trial]:
    """Return the trials a request will be, so that they are registered **before** it runs.

    Raises
    ------
    CannotRun
        When the request will fail before anything is tried.
    """
    known = named_strategies(spec, strategies or {})
    period = open_period(spec, panel, known, volumes)
    tried = {name: known[name] for name in spec.strategy_names} | variants_of(spec, known)
    planned: dict[str, Trial] = {}
    for name, strategy in tried.items():
        config = trial_config(period, name, strategy)
        identity = config_hash(config)
        planned.setdefault(
            identity,
            Trial(
                config_hash=identity,
                bars_per_year=spec.bars_per_year,
                start=config["start"],
                config=config,
            ),
        )
    return list(planned.values())


def _run(period: Period, name: str, strategy: StrategySpec, journal: Journal) -> Run:
    identity = config_hash(trial_config(period, name, strategy))
    stored = journal.stored(identity)
    taken = [len(stored)]

    def done(block: Sequence[Any]) -> None:
        first = taken[0]
        taken[0] += len(block)
        journal.block_done(identity, name, first, block)

    return walk_forward(period, name, strategy, stored=stored, block_done=done)
