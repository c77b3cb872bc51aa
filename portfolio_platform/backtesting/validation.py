"""Statistical validation of a whole backtest: each strategy alone, and the set of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portfolio_platform.backtesting.evidence import sharpe_evidence
from portfolio_platform.backtesting.period import Period
from portfolio_platform.backtesting.simulator import Simulation
from portfolio_platform.backtesting.trials import TrialFamily
from portfolio_platform.backtesting.walk_forward import Run


def validate(
    period: Period,
    runs: Sequence[Run],
    variants: Sequence[Run],
    benchmarks: Mapping[str, Simulation],
    family: TrialFamily,
) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """Return the validation of the set, and that of each strategy by name."""
    spec = period.spec
    trials = family.statistics(spec.bars_per_year)
    per_strategy = {run.name: sharpe_evidence(run.simulation.returns, spec, trials) for run in runs}
    return {"family": {"name": family.name, **trials.to_json()}}, per_strategy
