"""The parts of a backtest spec, each one subject."""

from __future__ import annotations

from datetime import date
from math import prod
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from portfolio_platform.optimization import StrategySpec

Mint = Annotated[str, Field(min_length=1, max_length=128)]
Name = Annotated[str, Field(min_length=1, max_length=80)]
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]


class Part(BaseModel):
    """A frozen part of the spec that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class NamedStrategy(Part):
    """A strategy given in place, under the name the report shows."""

    name: Name
    spec: StrategySpec


class Window(Part):
    """History a decision sees.

    ``strategy`` leaves the lookback of each strategy; ``rolling`` replaces it with `bars`;
    ``expanding`` takes everything known at the decision, and at least `bars` returns. `purge` bars
    right before a decision are kept from it, whatever the kind.
    """

    kind: Literal["strategy", "rolling", "expanding"] = "strategy"
    bars: int | None = Field(None, ge=2, le=100_000, validate_default=True)
    purge: int = Field(0, ge=0, le=10_000)

    @field_validator("bars")
    @classmethod
    def _bars_where_they_count(cls, bars: int | None, info: ValidationInfo) -> int | None:
        kind = info.data.get("kind")
        if kind == "strategy" and bars is not None:
            raise ValueError("bars is the strategy's own lookback when kind is 'strategy'")
        if kind in ("rolling", "expanding") and bars is None:
            raise ValueError(f"kind '{kind}' needs bars")
        return bars


class Rebalance(Part):
    """When the strategy decides, and when the portfolio trades towards the decision.

    ``every`` is a number of bars, or ``weekly`` / ``monthly`` (first bar closing in a new ISO
    week or month, UTC). ``calendar`` trades at each decision. ``band`` checks every bar and trades
    when a weight is further than `band` from its target. ``utilization`` checks every bar and
    trades when the deployed share, or one asset's share of its target, leaves
    ``[lower, upper]`` while the asset is off by more than `abs_band` of the portfolio.
    """

    rule: Literal["calendar", "band", "utilization"] = "calendar"
    every: Annotated[int, Field(ge=1, le=10_000)] | Literal["weekly", "monthly"] = "weekly"
    band: float | None = Field(None, gt=0.0, lt=1.0, validate_default=True)
    lower: float = Field(0.95, gt=0.0, le=1.0)
    upper: float = Field(1.05, ge=1.0, le=10.0)
    abs_band: Share = 0.0

    @field_validator("band")
    @classmethod
    def _band_with_its_rule(cls, band: float | None, info: ValidationInfo) -> float | None:
        if "rule" in info.data and (info.data["rule"] == "band") != (band is not None):
            raise ValueError("band is given with rule 'band', and only there")
        return band

    @field_validator("lower", "upper", "abs_band")
    @classmethod
    def _only_what_the_rule_reads(cls, value: float, info: ValidationInfo) -> float:
        name = str(info.field_name)
        if info.data.get("rule") != "utilization" and value != cls.model_fields[name].default:
            raise ValueError(f"{name} is read by rule 'utilization' only")
        return value


class Hold(Part):
    """Buy one asset at the start and hold it."""

    kind: Literal["hold"]
    mint: Mint
    name: Name | None = None

    @property
    def label(self) -> str:
        """Name in the report."""
        return self.name or f"hold {self.mint}"


class EqualWeight(Part):
    """Every tradable asset alike, rebalanced with the strategy."""

    kind: Literal["equal_weight"]
    name: Name = "equal weight"

    @property
    def label(self) -> str:
        """Name in the report."""
        return self.name


class InverseVolatility(Part):
    """Weights proportional to 1/σ over the last `window` returns, rebalanced with the strategy."""

    kind: Literal["inverse_volatility"]
    window: int = Field(60, ge=2)
    name: Name = "inverse volatility"

    @property
    def label(self) -> str:
        """Name in the report."""
        return self.name


class FixedMix(Part):
    """Fixed weights (60/40 and the like), rebalanced with the strategy; the rest is cash."""

    kind: Literal["mix"]
    weights: dict[Mint, Share] = Field(min_length=1)
    name: Name = "fixed mix"

    @property
    def label(self) -> str:
        """Name in the report."""
        return self.name

    @field_validator("weights")
    @classmethod
    def _fully_funded(cls, weights: dict[str, float]) -> dict[str, float]:
        total = sum(weights.values())
        if total > 1.0 + 1e-9:
            raise ValueError(f"weights sum to {total:g}, above 1")
        return weights


class StoredStrategy(Part):
    """Any stored strategy, walked forward with the same rules and costs."""

    kind: Literal["strategy"]
    slug: Name

    @property
    def label(self) -> str:
        """Name in the report."""
        return self.slug


class PreviousVersion(Part):
    """The spec that the first stored strategy had before its newest change, walked forward."""

    kind: Literal["previous"]
    name: Name = "previous version"

    @property
    def label(self) -> str:
        """Name in the report."""
        return self.name


Benchmark = Annotated[
    Hold | EqualWeight | InverseVolatility | FixedMix | StoredStrategy | PreviousVersion,
    Field(discriminator="kind"),
]


class CombinatorialPaths(Part):
    """Combinatorial purged cross-validation: `groups`, of which `test_groups` are held out."""

    groups: int = Field(6, ge=2, le=16)
    test_groups: int = Field(2, ge=1, validate_default=True)
    purge: int = Field(1, ge=0, description="Bars dropped from training on both sides of a test.")
    embargo: int = Field(0, ge=0, description="Further bars dropped after each test group.")

    @field_validator("test_groups")
    @classmethod
    def _something_to_train_on(cls, test_groups: int, info: ValidationInfo) -> int:
        if test_groups >= info.data.get("groups", test_groups + 1):
            raise ValueError("test_groups must be smaller than groups")
        return test_groups


class Validation(Part):
    """Settings of the statistical validation.

    `variants` is a grid of dotted paths of the strategy spec, for instance
    ``{"lookback": [60, 90, 120]}``. Every variant of the first strategy is run, enters PBO, and is
    counted as a trial.
    """

    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    bootstraps: int = Field(1000, ge=100, le=20_000)
    block: float | None = Field(
        None, ge=1.0, description="Mean block in bars; null means the optimal length, at least 1."
    )
    cscv_blocks: int = Field(16, ge=2, le=20)
    cpcv: CombinatorialPaths | None = CombinatorialPaths()
    variants: dict[str, list[Any]] = Field(default_factory=dict)
    sharpe_target: float = Field(1.0, gt=0.0, description="Annual Sharpe of the MinBTL figure.")

    @field_validator("cscv_blocks")
    @classmethod
    def _halves(cls, blocks: int) -> int:
        if blocks % 2:
            raise ValueError("cscv_blocks must be even")
        return blocks

    @field_validator("variants")
    @classmethod
    def _few_enough(cls, variants: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for path, values in variants.items():
            if not values:
                raise ValueError(f"{path} lists no value")
        count = prod(len(values) for values in variants.values())
        if count > 500:
            raise ValueError(f"variants span {count} combinations, above 500")
        return variants


class StressWindow(Part):
    """A crash to replay: first and last day, both included."""

    name: Name
    start: date
    end: date

    @field_validator("end")
    @classmethod
    def _forwards(cls, end: date, info: ValidationInfo) -> date:
        if "start" in info.data and end < info.data["start"]:
            raise ValueError("end is before start")
        return end


#: Crashes of the Solana era.
CRASHES: tuple[StressWindow, ...] = (
    StressWindow(name="UST/LUNA collapse", start=date(2022, 5, 7), end=date(2022, 5, 14)),
    StressWindow(name="FTX week", start=date(2022, 11, 6), end=date(2022, 11, 14)),
    StressWindow(name="USDC depeg", start=date(2023, 3, 10), end=date(2023, 3, 13)),
)


class RiskSimulation(Part):
    """Settings of the simulated futures of the equity path."""

    paths: int = Field(1000, ge=100, le=100_000)
    horizon: int | None = Field(
        None, ge=1, le=20_000, description="Bars simulated; null means one year."
    )
    block: float | None = Field(None, ge=1.0)
    decay: float = Field(0.94, gt=0.0, lt=1.0, description="Memory of the volatility filter.")
    persistence: float = Field(
        0.98, ge=0.0, lt=1.0, description="Share of a volatility shock left after one bar."
    )
    confidence: float = Field(0.95, gt=0.5, lt=1.0)
    ruin: float = Field(0.5, gt=0.0, lt=1.0, description="Loss of capital that counts as ruin.")
    stress: tuple[StressWindow, ...] = CRASHES


class Delisting(Part):
    """What happens to a holding whose price stops.

    It is held and marked at its last price for `after_bars` bars, then settled in cash at
    ``recovery`` times that price; the rest is written off and shown among the costs.
    """

    after_bars: int = Field(5, ge=1)
    recovery: Share = 1.0
