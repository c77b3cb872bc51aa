"""Assembly of the result document from what was simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from portfolio_platform.backtesting import events as events_of
from portfolio_platform.backtesting import intervals, metrics, panels, risk
from portfolio_platform.backtesting.capacity import capacity_curve
from portfolio_platform.backtesting.cross_validation import cross_validated_paths
from portfolio_platform.backtesting.market_path import FloatArray
from portfolio_platform.backtesting.outcomes import NotDefined, Reason, or_reason
from portfolio_platform.backtesting.period import Period, iso_times
from portfolio_platform.backtesting.provenance import provenance
from portfolio_platform.backtesting.result import SCHEMA, BacktestResult
from portfolio_platform.backtesting.simulator import Simulation
from portfolio_platform.backtesting.spec import BacktestSpec
from portfolio_platform.backtesting.stress import replay
from portfolio_platform.backtesting.trials import TrialFamily
from portfolio_platform.backtesting.validation import validate
from portfolio_platform.backtesting.verdict import verdict
from portfolio_platform.backtesting.walk_forward import Run, finished_trial

#: Reasons that inform without making a result partial.
_INFORMATIVE = {"prices_missing", "delisted", "worthless_token", "ruined"}
#: Bars of a rolling window: a quarter of days, a month of hours.
ROLLING = {"1d": 90, "1h": 720}


def failed(spec: BacktestSpec, reason: Reason, facts: Mapping[str, Any]) -> BacktestResult:
    """Return the result of a request that the data cannot carry."""
    document = {
        "schema": SCHEMA,
        "outcome": "failed",
        "reasons": [reason.to_json()],
        "verdict": {
            "sentence": f"There is no result: {reason.message}.",
            "supports": [],
            "does_not_support": [],
        },
        "spec": spec.model_dump(mode="json"),
        "period": None,
        "times": [],
        "strategies": {},
        "benchmarks": {},
        "validation": None,
        "provenance": provenance(spec, None, facts),
    }
    return BacktestResult("failed", (reason,), document)


def result(
    period: Period,
    runs: Sequence[Run],
    variants: Sequence[Run],
    benchmarks: Mapping[str, Simulation],
    family: TrialFamily,
    reasons: Sequence[Reason],
    facts: Mapping[str, Any],
) -> BacktestResult:
    """Put everything into one document."""
    spec = period.spec
    times = iso_times(period.times)
    found = [*period.notes, *reasons]
    first = next(iter(benchmarks.values()), None)
    reference = None if first is None else first.returns
    if len(times) < 5:
        found.append(
            Reason(
                "too_few_observations",
                f"{max(0, len(times) - 1)} returns in the period: statistics are not defined",
                "start",
            )
        )
    if family.altered_at is not None:
        found.append(
            Reason(
                "trials_altered",
                f"trial {family.altered_at + 1} of family {family.name!r} does not follow from the "
                "one before it: trials were removed or changed, and their count proves nothing",
                "family",
            )
        )
    trials = [finished_trial(run, period) for run in (*runs, *variants)]
    unique = {trial.config_hash: trial for trial in trials}
    grown = family.with_trials(unique.values())
    validation, per_strategy = validate(period, runs, variants, benchmarks, grown)
    strategies: dict[str, Any] = {}
    for run in runs:
        section = _section(period, run.simulation, times, reference)
        section["unanswered"] = events_of.unanswered_periods(run.decisions, times)
        section["decisions"] = len(run.decisions)
        section["config_hash"] = run.config_hash
        section["trial"] = {
            "number": grown.number_of(run.config_hash),
            "of": len(grown.trials),
            "family": grown.name,
        }
        section["validation"] = per_strategy[run.name]
        section |= _outlook(period, run, benchmarks, times)
        section["metrics"]["capacity"] = section["capacity"]["capacity"]
        found.extend(
            events_of.reasons_of(run.name, section["unanswered"], section["events"], run.simulation)
        )
        strategies[run.name] = section
    outcome = "complete" if all(r.code in _INFORMATIVE for r in found) else "partial"
    document = {
        "schema": SCHEMA,
        "outcome": outcome,
        "reasons": [reason.to_json() for reason in found],
        "verdict": verdict(spec, strategies, validation),
        "spec": spec.model_dump(mode="json"),
        "period": {
            "start": times[0],
            "end": times[-1],
            "bars": len(times),
            "interval": spec.interval,
            "bars_per_year": spec.bars_per_year,
            "assets": list(period.path.assets),
            "assets_priced_at_start": int(period.path.tradable[0].sum()),
            "assets_priced_at_end": int(period.path.tradable[-1].sum()),
        },
        "times": times,
        "strategies": strategies,
        "benchmarks": {
            name: _section(period, simulation, times, reference, benchmark=True)
            for name, simulation in benchmarks.items()
        },
        "validation": validation,
        "provenance": provenance(spec, period.data_hash, facts),
    }
    return BacktestResult(outcome, tuple(found), document, tuple(unique.values()))


def _outlook(
    period: Period, run: Run, benchmarks: Mapping[str, Simulation], times: list[str]
) -> dict[str, Any]:
    """Return simulated futures, crashes, cross-validated histories and capacity of one strategy."""
    spec = period.spec
    settings = spec.risk_simulation
    returns = run.simulation.returns
    horizon = settings.horizon or round(spec.bars_per_year)

    def bootstrap() -> dict[str, Any]:
        block = settings.block or intervals.optimal_block(returns)
        drawn = risk.stationary_paths(returns, settings.paths, horizon, block, spec.seed)
        return {**figures(drawn), "block": block, "seed": spec.seed}

    def filtered() -> dict[str, Any]:
        filter_ = {"decay": settings.decay, "persistence": settings.persistence}
        drawn = risk.filtered_paths(returns, settings.paths, horizon, spec.seed, **filter_)
        return {**figures(drawn), **filter_, "seed": spec.seed}

    def figures(drawn: FloatArray) -> dict[str, Any]:
        return risk.summarise(drawn, confidence=settings.confidence, ruin=settings.ruin)

    def paths() -> dict[str, Any]:
        if spec.validation.cpcv is None:
            raise NotDefined("switched off in the spec")
        return cross_validated_paths(period, run.strategy, spec.validation.cpcv, times)

    return {
        "risk": {
            "bootstrap": or_reason(bootstrap, ("quantiles",)),
            "filtered": or_reason(filtered, ("quantiles",)),
        },
        "stress": [
            replay(window, period, run.simulation, benchmarks) for window in settings.stress
        ],
        "cpcv": or_reason(paths, ("paths",)),
        "capacity": or_reason(lambda: capacity_curve(run, period), ("capital", "cagr", "capacity")),
    }


def _section(
    period: Period,
    simulation: Simulation,
    times: list[str],
    reference: FloatArray | None,
    *,
    benchmark: bool = False,
) -> dict[str, Any]:
    spec, path = period.spec, period.path
    returns = simulation.returns
    q = spec.bars_per_year
    values, undefined = metrics.summary(
        returns,
        q,
        risk_free=spec.risk_free_rate,
        confidence=spec.validation.confidence,
        benchmark=reference,
    )
    years = max(len(returns), 1) / q
    values |= {
        "turnover_per_year": float(simulation.turnover.sum() / years),
        "costs_paid": float(simulation.costs.sum()),
        "costs_share_of_capital": float(simulation.costs.sum() / spec.initial_capital),
        "income": float(simulation.flows[:, 6].sum()),
        "final_equity": float(simulation.equity[-1]),
    }
    window = min(ROLLING[spec.interval], max(2, len(returns) // 4))
    section: dict[str, Any] = {
        "equity": simulation.equity.tolist(),
        "drawdown": np.round(metrics.drawdown(returns), 8).tolist(),
        "metrics": values,
        "undefined": undefined,
        "monthly": panels.monthly_returns(period.times[1:], returns),
        "rolling": panels.rolling(returns, q, window, reference) if len(returns) > 2 else None,
        "accounting_error": simulation.accounting_error(path.price),
        "events": events_of.holding_events(path, simulation, times),
    }
    if benchmark:
        return section
    return section | {
        "drawdowns": panels.worst_drawdowns(times, returns),
        "distribution": panels.distribution(returns),
        "weights": panels.weights_table(path, simulation, times),
        "risk_contributions": panels.risk_contributions(
            path, simulation, times, min(90, max(2, len(times) // 4))
        ),
        "trading": panels.trading(simulation, times),
        "lowest_cash": float(np.min(simulation.cash)),
    }
