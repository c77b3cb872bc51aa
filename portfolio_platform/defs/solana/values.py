"""What the balances of wallets are worth, and by which price."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from psycopg import Connection

from portfolio_platform.defs.solana.prices import judge_points, points_of
from portfolio_platform.defs.solana.stored import StoredFetch
from portfolio_platform.settings import Settings
from portfolio_platform.solana.decoded import whole
from portfolio_platform.solana.prices import PriceVerdict, best_by_mint
from portfolio_platform.store import latest

STAKE_RATES = ("spl_stake_pool", "marinade_state")


def value_holdings(
    conn: Connection, stored: StoredFetch, settings: Settings, holdings: Iterable[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Holdings with whole amounts and US dollars, as accepted prices of the same fetch say.

    A staked token is worth its exchange rate in SOL: what the stake pool owes for it, whatever a
    thin pool pays. Without an accepted price, or without decimals, the value is None.
    """
    points, _ = points_of(stored)
    verdicts = judge_points(conn, points, stored, settings)
    rates: dict[str, PriceVerdict] = {
        one.mint: one for one in verdicts if one.source in STAKE_RATES and one.verdict == "accepted"
    }
    chosen = best_by_mint(verdicts) | rates
    tokens = latest.tokens(conn)
    return [
        {**row, **_valued(row, tokens.get(row["mint"], {}), chosen.get(row["mint"]))}
        for row in holdings
    ]


def _valued(
    row: dict[str, Any], token: dict[str, Any], price: PriceVerdict | None
) -> dict[str, Any]:
    decimals = token.get("decimals")
    amount = None if decimals is None else whole(int(row["amount"]), decimals)
    known = price is not None and price.price is not None
    return {
        "symbol": token.get("symbol", row["mint"][:6]),
        "whole": amount,
        "valued_by": price.source if known and price is not None else None,
        "value": amount * price.price
        if amount is not None and price is not None and price.price is not None
        else None,
        "notices": ", ".join((token.get("extensions") or {}).get("notices", ())),
    }
