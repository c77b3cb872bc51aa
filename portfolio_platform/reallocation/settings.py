"""Thresholds of one portfolio."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from portfolio_platform.reallocation.rationals import Ratio

WRAPPED_SOL = "So11111111111111111111111111111111111111112"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


class PlanSettings(BaseModel):
    """Settings of the planner; amounts in base units of the hub token unless said otherwise.

    Parameters
    ----------
    lower_band, upper_band : rational
        Closed utilization interval inside which nothing is done.
    abs_band_bps : rational
        Deviations up to this share of the net asset value are ignored, except for exits.
    min_notional : int
        Smallest value worth a trade.
    max_impact_bps : int
        Largest price impact without fees, of each step and of each two-hop trade as a whole.
    slippage_bps : int
        Distance from the expected output to `min_out`.
    min_fill : rational
        Smallest accepted share of a wanted quantity; 1 accepts whole fills only.
    policy : {"atomic", "partial"}
        Whether one failure stops the whole plan or only its own trade.
    cash_buffer : int
        Kept in the hub token, outside the targets.
    cooldown_seconds : int
        Time since the last reallocation within which nothing is done.
    cost_vs_benefit : bool
        Whether the expected benefit must exceed the simulated cost. It is the one given with the
        inputs, or the gain in mean-variance utility when an outlook is given; unknown is too
        little.
    benefit_horizon_days : rational
        Time over which that gain is counted.
    risk_aversion : rational
        Weight of half the variance in the utility.
    max_price_age_seconds, max_snapshot_age_seconds : int or None
        Age at `as_of` beyond which data is stale; None does not look at the age.
    max_slot_spread : int
        Largest distance between the slots of the accounts of a snapshot.
    token_caps : dict of str to rational
        Largest target weight of a token; what it loses is shared among the others by weight.
    max_trade_notional : int or None
        Largest value of one trade in a token.
    pool_caps : dict of str to int
        Largest value through a pool in one plan, by address.
    default_pool_cap : int or None
        The same for pools that are not named.
    routing : bool
        Split a trade over several pools where that gives more.
    two_hop : bool
        Go through an intermediate token where that gives more.
    intermediates : tuple of str
        Mints to go through.
    allow_cash_target : bool
        Accept weights that sum to less than one; the rest is meant to be cash.
    allow_transfer_fee_mints : bool
        Trade Token-2022 mints that withhold a fee, priced with it; otherwise they are refused.
    sol_fee_reserve : int
        Lamports kept for network fees: neither valued nor sold.
    network_fee_lamports : int
        Network fee of one step, paid from the reserve and counted as cost.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    lower_band: Ratio = Field(default="19/20", validate_default=True)
    upper_band: Ratio = Field(default="21/20", validate_default=True)
    abs_band_bps: Ratio = Field(default="0", validate_default=True)
    min_notional: int = Field(default=0, ge=0)
    max_impact_bps: int = Field(default=100, ge=0, lt=10_000)
    slippage_bps: int = Field(default=50, ge=0, le=10_000)
    min_fill: Ratio = Field(default="1", validate_default=True)
    policy: Literal["atomic", "partial"] = "atomic"
    cash_buffer: int = Field(default=0, ge=0)
    cooldown_seconds: int = Field(default=0, ge=0)
    cost_vs_benefit: bool = False
    benefit_horizon_days: Ratio = Field(default="30", validate_default=True)
    risk_aversion: Ratio = Field(default="2", validate_default=True)
    max_price_age_seconds: int | None = Field(default=None, ge=0)
    max_snapshot_age_seconds: int | None = Field(default=None, ge=0)
    max_slot_spread: int = Field(default=0, ge=0)
    token_caps: dict[str, Ratio] = Field(default_factory=dict)
    max_trade_notional: int | None = Field(default=None, gt=0)
    pool_caps: dict[str, int] = Field(default_factory=dict)
    default_pool_cap: int | None = Field(default=None, ge=0)
    routing: bool = True
    two_hop: bool = True
    intermediates: tuple[str, ...] = (WRAPPED_SOL, USDC)
    allow_cash_target: bool = False
    allow_transfer_fee_mints: bool = False
    sol_fee_reserve: int = Field(default=0, ge=0)
    network_fee_lamports: int = Field(default=0, ge=0)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not 0 <= self.lower_band <= 1 <= self.upper_band:
            raise ValueError("the band must contain 1: 0 <= lower_band <= 1 <= upper_band")
        if self.benefit_horizon_days < 0 or self.risk_aversion < 0:
            raise ValueError("benefit_horizon_days and risk_aversion are not negative")
        if not 0 <= self.min_fill <= 1:
            raise ValueError("min_fill is a share between 0 and 1")
        if not 0 <= self.abs_band_bps <= 10_000:
            raise ValueError("abs_band_bps is between 0 and 10000")
        if any(not 0 <= cap <= 1 for cap in self.token_caps.values()):
            raise ValueError("token_caps are weights between 0 and 1")
        if any(cap < 0 for cap in self.pool_caps.values()):
            raise ValueError("pool_caps are not negative")
        return self
