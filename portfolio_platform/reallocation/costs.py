"""The cost model of simulated trades.

Plans do not use it: they are charged what the pools of their own snapshot quote, to the base unit.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Impact = Literal["none", "sqrt", "pool"]
#: Basis points in one.
BPS = 10_000.0


class CostInputMissing(ValueError):
    """The impact model needs a market figure that was not given; the message names it."""


@dataclass(frozen=True)
class TradeCost:
    """What one trade costs, in the currency of its notional.

    Attributes
    ----------
    fee
        Proportional fee on the executed notional.
    slippage
        Half spread and the like: proportional to the notional at mid.
    impact
        Market impact of the trade's own size.
    fixed
        Fixed fee of the trade (network fee, priority fee).
    """

    fee: float
    slippage: float
    impact: float
    fixed: float

    @property
    def total(self) -> float:
        """Sum of all parts."""
        return self.fee + self.slippage + self.impact + self.fixed


class CostModel(BaseModel):
    """Cost of trading: fees, slippage, impact, and the limits that keep a trade sensible.

    A trade has a notional ``x`` at mid. It executes at ``mid·(1 ± s)`` with
    ``s = slippage + impact(x)``, pays ``fee`` on the executed notional and ``fixed_fee`` once.
    Impact as a fraction of ``x``:

    * ``none``: 0.
    * ``sqrt``: ``impact_coefficient · σ · sqrt(x / ADV)``, the square-root law (Tóth et al. 2011,
      *Physical Review X* 1, 021006), σ the volatility per bar and ADV the traded value per bar.
    * ``pool``: ``x / (depth + x)``, the loss against mid of a sale worth ``x`` to a
      constant-product pool whose hub reserve is ``depth``, or of a purchase that spends ``x``,
      without its fee.

    Units: basis points for rates; currency of the portfolio for ``fixed_fee``, ``min_trade`` and
    ``pool_depth``; ``participation_cap`` is a share of ADV.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", title="CostModel")

    fee_bps: float = Field(0.0, ge=0.0, lt=BPS, allow_inf_nan=False)
    slippage_bps: float = Field(0.0, ge=0.0, lt=BPS, allow_inf_nan=False)
    fixed_fee: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    impact: Impact = "none"
    impact_coefficient: float = Field(1.0, ge=0.0, allow_inf_nan=False)
    pool_depth: dict[str, Annotated[float, Field(gt=0.0, allow_inf_nan=False)]] = Field(
        default_factory=dict, description="Hub reserve of the pool of each mint, for impact pool."
    )
    participation_cap: float | None = Field(
        None, gt=0.0, le=1.0, description="Largest trade as a share of ADV; null means no cap."
    )
    min_trade: float = Field(0.0, ge=0.0, allow_inf_nan=False)
    adv_bars: int = Field(20, ge=1, description="Bars before a trade for its ADV and σ.")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.impact == "pool" and not self.pool_depth:
            raise ValueError("impact 'pool' needs pool_depth, the hub reserve per mint")
        return self

    @property
    def fee(self) -> float:
        """Proportional fee as a fraction."""
        return self.fee_bps / BPS

    @property
    def slippage(self) -> float:
        """Slippage as a fraction."""
        return self.slippage_bps / BPS

    @property
    def needs_volume(self) -> bool:
        """Whether ADV must be known."""
        return self.impact == "sqrt" or self.participation_cap is not None

    def impact_fraction(
        self,
        notional: float,
        *,
        mint: str | None = None,
        volatility: float | None = None,
        adv: float | None = None,
    ) -> float:
        """Impact of a trade as a fraction of its notional.

        Raises
        ------
        CostInputMissing
            When the impact model needs `volatility`, `adv` or the pool depth of `mint`.
        """
        size = abs(notional)
        if self.impact == "none" or size == 0.0:
            return 0.0
        if self.impact == "pool":
            depth = self.pool_depth.get(mint or "")
            if depth is None:
                raise CostInputMissing(f"pool_depth has no entry for {mint}")
            return size / (depth + size)
        if volatility is None or not isfinite(volatility):
            raise CostInputMissing("impact 'sqrt' needs the volatility per bar")
        if adv is None or not adv > 0.0:
            raise CostInputMissing("impact 'sqrt' needs a positive ADV")
        return self.impact_coefficient * volatility * sqrt(size / adv)

    def trade_cost(
        self,
        notional: float,
        *,
        mint: str | None = None,
        volatility: float | None = None,
        adv: float | None = None,
    ) -> TradeCost:
        """Cost of one trade of signed `notional` at mid (positive buys), all parts apart.

        Raises
        ------
        CostInputMissing
            As :meth:`impact_fraction`.
        """
        size = abs(notional)
        if size == 0.0:
            return TradeCost(0.0, 0.0, 0.0, 0.0)
        impact = self.impact_fraction(size, mint=mint, volatility=volatility, adv=adv)
        worse = self.slippage + impact
        executed = size * (1.0 + worse) if notional > 0 else size * max(1.0 - worse, 0.0)
        return TradeCost(
            fee=executed * self.fee,
            slippage=size * self.slippage,
            impact=size * impact,
            fixed=self.fixed_fee,
        )
