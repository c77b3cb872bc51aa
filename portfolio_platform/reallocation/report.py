"""The plan as it is stored, shown and hashed."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

from portfolio_platform.amm.integers import BPS
from portfolio_platform.reallocation.inputs import PlanInputs, content_hash
from portfolio_platform.reallocation.performance import Performance, expected_performance
from portfolio_platform.reallocation.rationals import decimal_text
from portfolio_platform.reallocation.reasons import Failure, Outcome, Reason, Trigger
from portfolio_platform.reallocation.state import PortfolioState
from portfolio_platform.reallocation.trades import Cost, Step, Trade


class Skipped(NamedTuple):
    """A wish too small to trade; `amount` in base units of what would be sold."""

    asset: str
    side: str
    amount: int
    reason: Reason

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON."""
        return {
            "asset": self.asset,
            "side": self.side,
            "amount": str(self.amount),
            "reason": self.reason.value,
        }


@dataclass(frozen=True)
class Summary:
    """Figures of a plan, exact until displayed; None where nothing can be valued."""

    nav_before: Fraction | None
    nav_after: Fraction | None
    turnover: Fraction | None
    cost: Cost
    cost_bps: Fraction | None
    tracking_error_before: Fraction | None
    tracking_error_after: Fraction | None
    performance_before: Performance | None
    performance_after: Performance | None
    expected_benefit: Fraction | None

    def to_json(self) -> dict[str, Any]:
        """Return the figures as JSON."""

        def text(value: Fraction | None, places: int) -> str | None:
            return None if value is None else decimal_text(value, places)

        performance = None
        if self.performance_before and self.performance_after:
            performance = {
                "before": self.performance_before.to_json(),
                "after": self.performance_after.to_json(),
            }
        return {
            "nav_before": text(self.nav_before, 6),
            "nav_after": text(self.nav_after, 6),
            "turnover": text(self.turnover, 12),
            "cost": self.cost.to_json(),
            "cost_bps": text(self.cost_bps, 6),
            "expected_benefit": text(self.expected_benefit, 6),
            "tracking_error_before": text(self.tracking_error_before, 12),
            "tracking_error_after": text(self.tracking_error_after, 12),
            "performance": performance,
        }


def summarise(
    inputs: PlanInputs,
    before: PortfolioState,
    after: PortfolioState,
    trades: tuple[Trade, ...],
    cost: Cost,
    benefit: Fraction | None = None,
) -> Summary:
    """Sum up a plan at the valuation prices of before the trades.

    Turnover is half the value traded over the net asset value; `cost_bps` is the loss of value
    with the network fees, which are paid from the reserve, on top.
    """
    nav = before.nav
    moved = Fraction(0)
    for trade in trades:
        price = Fraction(1) if trade.side == "buy" else inputs.prices[trade.asset].value
        moved += trade.amount_in * price
    turnover = cost_bps = None
    if nav is not None and nav > 0 and after.nav is not None:
        turnover = moved / (2 * nav)
        cost_bps = (nav - after.nav + cost.network) / nav * BPS
    performances: list[Performance | None] = [None, None]
    if inputs.outlook is not None:
        for index, state in enumerate((before, after)):
            weights = {asset.mint: asset.weight for asset in state.assets}
            if None not in weights.values():
                performances[index] = expected_performance(
                    {mint: weight for mint, weight in weights.items() if weight is not None},
                    inputs.outlook,
                )
    return Summary(
        nav_before=nav,
        nav_after=after.nav,
        turnover=turnover,
        cost=cost,
        cost_bps=cost_bps,
        tracking_error_before=before.tracking_error,
        tracking_error_after=after.tracking_error,
        performance_before=performances[0],
        performance_after=performances[1],
        expected_benefit=benefit,
    )


@dataclass(frozen=True)
class Plan:
    """Outcome of one computation.

    Attributes
    ----------
    outcome : Outcome
        ``reallocation``, ``no_reallocation_needed`` or ``failed``.
    reasons : tuple of Reason
        Why; for a reallocation only what limited it, hence usually empty.
    triggers : tuple of Trigger
        What was outside the band.
    failures : tuple of Failure
        What could not be done, with need and available amounts.
    before, after : PortfolioState
        The same state twice where nothing is traded.
    trades, steps : tuple
        Empty unless the outcome is ``reallocation``.
    """

    inputs: PlanInputs
    outcome: Outcome
    reasons: tuple[Reason, ...]
    triggers: tuple[Trigger, ...]
    failures: tuple[Failure, ...]
    skipped: tuple[Skipped, ...]
    before: PortfolioState
    after: PortfolioState
    trades: tuple[Trade, ...]
    steps: tuple[Step, ...]
    summary: Summary

    @cached_property
    def inputs_hash(self) -> str:
        """sha256 of the inputs from which the plan can be computed again."""
        return self.inputs.content_hash

    def to_json(self) -> dict[str, Any]:
        """Return the plan as JSON: the same inputs give the same text."""
        snapshot = self.inputs.snapshot
        return {
            "version": 1,
            "portfolio_id": self.inputs.portfolio.id,
            "hub": self.inputs.portfolio.hub,
            "as_of": self.inputs.as_of.isoformat(),
            "outcome": self.outcome.value,
            "reasons": [reason.value for reason in self.reasons],
            "triggers": [trigger.value for trigger in self.triggers],
            "failures": [failure.to_json() for failure in self.failures],
            "skipped": [skipped.to_json() for skipped in self.skipped],
            "before": self.before.to_json(),
            "after": self.after.to_json(),
            "trades": [trade.to_json() for trade in self.trades],
            "steps": [step.to_json() for step in self.steps],
            "summary": self.summary.to_json(),
            "inputs_hash": self.inputs_hash,
            "snapshot": snapshot and snapshot.to_json(),
            "references": dict(sorted(self.inputs.references.items())),
        }

    @cached_property
    def content_hash(self) -> str:
        """sha256 of the canonical JSON of the plan."""
        return content_hash(self.to_json())
