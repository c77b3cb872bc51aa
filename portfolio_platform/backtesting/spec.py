"""BacktestSpec: a whole backtest as one frozen and versioned document."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from portfolio_platform.backtesting.spec_parts import (
    Benchmark,
    Delisting,
    EqualWeight,
    Name,
    NamedStrategy,
    Part,
    Rebalance,
    RiskSimulation,
    Validation,
    Window,
)
from portfolio_platform.reallocation.costs import CostModel

Interval = Literal["1d", "1h"]
Convention = Literal["pro_rata", "exact", "vectorbt"]
#: Bars per year of a market that never closes.
BARS_PER_YEAR: dict[str, float] = {"1d": 365.0, "1h": 24.0 * 365.0}


def _moment(value: Any) -> Any:
    """A bare day or an instant with its zone; a time without a zone is nobody's time."""
    if not isinstance(value, str):
        return value
    if len(value) == len("2024-01-31"):
        return date.fromisoformat(value)
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError(f"{value} has no time zone; give a day, or a time with its zone")
    return instant


Moment = Annotated[AwareDatetime | date, BeforeValidator(_moment)]


class BacktestSpec(Part):
    """A backtest, complete: strategies, period, rules of trading, costs, validation, seed.

    Times are bar closes, UTC. ``start`` and ``end`` are inclusive; a bare date means the whole day.
    Null ``start`` means the first bar at which every strategy has its window; null ``end`` the last
    bar. ``execution_lag`` is the number of bars between the close a decision has seen and the close
    at which it is filled: 1 (default) fills at the next close, 0 fills at the very close that was
    seen, which no one can do exactly and which therefore flatters.

    Raises
    ------
    pydantic.ValidationError
        For an unknown field, a value out of range, or fields that contradict each other; every
        error carries the path of its field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="BacktestSpec")

    version: Literal[1] = 1
    name: Name = "backtest"
    description: str = ""
    family: Name = Field(
        "default", description="Trials of one family are counted together when results are judged."
    )
    strategies: tuple[Annotated[str, Field(min_length=1)] | NamedStrategy, ...] = Field(
        min_length=1, max_length=200, description="Slugs of stored strategies, or specs with names."
    )
    start: Moment | None = None
    end: Moment | None = None
    interval: Interval = "1d"
    window: Window = Window()
    rebalance: Rebalance = Rebalance()
    convention: Convention = "pro_rata"
    costs: CostModel = CostModel(fee_bps=25.0, slippage_bps=5.0)
    execution_lag: int = Field(1, ge=0, le=1000)
    initial_capital: float = Field(10_000.0, gt=0.0, allow_inf_nan=False)
    cash_rate: float = Field(
        0.0, ge=0.0, le=10.0, description="Simple annual rate earned on uninvested cash."
    )
    accrue_yields: bool = Field(True, description="Credit staking and lending yields of the panel.")
    risk_free_rate: float = Field(0.0, allow_inf_nan=False, description="Simple annual rate.")
    delisting: Delisting = Delisting()
    benchmarks: tuple[Benchmark, ...] = (EqualWeight(kind="equal_weight"),)
    validation: Validation = Validation()
    risk_simulation: RiskSimulation = RiskSimulation()
    seed: int = Field(0, ge=0, lt=2**32)

    @property
    def bars_per_year(self) -> float:
        """Bars per year, on 365 days of 24 hours."""
        return BARS_PER_YEAR[self.interval]

    @property
    def strategy_names(self) -> tuple[str, ...]:
        """Names in the report, in the order of the spec."""
        return tuple(s if isinstance(s, str) else s.name for s in self.strategies)

    @property
    def start_time(self) -> datetime | None:
        """First bar close of the period."""
        return _instant(self.start, end_of_day=False)

    @property
    def end_time(self) -> datetime | None:
        """Last bar close of the period."""
        return _instant(self.end, end_of_day=True)

    @model_validator(mode="after")
    def _refuse_contradictions(self) -> Self:
        errors: list[InitErrorDetails] = [
            {
                "type": PydanticCustomError("contradiction", "{reason}", {"reason": reason}),
                "loc": path,
                "input": None,
            }
            for path, reason in _contradictions(self)
        ]
        if errors:
            raise ValidationError.from_exception_data("BacktestSpec", errors)
        return self


def _instant(value: datetime | date | None, *, end_of_day: bool) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    midnight = datetime.combine(value, time(), UTC)
    return midnight + timedelta(days=1) if end_of_day else midnight


def _contradictions(spec: BacktestSpec) -> list[tuple[tuple[int | str, ...], str]]:
    found: list[tuple[tuple[int | str, ...], str]] = []
    start, end = spec.start_time, spec.end_time
    if start is not None and end is not None and end <= start:
        found.append((("end",), "is not after start"))
    seen: set[str] = set()
    for position, name in enumerate(spec.strategy_names):
        if name in seen:
            found.append((("strategies", position), f"{name!r} is named twice"))
        seen.add(name)
    for position, benchmark in enumerate(spec.benchmarks):
        if benchmark.label in seen:
            found.append((("benchmarks", position), f"{benchmark.label!r} is named twice"))
        seen.add(benchmark.label)
    for position, entry in enumerate(spec.strategies):
        if isinstance(entry, NamedStrategy):
            if entry.spec.bar_interval != spec.interval:
                found.append(
                    (
                        ("strategies", position, "spec", "bar_interval"),
                        f"is {entry.spec.bar_interval}, the backtest runs on {spec.interval}",
                    )
                )
            if not entry.spec.long_only:
                found.append(
                    (
                        ("strategies", position, "spec", "bounds", "lower"),
                        "short positions cannot be simulated: the portfolio holds spot tokens",
                    )
                )
    found.extend(_convention_contradictions(spec))
    return found


def _convention_contradictions(spec: BacktestSpec) -> list[tuple[tuple[int | str, ...], str]]:
    if spec.convention == "pro_rata":
        return []
    costs = spec.costs
    refused = {
        "fixed_fee": costs.fixed_fee > 0,
        "min_trade": costs.min_trade > 0,
        "participation_cap": costs.participation_cap is not None,
        "impact": costs.impact != "none",
    }
    return [
        (("costs", field), f"convention '{spec.convention}' knows proportional costs only")
        for field, given in refused.items()
        if given
    ]
