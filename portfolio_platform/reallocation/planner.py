"""From inputs to a plan: refuse, decide, trade on moving pools, sum up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from typing import Any

from portfolio_platform.amm import AmmPool
from portfolio_platform.amm.integers import U64_MAX
from portfolio_platform.reallocation.allocation import water_fill
from portfolio_platform.reallocation.checks import problems
from portfolio_platform.reallocation.decision import cooling_down, triggers, worth_it
from portfolio_platform.reallocation.inputs import (
    Outlook,
    PlanInputs,
    Portfolio,
    SnapshotInfo,
    Token,
)
from portfolio_platform.reallocation.rationals import floor_of
from portfolio_platform.reallocation.reasons import Failure, Outcome, Reason, Trigger
from portfolio_platform.reallocation.report import Plan, Skipped, summarise
from portfolio_platform.reallocation.routing import Fill, PoolBook, fill
from portfolio_platform.reallocation.settings import WRAPPED_SOL, PlanSettings
from portfolio_platform.reallocation.state import AssetState, PortfolioState, portfolio_state
from portfolio_platform.reallocation.trades import Cost, Trade, cost_of, min_out, steps_of


def plan(
    portfolio: Portfolio,
    targets: Mapping[str, Any],
    prices: Mapping[str, Any],
    pools: Iterable[AmmPool],
    settings: PlanSettings | None = None,
    *,
    tokens: Mapping[str, Token],
    as_of: datetime,
    snapshot: SnapshotInfo | None = None,
    last_reallocation_at: datetime | None = None,
    expected_benefit: Any = None,
    outlook: Outlook | None = None,
    references: Mapping[str, str] | None = None,
) -> Plan:
    """Plan the reallocation of a portfolio to target weights.

    Parameters
    ----------
    portfolio : Portfolio
        Holdings at one slot.
    targets : mapping of str to number or rational text
        Weights by mint; what the hub gets stays cash.
    prices : mapping of str to Price or rational
        Hub base units per base unit of the asset (`Price.from_display` converts).
    pools : iterable of AmmPool
        States of the same slot as the holdings.
    tokens : mapping of str to Token
        Decimals and transfer fees of every mint held or wanted, the hub included.
    as_of : datetime
        The moment for which the plan is made; ages and the cooldown are counted from it.
    expected_benefit : number or rational, optional
        In hub base units; compared with the cost when `settings.cost_vs_benefit` is set.
    outlook : Outlook, optional
        For the expected performance before and after.
    references : mapping of str to str, optional
        Ids and hashes of what the inputs were made from, kept with the plan.

    Returns
    -------
    Plan
        Always: a refusal is a plan with outcome ``failed`` and its typed reasons.
    """
    return compute(
        PlanInputs.build(
            portfolio,
            targets,
            prices,
            pools,
            settings or PlanSettings(),
            tokens=tokens,
            as_of=as_of,
            snapshot=snapshot,
            last_reallocation_at=last_reallocation_at,
            expected_benefit=expected_benefit,
            outlook=outlook,
            references=references,
        )
    )


@dataclass
class _Simulation:
    """What the trades have done so far."""

    inputs: PlanInputs
    prices: Mapping[str, Fraction]
    book: PoolBook
    cash: int
    trades: list[Trade]
    failures: list[Failure]
    skipped: list[Skipped]
    through: dict[str, Fraction]

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


def compute(inputs: PlanInputs) -> Plan:
    """Compute the plan of the inputs and of nothing else."""
    settings = inputs.settings
    targets = _capped_targets(inputs)
    before = portfolio_state(inputs.portfolio, targets, inputs.prices, inputs.tokens, settings)

    def ended(
        outcome: Outcome,
        reasons: Iterable[Reason],
        *,
        found: Iterable[Trigger] = (),
        failures: Iterable[Failure] = (),
        skipped: Iterable[Skipped] = (),
    ) -> Plan:
        return Plan(
            inputs=inputs,
            outcome=outcome,
            reasons=tuple(dict.fromkeys(reasons)),
            triggers=tuple(found),
            failures=tuple(failures),
            skipped=tuple(skipped),
            before=before,
            after=before,
            trades=(),
            steps=(),
            summary=summarise(inputs, before, before, (), Cost()),
        )

    stopped = problems(inputs)
    if stopped:
        return ended(Outcome.FAILED, (failure.reason for failure in stopped), failures=stopped)
    if before.nav is None or before.nav <= 0:
        empty = Failure(None, None, None, None, Reason.EMPTY_PORTFOLIO, "there is no value to move")
        return ended(Outcome.FAILED, (Reason.EMPTY_PORTFOLIO,), failures=(empty,))
    found, quiet = triggers(before, settings)
    if quiet is not None:
        return ended(Outcome.NO_REALLOCATION_NEEDED, (quiet,))
    if cooling_down(inputs.as_of, inputs.last_reallocation_at, settings):
        return ended(Outcome.NO_REALLOCATION_NEEDED, (Reason.COOLDOWN,), found=found)

    simulation = _Simulation(
        inputs=inputs,
        prices={
            **{mint: price.value for mint, price in inputs.prices.items()},
            inputs.portfolio.hub: Fraction(1),
        },
        book=PoolBook(inputs.pools),
        cash=before.cash,
        trades=[],
        failures=[],
        skipped=[],
        through={},
    )
    _sell(simulation, before)
    _buy(simulation, before)
    trades, failures = tuple(simulation.trades), simulation.failures
    if failures and (settings.policy == "atomic" or not trades):
        return ended(
            Outcome.FAILED,
            (failure.reason for failure in failures),
            found=found,
            failures=failures,
            skipped=simulation.skipped,
        )
    if not trades:
        return ended(
            Outcome.NO_REALLOCATION_NEEDED,
            (Reason.BELOW_MIN_NOTIONAL,),
            found=found,
            skipped=simulation.skipped,
        )
    return _finished(simulation, before, targets, found, ended)


def _finished(
    simulation: _Simulation,
    before: PortfolioState,
    targets: Mapping[str, Fraction],
    found: tuple[Trigger, ...],
    ended: Callable[..., Plan],
) -> Plan:
    inputs, trades = simulation.inputs, tuple(simulation.trades)
    settings = inputs.settings
    steps = steps_of(trades, settings.slippage_bps)
    cost = sum((cost_of(trade, simulation.prices) for trade in trades), Cost())
    lamports = len(steps) * settings.network_fee_lamports
    if lamports > settings.sol_fee_reserve:
        short = Failure(
            WRAPPED_SOL,
            None,
            lamports,
            settings.sol_fee_reserve,
            Reason.FEE_RESERVE,
            "the reserve for network fees does not cover the steps",
        )
        return ended(Outcome.FAILED, (Reason.FEE_RESERVE,), found=found, failures=(short,))
    if lamports:
        sol = simulation.prices.get(WRAPPED_SOL)
        if sol is None:
            missing = Failure(
                WRAPPED_SOL,
                None,
                None,
                None,
                Reason.PRICE_MISSING,
                "network fees cannot be valued without a price of SOL",
            )
            return ended(Outcome.FAILED, (Reason.PRICE_MISSING,), found=found, failures=(missing,))
        cost = replace(cost, network=lamports * sol)
    if settings.cost_vs_benefit and not worth_it(inputs.expected_benefit, cost.total):
        return ended(
            Outcome.NO_REALLOCATION_NEEDED,
            (Reason.COST_EXCEEDS_BENEFIT,),
            found=found,
            skipped=simulation.skipped,
        )
    after = portfolio_state(
        replace(inputs.portfolio, holdings=_holdings_after(inputs, trades), cash=simulation.cash),
        targets,
        inputs.prices,
        inputs.tokens,
        settings,
    )
    limits = [trade.limited_by for trade in trades if trade.limited_by is not None]
    return Plan(
        inputs=inputs,
        outcome=Outcome.REALLOCATION,
        reasons=tuple(
            dict.fromkeys([*limits, *(failure.reason for failure in simulation.failures)])
        ),
        triggers=found,
        failures=tuple(simulation.failures),
        skipped=tuple(simulation.skipped),
        before=before,
        after=after,
        trades=trades,
        steps=steps,
        summary=summarise(inputs, before, after, trades, cost),
    )


def _capped_targets(inputs: PlanInputs) -> dict[str, Fraction]:
    """Return the weights of the assets under the token caps; negative ones as they are."""
    hub = inputs.portfolio.hub
    weights = {mint: weight for mint, weight in inputs.targets.items() if mint != hub}
    caps = inputs.settings.token_caps
    if not caps or any(weight < 0 for weight in weights.values()):
        return weights
    return water_fill(sum(weights.values(), Fraction(0)), weights, caps)


def _sell(simulation: _Simulation, before: PortfolioState) -> None:
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


def _buy(simulation: _Simulation, before: PortfolioState) -> None:
    settings = simulation.inputs.settings
    floor = max(settings.min_notional, 1)
    budget = max(simulation.cash - settings.cash_buffer, 0)
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


def _frozen(simulation: _Simulation, asset: AssetState, side: str, wanted: int) -> bool:
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


def _holdings_after(inputs: PlanInputs, trades: tuple[Trade, ...]) -> dict[str, int]:
    holdings = dict(inputs.portfolio.assets)
    for trade in trades:
        if trade.side == "sell":
            holdings[trade.asset] -= trade.amount_in
        else:
            holdings[trade.asset] = holdings.get(trade.asset, 0) + trade.expected_out
    return holdings
