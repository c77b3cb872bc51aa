"""Statistical validation of a whole backtest: each strategy alone, and the set of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from portfolio_platform.backtesting import comparison, intervals
from portfolio_platform.backtesting.evidence import sharpe_evidence
from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.outcomes import NotDefined, or_reason
from portfolio_platform.backtesting.overfitting import backtest_overfitting
from portfolio_platform.backtesting.period import Period
from portfolio_platform.backtesting.simulator import Simulation
from portfolio_platform.backtesting.spec import BacktestSpec
from portfolio_platform.backtesting.trials import Trial, TrialFamily
from portfolio_platform.backtesting.walk_forward import Run

#: Fewer configurations make PBO coarse; the report says so.
COARSE_BELOW = 5


def validate(
    period: Period,
    runs: Sequence[Run],
    variants: Sequence[Run],
    benchmarks: Mapping[str, Simulation],
    family: TrialFamily,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the validation of the set, and that of each strategy by name.

    PBO is taken over the strategies and variants of this request and every other trial of the
    family that covers the same bars; SPA and StepM compare strategies and variants with the first
    benchmark; the confidence set holds strategies and benchmarks.
    """
    spec = period.spec
    trials = family.statistics(spec.bars_per_year)
    reference = next(iter(benchmarks.items()), None)
    per_strategy: dict[str, dict[str, Any]] = {}
    for run in runs:
        returns = run.simulation.returns
        evidence = sharpe_evidence(returns, spec, trials)
        other = None if reference is None else reference[1].returns
        evidence["bootstrap"] = _intervals(returns, other, spec)
        per_strategy[run.name] = evidence
    models = {run.name: run.simulation.returns for run in (*runs, *variants)}
    document: dict[str, Any] = {"family": {"name": family.name, **trials.to_json()}}
    document["pbo"] = or_reason(
        lambda: _overfitting(models, family, runs, variants, spec), ("pbo",)
    )
    if reference is not None:
        document |= _against(reference[0], reference[1].returns, models, spec)
    compared = {run.name: run.simulation.returns for run in runs}
    compared |= {name: one.returns for name, one in benchmarks.items()}
    document["mcs"] = or_reason(lambda: _confidence_set(compared, spec), ("included",))
    return document, per_strategy


def _overfitting(
    models: Mapping[str, FloatArray],
    family: TrialFamily,
    runs: Sequence[Run],
    variants: Sequence[Run],
    spec: BacktestSpec,
) -> dict[str, Any]:
    own = {run.config_hash for run in (*runs, *variants)}
    length = len(next(iter(models.values())))
    start = runs[0].config["start"]
    others = [
        np.array(trial.returns)
        for trial in family.trials
        if trial.config_hash not in own and _comparable(trial, start, length, spec)
    ]
    columns = [series for series in (*models.values(), *others) if _varies(series)]
    matrix = np.column_stack(columns) if columns else np.zeros((length, 0))
    # A copy competes with itself for every rank; each configuration enters once.
    _, first = np.unique(matrix, axis=1, return_index=True)
    matrix = matrix[:, np.sort(first)]
    figures = backtest_overfitting(matrix, spec.validation.cscv_blocks).to_json(spec.bars_per_year)
    figures["coarse"] = figures["strategies"] < COARSE_BELOW
    figures["from_family"] = len(others)
    return figures


def _comparable(trial: Trial, start: str, length: int, spec: BacktestSpec) -> bool:
    return (
        trial.returns is not None
        and len(trial.returns) == length
        and trial.start == start
        and trial.bars_per_year == spec.bars_per_year
    )


def _varies(series: FloatArray) -> bool:
    return bool(series.max() > series.min()) if len(series) else False


def _intervals(
    returns: FloatArray, reference: FloatArray | None, spec: BacktestSpec
) -> dict[str, Any]:
    q = spec.bars_per_year
    settings = spec.validation
    try:
        block = settings.block or intervals.optimal_block(returns)
    except NotDefined as undefined:
        nothing = {"point": None, "low": None, "high": None, "reason": str(undefined)}
        return {"sharpe": nothing, "cagr": nothing, "block": None}

    series = returns
    names = ["sharpe", "cagr"]
    if reference is not None and _varies(reference) and not np.array_equal(reference, returns):
        series = np.column_stack([returns, reference])
        names.append("sharpe_difference")
    found = intervals.bootstrap_intervals(
        series,
        intervals.SharpeAndGrowth(q, spec.risk_free_rate),
        block=block,
        reps=settings.bootstraps,
        seed=spec.seed,
        confidence=settings.confidence,
    )
    document: dict[str, Any] = {"block": block}
    for name, interval in zip(names, found, strict=True):
        if isinstance(interval, NotDefined):
            document[name] = {"point": None, "low": None, "high": None, "reason": str(interval)}
        else:
            document[name] = interval.to_json()
    return document


def _against(
    name: str, benchmark: FloatArray, models: Mapping[str, FloatArray], spec: BacktestSpec
) -> dict[str, Any]:
    settings = spec.validation
    different = {
        model: series
        for model, series in models.items()
        if len(series) and float(np.std(series - benchmark)) > 1e-15
    }
    # The verdict claims skill and beating the benchmark: each kind of claim gets half the error.
    size = (1.0 - settings.confidence) / 2.0

    def block() -> int:
        if settings.block is not None:
            return max(1, round(settings.block))
        active = np.mean([series - benchmark for series in different.values()], axis=0)
        return max(1, round(intervals.optimal_block(active)))

    def ability() -> dict[str, Any]:
        if not different:
            raise NotDefined("no strategy differs from the benchmark")
        length = block()
        low, middle, high = comparison.superior_predictive_ability(
            benchmark,
            np.column_stack(list(different.values())),
            block_size=length,
            reps=settings.bootstraps,
            seed=spec.seed,
        )
        figures = {"lower": low, "consistent": middle, "upper": high}
        return {**figures, "benchmark": name, "models": len(different), "block": length}

    spa = or_reason(ability, ("lower", "consistent", "upper"))

    def better() -> dict[str, Any]:
        if spa["consistent"] is None:
            raise NotDefined(spa["reason"])
        # The first step of StepM is this very SPA test: without a rejection it ends there.
        found: list[str] = []
        if spa["consistent"] <= size:
            found = comparison.better_models(
                benchmark,
                different,
                size=size,
                block_size=spa["block"],
                reps=settings.bootstraps,
                seed=spec.seed,
            )
        return {"better": found, "benchmark": name, "size": size}

    return {"spa": spa, "stepm": or_reason(better, ("better",))}


def _confidence_set(models: Mapping[str, FloatArray], spec: BacktestSpec) -> dict[str, Any]:
    settings = spec.validation
    size = 1.0 - settings.confidence
    block = settings.block
    if block is None:
        block = intervals.optimal_block(np.mean(list(models.values()), axis=0))
    included, values = comparison.model_confidence_set(
        models, size=size, block_size=max(1, round(block)), reps=settings.bootstraps, seed=spec.seed
    )
    return {"included": included, "p_values": values, "size": size}
