"""Trades of a plan, one after the other, on pools that move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from portfolio_platform.amm.integers import U64_MAX
from portfolio_platform.reallocation.inputs import PlanInputs
from portfolio_platform.reallocation.rationals import floor_of
from portfolio_platform.reallocation.reasons import Failure, Reason
from portfolio_platform.reallocation.report import Skipped
from portfolio_platform.reallocation.routing import Fill, PoolBook, fill
from portfolio_platform.reallocation.settings import WRAPPED_SOL
from portfolio_platform.reallocation.state import AssetState, PortfolioState
from portfolio_platform.reallocation.trades import Trade, min_out


@dataclass
class Simulation:
    """What the trades have done so far."""

    inputs: PlanInputs
    prices: Mapping[str, Fraction]
    book: PoolBook
    cash: int
    trades: list[Trade] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    through: dict[str, Fraction] = field(default_factory=dict)

    def allowance(self, address: str, mint_in: str) -> int | None:
        settings = self.inputs.settings
        cap = settings.pool_caps.get(address, settings.default_pool_cap)
        if cap is None:
            return None
        left = cap - self.through.get(address, Fraction(0))
        price = self.prices.get(mint_in)
        # Without a price nothing can be said of the value, so nothing is allowed.
        return max(floor_of(left / price), 0) if price else 0

    def trade(self, asset: AssetState, side: str, wanted: int) -> Trade | None:
        """Quote a trade and move the pools, or note why not."""
        hub, settings = self.inputs.portfolio.hub, self.inputs.settings
        source, sink = (asset.mint, hub) if side == "sell" else (hub, asset.mint)
        offered, capped = self._trade_cap(source, wanted)
        found = fill(
            self.book,
            source,
            sink,
            offered,
            settings.max_impact_bps,
            allowance=self.allowance,
            split=settings.routing,
            intermediates=settings.intermediates if settings.two_hop else (),
        )
        reason = found.limited_by or (Reason.CAP_REACHED if capped else None)
        if not found.hops or found.amount_in < wanted * settings.min_fill:
            self.failures.append(
                Failure(
                    asset.mint,
                    side,
                    wanted,
                    found.amount_in,
                    reason or Reason.INSUFFICIENT_LIQUIDITY,
                    _explain(found, reason),
                )
            )
            return None
        if reason is Reason.INSUFFICIENT_LIQUIDITY:
            reason = Reason.IMPACT_LIMIT
        if found.amount_in < wanted and self._notional(source, found.amount_in) < max(
            settings.min_notional, 1
        ):
            self.skipped.append(
                Skipped(asset.mint, side, found.amount_in, Reason.BELOW_MIN_NOTIONAL)
            )
            return None
        self.book.apply(found.quotes)
        for quote in found.quotes:
            value = self.prices.get(quote.mint_in)
            if value is not None:
                used = self.through.get(quote.pool, Fraction(0))
                self.through[quote.pool] = used + quote.amount_in * value
        trade = Trade(
            asset.mint, side, found, min_out(found.amount_out, settings.slippage_bps), reason
        )
        self.trades.append(trade)
        self.cash += found.amount_out if side == "sell" else -found.amount_in
        return trade

    def _trade_cap(self, mint_in: str, wanted: int) -> tuple[int, bool]:
        cap = self.inputs.settings.max_trade_notional
        if cap is None:
            return wanted, False
        allowed = floor_of(cap / self.prices[mint_in])
        return min(wanted, allowed), allowed < wanted

    def _notional(self, mint: str, amount: int) -> Fraction:
        return amount * self.prices[mint]


def _explain(found: Fill, reason: Reason | None) -> str:
    parts = [f"{address}: {why}" for address, why in sorted(found.refusals.items())]
    if reason is Reason.NO_POOL:
        return "no pool trades the pair, directly or through an intermediate"
    if not parts:
        return "less than min_fill of the quantity fits into the pools within the limits"
    return "pools refused: " + ", ".join(parts)


def sell(simulation: Simulation, before: PortfolioState) -> None:
    """Sell what is above its target, in the order of mints."""
    settings = simulation.inputs.settings
    for asset in before.assets:
        value, target, price = asset.value, asset.target_value, asset.price
        if value is None or target is None or price is None or value <= target:
            continue
        quantity = asset.managed
        if target > 0:
            quantity = min(floor_of((value - target) / price), quantity)
        if quantity == 0 or quantity * price < settings.min_notional:
            simulation.skipped.append(
                Skipped(asset.mint, "sell", quantity, Reason.BELOW_MIN_NOTIONAL)
            )
            continue
        if _frozen(simulation, asset, "sell", quantity):
            continue
        simulation.trade(asset, "sell", quantity)


def buy(simulation: Simulation, before: PortfolioState) -> None:
    """Buy what is below its target, scaled to the cash above the buffer.

    What rounding leaves over stays in cash.
    """
    settings = simulation.inputs.settings
    floor = max(settings.min_notional, 1)
    kept = settings.cash_buffer
    if simulation.inputs.portfolio.hub == WRAPPED_SOL:
        kept += settings.sol_fee_reserve
    budget = max(simulation.cash - kept, 0)
    wants: list[tuple[AssetState, Fraction]] = []
    for asset in before.assets:
        if asset.value is None or asset.target_value is None:
            continue
        want = asset.target_value - asset.value
        if want >= floor:
            wants.append((asset, want))
        elif want > 0:
            simulation.skipped.append(
                Skipped(asset.mint, "buy", floor_of(want), Reason.BELOW_MIN_NOTIONAL)
            )
    wanted = sum((want for _, want in wants), Fraction(0))
    scale = min(Fraction(1), budget / wanted) if wanted else Fraction(0)
    for asset, want in wants:
        amount = min(floor_of(want * scale), U64_MAX)
        if amount < floor:
            simulation.skipped.append(Skipped(asset.mint, "buy", amount, Reason.BELOW_MIN_NOTIONAL))
            continue
        if _frozen(simulation, asset, "buy", amount):
            continue
        simulation.trade(asset, "buy", amount)


def _frozen(simulation: Simulation, asset: AssetState, side: str, wanted: int) -> bool:
    """Note a failure when one of the token accounts of the trade is frozen."""
    portfolio = simulation.inputs.portfolio
    frozen = portfolio.frozen & {asset.mint, portfolio.hub}
    if not frozen:
        return False
    simulation.failures.append(
        Failure(
            asset.mint,
            side,
            wanted,
            0,
            Reason.ACCOUNT_FROZEN,
            f"the token account of {min(frozen)} is frozen",
        )
    )
    return True
