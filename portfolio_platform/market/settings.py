"""Thresholds of the cleaning rules, of the panel and of the metrics, with their defaults."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt

from portfolio_platform.market.series import InstrumentKind


class CleaningSettings(BaseModel):
    """Thresholds of :func:`portfolio_platform.market.cleaning.clean`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ohlc_tolerance: float = Field(
        default=1e-9, ge=0, lt=1e-3, description="Relative slack when high and low are compared."
    )
    withdrawal_hours: PositiveFloat = Field(
        default=168.0,
        description=(
            "A gap longer than this closes the listing: the pair was withdrawn, its bars are not "
            "missing. Also the least gap at which a ticker can have changed coins."
        ),
    )
    reuse_factor: float = Field(
        default=5.0,
        gt=1,
        description=(
            "After such a gap, an open this many times above or below the last close means "
            "another coin under the same ticker."
        ),
    )
    reuse_sigmas: PositiveFloat = Field(
        default=4.0,
        description=(
            "The jump must also exceed this many robust standard deviations of the returns before "
            "the gap, scaled by the square root of its length: a long gap allows a larger move."
        ),
    )
    delisted_after_hours: PositiveFloat = Field(
        default=72.0,
        description="A series that ends this much before its venue's last bar is delisted.",
    )
    stale_kinds: frozenset[InstrumentKind] = Field(
        default=frozenset({InstrumentKind.SPOT, InstrumentKind.PERP}),
        description=(
            "Kinds whose flat zero-volume bar is a placeholder of a halted venue. A pool's price "
            "does stand still without trades, and an oracle has no volume."
        ),
    )
    outage_min_series: PositiveInt = Field(
        default=3,
        description="At least so many listed series must lack a bar together to call it an outage.",
    )
    refuted_deviation: float = Field(
        default=0.20,
        gt=0,
        description="Log distance from the other sources beyond which a close is examined.",
    )
    confirmation: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description=(
            "Share of the bar's own log move that the other sources must show, in the same "
            "direction, for the bar to stand (FTX day: perp 24.6 % under spot, but both fell)."
        ),
    )
    large_move: float = Field(
        default=0.405,
        gt=0,
        description="Log close-to-close move that is counted, never removed (0.405 = 50 % up).",
    )


class PanelSettings(BaseModel):
    """Thresholds of :func:`portfolio_platform.market.panel.build_panel`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    completeness: float = Field(
        default=0.75,
        gt=0,
        le=1,
        description=(
            "Share of a day's finer bars that must be usable. The last one always must be: its "
            "close is the day's close."
        ),
    )


class MetricsSettings(BaseModel):
    """Windows of :func:`portfolio_platform.market.metrics.compute_metrics`, in bars."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    return_horizons: tuple[PositiveInt, ...] = Field(default=(1, 7, 30, 90))
    volatility_window: PositiveInt = Field(default=90, description="Bars for volatility and beta.")
    min_observations: int = Field(
        default=20, ge=2, description="Fewer one-bar returns than this leave a metric undefined."
    )
    ewma_lambda: float = Field(default=0.94, gt=0, lt=1, description="RiskMetrics daily decay.")
    drawdown_window: PositiveInt = Field(default=365, description="Bars searched for the peak.")
    volume_window: PositiveInt = Field(default=30, description="Bars for volume and Amihud.")
    max_age_bars: int = Field(
        default=2,
        ge=0,
        description="A token whose last close is older than this at as_of has no price metrics.",
    )
    periods_per_year: PositiveInt = Field(default=365, description="Crypto trades every day.")
