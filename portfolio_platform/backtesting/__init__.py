"""Walk-forward, simulator, statistics, report: backtests that a sceptic would believe."""

from __future__ import annotations

from typing import Any

from portfolio_platform.backtesting.outcomes import (
    BacktestError,
    Cancelled,
    CannotRun,
    NotDefined,
    Reason,
)
from portfolio_platform.backtesting.spec import BacktestSpec
from portfolio_platform.backtesting.trials import Trial, TrialFamily, chain_hash, verify_chain

__all__ = [
    "BacktestError",
    "BacktestSpec",
    "Cancelled",
    "CannotRun",
    "NotDefined",
    "Reason",
    "Trial",
    "TrialFamily",
    "chain_hash",
    "check_lookahead",
    "planned_trials",
    "render_html",
    "run_backtest",
    "verify_chain",
]
_LATE = {
    "run_backtest": "run",
    "planned_trials": "run",
    "render_html": "report",
    "check_lookahead": "lookahead",
}


def __getattr__(name: str) -> Any:
    """Load what needs numba, scipy or plotly only when it is asked for."""
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_LATE[name]}"), name)
