"""Deciding whether a portfolio must be moved, and the exact trades that move it.

>>> from datetime import UTC, datetime
>>> from portfolio_platform.amm import ConstantProductPool
>>> from portfolio_platform.reallocation import PlanSettings, Portfolio, Price, Token, plan
>>> pool = ConstantProductPool(
...     address="P", mint_a="SOL", mint_b="USDC",
...     reserve_a=50_000 * 10**9, reserve_b=7_500_000 * 10**6,
... )
>>> result = plan(
...     Portfolio("demo", hub="USDC", holdings={"SOL": 0}, cash=1_000_000_000),
...     targets={"SOL": 0.5, "USDC": 0.5},
...     prices={"SOL": Price(pool.spot_price())},
...     pools=[pool],
...     settings=PlanSettings(slippage_bps=50),
...     tokens={"SOL": Token(9, "SOL"), "USDC": Token(6, "USDC")},
...     as_of=datetime(2025, 1, 1, tzinfo=UTC),
... )
>>> result.outcome.value, [(t.side, t.amount_in, t.expected_out) for t in result.trades]
('reallocation', [('buy', 500000000, 3324778902)])

`result.to_json()` is what is stored and served, `result.content_hash` its identity,
`result.inputs.to_json()` what `replay` computes it from again. Weights are given by mint and sum
to one, the weight of the hub is cash. Prices are hub base units per base unit of the asset;
`Price.from_display(150.25, decimals=9, hub_decimals=6)` converts.
"""

from portfolio_platform.reallocation.allocation import water_fill
from portfolio_platform.reallocation.capacity import CapacityPoint, capacity_curve
from portfolio_platform.reallocation.inputs import (
    Outlook,
    PlanInputs,
    Portfolio,
    Price,
    SnapshotInfo,
    Token,
    canonical,
    content_hash,
)
from portfolio_platform.reallocation.planner import compute, plan
from portfolio_platform.reallocation.quoting import SimulatedQuote, simulate_quote
from portfolio_platform.reallocation.reasons import Failure, Outcome, Reason, Trigger
from portfolio_platform.reallocation.replay import (
    Difference,
    UnreadableInputs,
    first_difference,
    replay,
)
from portfolio_platform.reallocation.report import Plan
from portfolio_platform.reallocation.settings import PlanSettings
from portfolio_platform.reallocation.state import PortfolioState, portfolio_state

__all__ = [
    "CapacityPoint",
    "Difference",
    "Failure",
    "Outcome",
    "Outlook",
    "Plan",
    "PlanInputs",
    "PlanSettings",
    "Portfolio",
    "PortfolioState",
    "Price",
    "Reason",
    "SimulatedQuote",
    "SnapshotInfo",
    "Token",
    "Trigger",
    "UnreadableInputs",
    "canonical",
    "capacity_curve",
    "compute",
    "content_hash",
    "first_difference",
    "plan",
    "portfolio_state",
    "replay",
    "simulate_quote",
    "water_fill",
]
