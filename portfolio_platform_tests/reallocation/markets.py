"""The market of the golden cases: three constant product pools against USDC."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from portfolio_platform.amm import AmmPool, ConstantProductPool
from portfolio_platform.reallocation import Plan, PlanSettings, Portfolio, Price, Token, plan

HUB = "USDC"
AS_OF = datetime(2025, 1, 1, tzinfo=UTC)
TOKENS = {
    "SOL": Token(9, "SOL"),
    "JUP": Token(6, "JUP"),
    "BONK": Token(5, "BONK"),
    "USDC": Token(6, "USDC"),
}
WEIGHTS = {"SOL": "1/2", "JUP": "3/10", "BONK": "1/5"}
BALANCED = {"SOL": 500_000_000_000, "JUP": 56_250_000_000, "BONK": 150_000_000_000_000}
DRIFTED = {"SOL": 600_000_000_000, "JUP": 46_875_000_000, "BONK": 112_500_000_000_000}


def pool(mint: str, x: int, y: int, *, address: str | None = None, **more: Any) -> AmmPool:
    return ConstantProductPool(
        address=address or f"pool-{mint}",
        mint_a=mint,
        mint_b=HUB,
        reserve_a=x,
        reserve_b=y,
        **more,
    )


def pools(**replaced: AmmPool) -> list[AmmPool]:
    made = {
        "SOL": pool("SOL", 50_000_000_000_000, 7_500_000_000_000),
        "JUP": pool("JUP", 8_000_000_000_000, 6_400_000_000_000),
        "BONK": pool("BONK", 20_000_000_000_000_000, 4_000_000_000_000),
    }
    return list((made | replaced).values())


def mids(states: Iterable[AmmPool]) -> dict[str, Price]:
    return {state.mint_a: Price(state.spot_price()) for state in states if state.mint_b == HUB}


def planned(
    holdings: Mapping[str, int],
    cash: int,
    *,
    weights: Mapping[str, Any] = WEIGHTS,
    states: list[AmmPool] | None = None,
    settings: PlanSettings | None = None,
    **more: Any,
) -> Plan:
    states = pools() if states is None else states
    frozen = more.pop("frozen", frozenset())
    return plan(
        Portfolio("p", HUB, holdings, cash, frozen),
        weights,
        more.pop("prices", None) or mids(states),
        states,
        settings,
        tokens=more.pop("tokens", TOKENS),
        as_of=more.pop("as_of", AS_OF),
        **more,
    )


def executed(result: Plan) -> tuple[dict[str, int], int, list[AmmPool]]:
    """Holdings, cash and pools after the steps, moved by the steps and nothing else."""
    holdings = dict(result.inputs.portfolio.assets)
    cash = result.inputs.portfolio.total_cash
    states = {state.address: state for state in result.inputs.pools}
    for step in result.steps:
        quote = step.quote
        states[quote.pool] = states[quote.pool].after(quote)
        for mint, change in ((quote.mint_in, -quote.amount_in), (quote.mint_out, quote.amount_out)):
            if mint == HUB:
                cash += change
            else:
                holdings[mint] = holdings.get(mint, 0) + change
            assert cash >= 0
            assert holdings.get(mint, 0) >= 0
    return holdings, cash, list(states.values())
