"""From inputs to a plan: refuse, decide, trade on moving pools, sum up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from typing import Any

from portfolio_platform.amm import AmmPool
from portfolio_platform.reallocation.allocation import water_fill
from portfolio_platform.reallocation.benefit import expected_benefit
from portfolio_platform.reallocation.checks import fee_reserve, problems, reserved_lamports
from portfolio_platform.reallocation.decision import cooling_down, triggers, worth_it
from portfolio_platform.reallocation.inputs import (
    Outlook,
    PlanInputs,
    Portfolio,
    SnapshotInfo,
    Token,
)
from portfolio_platform.reallocation.reasons import Failure, Outcome, Reason, Trigger
from portfolio_platform.reallocation.report import Plan, Skipped, summarise
from portfolio_platform.reallocation.routing import PoolBook
from portfolio_platform.reallocation.settings import WRAPPED_SOL, PlanSettings
from portfolio_platform.reallocation.simulation import Simulation, buy, sell
from portfolio_platform.reallocation.state import PortfolioState, portfolio_state
from portfolio_platform.reallocation.trades import Cost, Trade, cost_of, steps_of


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
    refusals: Iterable[Failure] = (),
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
        In hub base units; compared with the cost when `settings.cost_vs_benefit` is set. Without
        it the gain in utility under `outlook` counts.
    outlook : Outlook, optional
        For the expected performance before and after.
    references : mapping of str to str, optional
        Ids and hashes of what the inputs were made from, kept with the plan.
    refusals : iterable of Failure, optional
        Why there is nothing to plan on; the plan then fails with them and shows the portfolio.

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
            refusals=refusals,
        )
    )


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

    stopped = list(inputs.refusals) or problems(inputs)
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
    short = fee_reserve(inputs)
    if short:
        return ended(Outcome.FAILED, (Reason.FEE_RESERVE,), found=found, failures=short)

    simulation = Simulation(
        inputs=inputs,
        prices={
            **{mint: price.value for mint, price in inputs.prices.items()},
            inputs.portfolio.hub: Fraction(1),
        },
        book=PoolBook(inputs.pools, _unfit(inputs)),
        cash=before.cash,
    )
    sell(simulation, before)
    buy(simulation, before)
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
    simulation: Simulation,
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
    reserved = reserved_lamports(inputs)
    if lamports > reserved:
        short = Failure(
            WRAPPED_SOL,
            None,
            lamports,
            reserved,
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
    after = portfolio_state(
        replace(inputs.portfolio, holdings=_holdings_after(inputs, trades), cash=simulation.cash),
        targets,
        inputs.prices,
        inputs.tokens,
        # What is bought is no loss of value, even where a reserve that was short takes it in.
        settings.model_copy(update={"sol_fee_reserve": reserved}),
    )
    benefit = expected_benefit(before, after, inputs.outlook, settings, inputs.expected_benefit)
    if settings.cost_vs_benefit and not worth_it(benefit, cost.total):
        return ended(
            Outcome.NO_REALLOCATION_NEEDED,
            (Reason.COST_EXCEEDS_BENEFIT,),
            found=found,
            skipped=simulation.skipped,
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
        summary=summarise(inputs, before, after, trades, cost, benefit),
    )


def _unfit(inputs: PlanInputs) -> dict[str, Reason]:
    """Name the pools that do not know the transfer fee of a mint, and would quote too much."""
    unfit = {}
    for pool in inputs.pools:
        for mint, known in (
            (pool.mint_a, pool.transfer_fee_a),
            (pool.mint_b, pool.transfer_fee_b),
        ):
            token = inputs.tokens.get(mint)
            if token and token.charged_fee != (known if known and known.charges else None):
                unfit[pool.address] = Reason.TRANSFER_FEE_MINT
    return unfit


def _capped_targets(inputs: PlanInputs) -> dict[str, Fraction]:
    """Return the weights of the assets under the token caps; negative ones as they are."""
    hub = inputs.portfolio.hub
    weights = {mint: weight for mint, weight in inputs.targets.items() if mint != hub}
    caps = inputs.settings.token_caps
    if not caps or any(weight < 0 for weight in weights.values()):
        return weights
    return water_fill(sum(weights.values(), Fraction(0)), weights, caps)


def _holdings_after(inputs: PlanInputs, trades: tuple[Trade, ...]) -> dict[str, int]:
    holdings = dict(inputs.portfolio.assets)
    for trade in trades:
        if trade.side == "sell":
            holdings[trade.asset] -= trade.amount_in
        else:
            holdings[trade.asset] = holdings.get(trade.asset, 0) + trade.expected_out
    return holdings
