"""Alert rules: what they compare, when an alert is raised and when it is cleared. Pure.

Every kind is brought to one form: a value that is bad when it is high, a level at which the alert
is raised, and a lower level at which it is cleared. Between the two nothing happens (hysteresis),
and after an alert was raised the next one waits for the cool-down.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from math import isnan
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Kind = Literal[
    "price_move",
    "drawdown",
    "weight_drift",
    "utilization",
    "depeg",
    "liquidity_drop",
    "stale_data",
    "failed_plan",
]
Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = ("info", "warning", "critical")

Share = Annotated[float, Field(gt=0, le=1)]
Hysteresis = Annotated[
    float,
    Field(
        ge=0, lt=1, description="Share of the threshold that the value must fall below it to clear."
    ),
]


class Params(BaseModel, ABC):
    """Base of the parameters of a kind."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    hysteresis: Hysteresis = 0.1

    @abstractmethod
    def levels(self) -> tuple[float, float]:
        """Value at which the alert is raised, and value below which it is cleared."""


class _Threshold(Params):
    threshold: float = Field(gt=0)

    def levels(self) -> tuple[float, float]:
        return self.threshold, self.threshold * (1 - self.hysteresis)


class PriceMove(_Threshold):
    """The price moved by at least `threshold` (0.05: five per cent) within the window."""

    mint: str = Field(min_length=1)
    window_hours: float = Field(default=24.0, gt=0, le=24 * 366)
    direction: Literal["any", "up", "down"] = "any"


class Drawdown(_Threshold):
    """A token's price, or a portfolio's value, fell by `threshold` from its high in the window."""

    threshold: Share
    mint: str | None = None
    portfolio_id: str | None = None
    window_days: float = Field(default=30.0, gt=0, le=3660)

    @model_validator(mode="after")
    def _one_subject(self) -> Drawdown:
        if (self.mint is None) == (self.portfolio_id is None):
            raise ValueError("give either mint or portfolio_id")
        return self


class WeightDrift(_Threshold):
    """A weight of the portfolio is at least `threshold` away from its target."""

    threshold: Share
    portfolio_id: str


class Utilization(Params):
    """Holding over target (of a portfolio's assets), or lent over deposited, outside a band."""

    lower: float = Field(default=0.95, ge=0)
    upper: float = Field(default=1.05, gt=0)
    portfolio_id: str | None = None
    mint: str | None = None

    @model_validator(mode="after")
    def _band(self) -> Utilization:
        if self.lower >= self.upper:
            raise ValueError("lower must be below upper")
        if (self.mint is None) == (self.portfolio_id is None):
            raise ValueError("give either portfolio_id (its assets) or mint (its lending reserve)")
        return self

    def levels(self) -> tuple[float, float]:
        """Outside the closed band; back inside by a margin."""
        return 0.0, -self.hysteresis * (self.upper - self.lower) / 2

    def outside(self, utilization: float) -> float:
        """How far outside the band; negative inside."""
        return max(self.lower - utilization, utilization - self.upper)


class Depeg(_Threshold):
    """The price is at least `threshold` away from the peg, relative to it."""

    mint: str = Field(min_length=1)
    threshold: Share = 0.01
    peg: float = Field(default=1.0, gt=0)


class LiquidityDrop(_Threshold):
    """Depth at 100 bps fell by `threshold` from its high within the window."""

    mint: str = Field(min_length=1)
    threshold: Share
    window_hours: float = Field(default=24.0, gt=0, le=24 * 90)


class StaleData(Params):
    """The newest of something is older than `max_age_seconds`."""

    source: Literal["prices", "bars", "metrics", "weights"] = "prices"
    max_age_seconds: float = Field(gt=0)

    def levels(self) -> tuple[float, float]:
        return self.max_age_seconds, self.max_age_seconds * (1 - self.hysteresis)


class FailedPlan(Params):
    """The newest reallocation plan failed, of one portfolio or of any of the user's."""

    portfolio_id: str | None = None

    def levels(self) -> tuple[float, float]:
        return 1.0, 0.0


PARAMS: dict[str, type[Params]] = {
    "price_move": PriceMove,
    "drawdown": Drawdown,
    "weight_drift": WeightDrift,
    "utilization": Utilization,
    "depeg": Depeg,
    "liquidity_drop": LiquidityDrop,
    "stale_data": StaleData,
    "failed_plan": FailedPlan,
}


def parse(kind: str, params: Mapping[str, Any]) -> Params:
    """Parameters of a kind.

    Raises
    ------
    ValidationError
        Unknown, missing or contradictory parameters; the error carries the path of the field.
    """
    return PARAMS[kind].model_validate(dict(params))


@dataclass(frozen=True)
class Reading:
    """What a rule compares, read from the stored facts.

    Attributes
    ----------
    subject : str
        What the value is about (mint, portfolio, source): alerts of a rule are told apart by it.
    value : float or None
        In the form of the rule's kind, high is bad; None where nothing is known.
    observed_at : datetime
        What time the value is about.
    shown : str
        The value in words.
    evidence : mapping
        The figures it was computed from, JSON-safe.
    """

    subject: str
    value: float | None
    observed_at: datetime
    shown: str
    evidence: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class State:
    """What is remembered of a rule and subject between two evaluations."""

    active: bool = False
    raised_at: datetime | None = None


@dataclass(frozen=True)
class Step:
    """New state, and what happened."""

    state: State
    event: Literal["raised", "cleared"] | None = None


def step(
    reading: Reading,
    state: State,
    levels: tuple[float, float],
    cooldown: timedelta,
    now: datetime,
) -> Step:
    """One evaluation.

    Raised at or above the upper level, cleared at or below the lower one and not in between. A
    raise within `cooldown` of the previous one is held back until it has passed; a value that is
    not known changes nothing.
    """
    upper, lower = levels
    value = reading.value
    if value is None or isnan(value):
        return Step(state)
    # Zero is the edge of a closed band, which belongs to it.
    raising = value > upper if upper == 0.0 else value >= upper
    if not state.active and raising:
        if state.raised_at is not None and now - state.raised_at < cooldown:
            return Step(state)
        return Step(State(True, now), "raised")
    if state.active and value <= lower and not raising:
        return Step(State(False, state.raised_at), "cleared")
    return Step(state)
