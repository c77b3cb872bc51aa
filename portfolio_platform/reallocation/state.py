"""Value, weights and utilization of a portfolio, as exact rationals until displayed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from portfolio_platform.reallocation.inputs import Portfolio, Price, Token, content_hash
from portfolio_platform.reallocation.rationals import decimal_text
from portfolio_platform.reallocation.settings import WRAPPED_SOL, PlanSettings

_WEIGHT_PLACES = 12
_VALUE_PLACES = 6


def _exact(value: Fraction | None) -> str | None:
    return None if value is None else str(value)


def _weight(value: Fraction | None) -> str | None:
    return None if value is None else decimal_text(value, _WEIGHT_PLACES)


def _value(value: Fraction | None) -> str | None:
    return None if value is None else decimal_text(value, _VALUE_PLACES)


@dataclass(frozen=True)
class AssetState:
    """One asset; values in hub base units, None where a price is missing."""

    mint: str
    quantity: int
    reserved: int
    price: Fraction | None
    value: Fraction | None
    weight: Fraction | None
    target_weight: Fraction
    target_value: Fraction | None

    @property
    def managed(self) -> int:
        """Quantity without what is kept for network fees."""
        return self.quantity - self.reserved

    @property
    def utilization(self) -> Fraction | None:
        """Value over target; 1 where both are zero, None where only the target is."""
        if self.value is None or self.target_value is None:
            return None
        if self.target_value == 0:
            return Fraction(1) if self.value == 0 else None
        return self.value / self.target_value


@dataclass(frozen=True)
class PortfolioState:
    """Valuation of a portfolio against its targets.

    Attributes
    ----------
    nav : Fraction or None
        Net asset value in hub base units, without the reserve for network fees; None where a
        price is missing.
    deployment : Fraction or None
        Sum of values over sum of targets; None where all targets are zero.
    overlap : Fraction or None
        Sum of the smaller of value and target over the sum of targets.
    """

    portfolio_id: str
    hub: str
    cash: int
    nav: Fraction | None
    assets: tuple[AssetState, ...]
    symbols: Mapping[str, tuple[str | None, int | None]]

    @property
    def target_total(self) -> Fraction | None:
        """Sum of the target values."""
        return self._sum("target_value")

    @property
    def value_total(self) -> Fraction | None:
        """Sum of the asset values, cash not among them."""
        return self._sum("value")

    @property
    def deployment(self) -> Fraction | None:
        values, targets = self.value_total, self.target_total
        return values / targets if values is not None and targets else None

    @property
    def overlap(self) -> Fraction | None:
        targets = self.target_total
        if not targets:
            return None
        common = Fraction(0)
        for asset in self.assets:
            if asset.value is None or asset.target_value is None:
                return None
            common += min(asset.value, asset.target_value)
        return common / targets

    @property
    def tracking_error(self) -> Fraction | None:
        """Half the sum of absolute weight deviations of the assets."""
        total = Fraction(0)
        for asset in self.assets:
            if asset.weight is None:
                return None
            total += abs(asset.weight - asset.target_weight)
        return total / 2

    def _sum(self, name: str) -> Fraction | None:
        total = Fraction(0)
        for asset in self.assets:
            value = getattr(asset, name)
            if value is None:
                return None
            total += value
        return total

    def to_json(self) -> dict[str, Any]:
        """Return the state as JSON.

        Quantities are decimal strings of base units; utilization, deployment and overlap are
        exact rationals, weights and values are rounded for display.
        """
        return {
            "portfolio_id": self.portfolio_id,
            "hub": self.hub,
            "hub_decimals": self.symbols.get(self.hub, (None, None))[1],
            "cash": str(self.cash),
            "nav": _value(self.nav),
            "nav_exact": _exact(self.nav),
            "deployment": _exact(self.deployment),
            "overlap": _exact(self.overlap),
            "tracking_error": _weight(self.tracking_error),
            "assets": [
                {
                    "mint": asset.mint,
                    "symbol": self.symbols.get(asset.mint, (None, None))[0],
                    "decimals": self.symbols.get(asset.mint, (None, None))[1],
                    "quantity": str(asset.quantity),
                    "reserved": str(asset.reserved),
                    "price": _exact(asset.price),
                    "value": _value(asset.value),
                    "weight": _weight(asset.weight),
                    "target_weight": _weight(asset.target_weight),
                    "target_value": _value(asset.target_value),
                    "utilization": _exact(asset.utilization),
                }
                for asset in self.assets
            ],
        }

    @property
    def content_hash(self) -> str:
        """sha256 of the canonical JSON."""
        return content_hash(self.to_json())


def portfolio_state(
    portfolio: Portfolio,
    targets: Mapping[str, Fraction],
    prices: Mapping[str, Price],
    tokens: Mapping[str, Token],
    settings: PlanSettings,
) -> PortfolioState:
    """Value the holdings against target weights of ``max(NAV - cash buffer, 0)``.

    A missing price leaves the values that depend on it None instead of failing, so that the
    current portfolio can always be shown.
    """
    hub = portfolio.hub
    held = portfolio.assets
    mints = sorted({*held, *(mint for mint in targets if mint != hub)})
    reserved = {
        mint: min(settings.sol_fee_reserve, held.get(mint, 0)) if mint == WRAPPED_SOL else 0
        for mint in mints
    }
    values: dict[str, Fraction | None] = {}
    for mint in mints:
        managed = held.get(mint, 0) - reserved[mint]
        price = prices.get(mint)
        if managed == 0:
            values[mint] = Fraction(0)
        else:
            values[mint] = managed * price.value if price else None
    cash = portfolio.total_cash
    if hub == WRAPPED_SOL:
        cash = max(cash - settings.sol_fee_reserve, 0)
    known = [value for value in values.values() if value is not None]
    nav: Fraction | None = None
    if len(known) == len(values):
        nav = sum(known, Fraction(cash))
    base = None if nav is None else max(nav - settings.cash_buffer, Fraction(0))
    assets = []
    for mint in mints:
        weight = targets.get(mint, Fraction(0))
        value = values[mint]
        price = prices.get(mint)
        assets.append(
            AssetState(
                mint=mint,
                quantity=held.get(mint, 0),
                reserved=reserved[mint],
                price=price.value if price else None,
                value=value,
                weight=value / nav if value is not None and nav is not None and nav > 0 else None,
                target_weight=weight,
                target_value=None if base is None else weight * base,
            )
        )
    return PortfolioState(
        portfolio_id=portfolio.id,
        hub=hub,
        cash=portfolio.total_cash,
        nav=nav,
        assets=tuple(assets),
        symbols={
            mint: (tokens[mint].symbol, tokens[mint].decimals)
            for mint in (*mints, hub)
            if mint in tokens
        },
    )
