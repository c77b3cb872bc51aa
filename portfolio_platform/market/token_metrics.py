"""The metrics of one token, and what the chain must say for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from portfolio_platform.market.errors import MetricsError
from portfolio_platform.market.series import iso

CHAIN_FIELDS: tuple[str, ...] = (
    "liquidity_depth_50bps",
    "liquidity_depth_100bps",
    "pool_fee",
    "lending_utilization",
    "supply_rate",
    "borrow_rate",
    "stake_rate",
)


@dataclass(frozen=True, slots=True)
class ChainInputs:
    """What accounts say about a token at `as_of`; None where nothing does.

    Attributes
    ----------
    liquidity_depth_50bps, liquidity_depth_100bps : float or None
        Quote units that move the pool price by 0.5 % and 1 %.
    pool_fee : float or None
        Fraction of the input, e.g. 0.003.
    lending_utilization : float or None
        Borrowed over supplied; may exceed 1 while fees accrue.
    supply_rate, borrow_rate, stake_rate : float or None
        Annual rates as fractions.
    """

    liquidity_depth_50bps: float | None = None
    liquidity_depth_100bps: float | None = None
    pool_fee: float | None = None
    lending_utilization: float | None = None
    supply_rate: float | None = None
    borrow_rate: float | None = None
    stake_rate: float | None = None

    def __post_init__(self) -> None:
        for name in CHAIN_FIELDS:
            value = getattr(self, name)
            if value is None:
                continue
            if not math.isfinite(value) or (value < 0 and name != "stake_rate"):
                raise MetricsError(f"{name} is {value}: give a finite value ≥ 0, or None")


@dataclass(frozen=True, slots=True)
class TokenMetrics:
    """Metrics of one asset at `as_of`; what is undefined is None with a reason.

    Attributes
    ----------
    asset : str
    as_of : datetime64[ns]
        Naive UTC.
    price_at : datetime64[ns] or None
        When the last used close was known.
    price : float or None
        Last close per token, in quote units.
    returns : dict of str to (float or None)
        Simple returns per horizon in bars, `7d` for daily bars.
    volatility, downside_volatility, ewma_volatility : float or None
        Annualised, of log returns.
    max_drawdown, current_drawdown : float or None
        Fractions ≤ 0 within the drawdown window.
    correlation_to_sol, beta_to_sol : float or None
    volume_mean, volume_median : float or None
        Quote units per bar.
    amihud : float or None
        Mean |simple return| per million quote units traded (Amihud 2002).
    days_of_history : float
        Usable bars in days.
    missing_share : float or None
        Share of bars without a usable price since the first one.
    total_yield : float or None
        Stake plus supply rate, as far as there are any.
    undefined : dict of str to str
        Metric → why it is None.
    """

    asset: str
    as_of: np.datetime64
    price_at: np.datetime64 | None
    price: float | None
    returns: dict[str, float | None]
    volatility: float | None
    downside_volatility: float | None
    ewma_volatility: float | None
    max_drawdown: float | None
    current_drawdown: float | None
    correlation_to_sol: float | None
    beta_to_sol: float | None
    volume_mean: float | None
    volume_median: float | None
    amihud: float | None
    days_of_history: float
    missing_share: float | None
    liquidity_depth_50bps: float | None
    liquidity_depth_100bps: float | None
    pool_fee: float | None
    lending_utilization: float | None
    supply_rate: float | None
    borrow_rate: float | None
    stake_rate: float | None
    total_yield: float | None
    undefined: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """JSON-safe, flat: `return_7d` beside the rest."""
        out: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name == "returns":
                out.update({f"return_{horizon}": moved for horizon, moved in value.items()})
            elif isinstance(value, np.datetime64):
                out[one.name] = iso(value)
            else:
                out[one.name] = value
        return out
