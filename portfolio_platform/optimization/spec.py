"""StrategySpec: everything that decides a portfolio, as one frozen and versioned document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, FiniteFloat, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from portfolio_platform.optimization import names
from portfolio_platform.optimization.spec_parts import (
    BlackLitterman,
    Bounds,
    CovarianceEstimator,
    FactorModel,
    GroupBound,
    Hierarchy,
    LinearConstraint,
    MeanEstimator,
    Mint,
    OwaWeights,
    Part,
    RelaxedRiskParity,
    Share,
    Tail,
    UniverseRule,
    View,
    WorstCase,
)

Fallback = Literal["min_variance", "inverse_volatility", "equal_weight", "previous"]


class Member(Part):
    """One strategy of an ensemble and its weight in it."""

    name: str
    weight: float = Field(1.0, gt=0.0, allow_inf_nan=False)
    spec: StrategySpec


class StrategySpec(Part):
    """A strategy, complete: universe, moments, model, constraints, limits.

    Units: weights are shares of the portfolio and sum to 1; returns and ``risk_free_rate`` are
    per year, turned into per-bar figures with ``bar_interval`` on a 365-day year; ``lookback``
    counts returns.

    Raises
    ------
    pydantic.ValidationError
        For an unknown field, a value out of range, or fields that contradict each other; every
        error carries the path of its field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="StrategySpec")

    version: Literal[1] = 1
    description: str = ""
    universe: UniverseRule = Field(default_factory=UniverseRule)
    lookback: int = Field(252, ge=2, le=100_000, description="Returns in the window.")
    bar_interval: names.BarInterval = "1d"
    returns: Literal["simple", "log"] = "simple"
    winsorize: float | None = Field(
        None, gt=0.0, lt=0.5, description="Clip each asset's returns at this quantile, both sides."
    )
    mean: MeanEstimator = Field(default_factory=MeanEstimator)
    covariance: CovarianceEstimator = Field(default_factory=CovarianceEstimator)
    model: names.Model = "Classic"
    rm: names.RiskMeasure = "MV"
    obj: names.Objective = "MinRisk"
    kelly: Literal["approx", "exact"] | None = None
    risk_free_rate: FiniteFloat = Field(0.0, description="Simple annual rate.")
    risk_aversion: float = Field(2.0, gt=0.0, description="λ of obj Utility, riskfolio's l.")
    tail: Tail = Field(default_factory=Tail)
    budget: float = Field(
        1.0, gt=0.0, le=1.0, description="Share the model invests; the rest is held in stablecoins."
    )
    cash_cap: Share = Field(
        0.2, description="Largest total weight of stablecoins where the model may choose it."
    )
    bounds: Bounds = Field(default_factory=Bounds)
    groups: tuple[GroupBound, ...] = ()
    linear: tuple[LinearConstraint, ...] = ()
    turnover: Annotated[float, Field(ge=0.0, le=2.0)] | None = Field(
        None, description="Largest Σ|weight − current weight|; ignored without a current holding."
    )
    cost_bps: float = Field(
        0.0, ge=0.0, le=10_000.0, description="Cost of trading, of the notional, in basis points."
    )
    cost_horizon: int = Field(1, ge=1, description="Bars over which a trade's cost is spread.")
    cardinality: int | None = Field(None, ge=1, description="Largest number of assets held.")
    minimum_weight: Share = Field(0.0, description="An asset is held with at least this or not.")
    risk_budget: dict[Mint, Annotated[float, Field(gt=0.0)]] | None = None
    views: tuple[View, ...] = ()
    black_litterman: BlackLitterman = Field(default_factory=BlackLitterman)
    factors: FactorModel | None = None
    hierarchy: Hierarchy = Field(default_factory=Hierarchy)
    worst_case: WorstCase = Field(default_factory=WorstCase)
    relaxed: RelaxedRiskParity = Field(default_factory=RelaxedRiskParity)
    owa: OwaWeights = Field(default_factory=OwaWeights)
    members: tuple[Member, ...] = ()
    time_limit: float = Field(
        30.0,
        gt=0.0,
        le=3600.0,
        description="Seconds for the solve, and for each estimate that is left to riskfolio.",
    )
    fallback: tuple[Fallback, ...] = Field(
        (), description="Other problems to answer with when this one has no answer, in order."
    )

    @property
    def bars_per_year(self) -> float:
        """Bars per year of the spec's interval, on 365 days."""
        return names.BARS_PER_YEAR[self.bar_interval]

    @property
    def long_only(self) -> bool:
        """Whether no weight may be negative."""
        return self.bounds.lower >= 0 and all(
            bound.lower is None or bound.lower >= 0 for bound in self.bounds.assets.values()
        )

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> StrategySpec:
        from portfolio_platform.optimization.contradictions import contradictions

        errors: list[InitErrorDetails] = [
            {
                "type": PydanticCustomError("contradiction", "{reason}", {"reason": reason}),
                "loc": path,
                "input": _value_at(self, path),
            }
            for path, reason in contradictions(self)
        ]
        if errors:
            raise ValidationError.from_exception_data("StrategySpec", errors)
        return self


def _value_at(spec: StrategySpec, path: tuple[int | str, ...]) -> Any:
    value: Any = spec
    for step in path:
        if isinstance(step, int) or isinstance(value, dict):
            value = value[step]
        else:
            value = getattr(value, step)
    return value


Member.model_rebuild()
StrategySpec.model_rebuild()
