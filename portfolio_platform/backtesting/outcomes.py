"""Typed outcomes: why a backtest, or a part of it, has no answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

ReasonCode = Literal[
    "no_data_in_period",
    "period_cut",
    "window_longer_than_history",
    "too_few_observations",
    "benchmark_missing",
    "volume_missing",
    "pool_depth_missing",
    "strategy_missing",
    "invalid_variant",
    "trials_altered",
    "short_positions",
    "infeasible_periods",
    "never_invested",
    "prices_missing",
    "worthless_token",
    "delisted",
    "ruined",
    "zero_variance",
    "not_covered",
    "cancelled",
]


class BacktestError(ValueError):
    """Base of the errors of this room."""


class NotDefined(BacktestError):
    """A statistic has no value for this input; the message says why."""


class CannotRun(BacktestError):
    """The backtest cannot give any number; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(f"{reason.code}: {reason.message}")
        self.reason = reason


class Cancelled(BacktestError):
    """The caller asked to stop; `state` continues the run."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__("the backtest was cancelled; resume it from its state")
        self.state = state


@dataclass(frozen=True)
class Reason:
    """One reason, with the field of the spec or the name it is about."""

    code: ReasonCode
    message: str
    field: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """Return the reason, JSON-safe."""
        return {"code": self.code, "message": self.message, "field": self.field}


def or_reason(compute: Callable[[], dict[str, Any]], keys: Sequence[str]) -> dict[str, Any]:
    """Return the figures, or None for each of `keys` and the ``reason`` they are not defined."""
    try:
        return compute()
    except NotDefined as undefined:
        return {**dict.fromkeys(keys), "reason": str(undefined)}
