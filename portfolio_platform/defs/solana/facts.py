"""Stored bytes to facts: pools, reserves, stake rates, holdings, and what was refused.

Everything here reads a stored fetch, so a decoder fix is one materialisation: the bytes stay, new
rows with a later ``recorded_at`` appear, and nothing where nothing changed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

from psycopg import Connection

from portfolio_platform.amm import AmmError, AmmPool
from portfolio_platform.defs.solana.prices import save_prices
from portfolio_platform.defs.solana.stored import (
    Landed,
    NoSnapshot,
    StoredFetch,
    StoredPart,
    stored_snapshot,
)
from portfolio_platform.defs.solana.tokens import save_mints
from portfolio_platform.settings import Settings
from portfolio_platform.solana.decoded import Refused
from portfolio_platform.solana.holdings import wallet_holdings
from portfolio_platform.solana.pools import build_pools
from portfolio_platform.solana.price_points import group_decimals, pool_price
from portfolio_platform.store.facts import save_facts

__all__ = [
    "NoSnapshot",
    "StoredFetch",
    "StoredPart",
    "land_facts",
    "quarantine_refused",
    "save_holdings",
    "save_mints",
    "save_pools",
    "save_prices",
    "save_reserves",
    "save_stake_rates",
    "stored_snapshot",
]


def land_facts(
    conn: Connection, stored: StoredFetch, settings: Settings, *, prices: bool = True
) -> dict[str, int]:
    """Everything that the bytes of a fetch say; how many rows of each table are new.

    Parameters
    ----------
    prices : bool
        False for accounts that were read again by themselves: without the other sources of a
        token there is nothing to judge its prices by.
    """
    return {
        "quarantine": quarantine_refused(conn, stored).written,
        "token_prices": save_prices(conn, stored, settings).written if prices else 0,
        "pool_states": save_pools(conn, stored).written,
        "lending_reserves": save_reserves(conn, stored).written,
        "stake_pool_rates": save_stake_rates(conn, stored).written,
        "wallet_holdings": save_holdings(conn, stored).written,
    }


Row = dict[str, Any]


def _save(
    conn: Connection,
    table: str,
    stored: StoredFetch,
    rows_of: Callable[[StoredPart], list[Row]],
) -> Landed[Row]:
    """Store the rows of each part before the next part's bytes are read."""
    rows: list[Row] = []
    written = 0
    for part in stored.parts():
        some = rows_of(part)
        written += save_facts(conn, table, some).written
        rows += some
    return Landed(rows, written)


def quarantine_refused(conn: Connection, stored: StoredFetch) -> Landed[Row]:
    """Quarantine every account that no decoder reads; returns what was refused."""

    def rows_of(part: StoredPart) -> list[Row]:
        return [
            {
                "snapshot_id": part.ids[record.pubkey, record.slot],
                "pubkey": record.pubkey,
                "owner": record.owner,
                "slot": record.slot,
                "sha256": record.sha256,
                "reason": answer.reason,
                "observed_at": stored.block_time,
            }
            for record in part.snapshot.accounts
            if record.error is None
            and isinstance(answer := part.decoded[record.pubkey, record.slot], Refused)
        ]

    return _save(conn, "quarantine", stored, rows_of)


def save_pools(conn: Connection, stored: StoredFetch) -> Landed[Row]:
    """Pool states that can be quoted, and for the others the reason why not.

    Depth is what moves the price by 50 and 100 bps, in whole quote tokens of the pool's price
    point (its US dollar value where the quote is the hub).
    """
    return _save(conn, "pool_states", stored, pool_rows)


def pool_rows(part: StoredPart) -> list[Row]:
    """State of every pool in a part."""
    anchors = part.anchors("pool")
    built, refused = build_pools(part.snapshot, [record.pubkey for record, _, _ in anchors])
    decimals = part.universe.decimals
    rows = []
    for record, answer, _ in anchors:
        group = part.snapshot.group(record.pubkey)
        pool = built.get(record.pubkey)
        known = decimals | group_decimals(group)
        spot = pool_price(answer, group, known)
        mint_a, mint_b = (spot.mint_a, spot.mint_b) if spot else ("", "")
        depths = [_depth(pool, known, bps) if pool else None for bps in (50, 100)]
        rows.append(
            {
                "pubkey": record.pubkey,
                "kind": answer.kind,
                "mint_a": mint_a,
                "mint_b": mint_b,
                "snapshot_id": part.id_of(record.pubkey, record.slot),
                "account_ids": [
                    part.id_of(one.pubkey, one.slot) for one in group.values() if one.error is None
                ],
                "slot": record.slot,
                "spot_price": spot.price if spot else None,
                "fee_bps": _fee_bps(pool) if pool else None,
                "depth_50bps": depths[0],
                "depth_100bps": depths[1],
                "refused": None if pool else str(refused[record.pubkey]),
                "state": pool.to_json() if pool else {},
                "observed_at": part.snapshot.block_time,
            }
        )
    return rows


def _depth(pool: AmmPool, decimals: Mapping[str, int], bps: int) -> float | None:
    """Whole B tokens that buy A until its price is `bps` higher; None where it cannot be said."""
    if pool.mint_b not in decimals:
        return None
    try:
        return pool.max_input(pool.mint_b, bps) / 10 ** decimals[pool.mint_b]
    except AmmError:
        return None


def _fee_bps(pool: AmmPool) -> float | None:
    """What a marginal trade pays: one minus marginal over spot price, in basis points."""
    try:
        kept = Fraction(pool.marginal_root(pool.mint_b) ** 2, 2**128) / pool.spot(pool.mint_b)
    except AmmError:
        return None
    return round(float(1 - kept) * 10_000, 6)


def save_reserves(conn: Connection, stored: StoredFetch) -> Landed[Row]:
    """Lending reserves: what is free, what is lent, at which rates."""

    def rows_of(part: StoredPart) -> list[Row]:
        return [
            {
                "pubkey": record.pubkey,
                "program": record.owner,
                "mint": answer.values["mint"],
                "snapshot_id": part.id_of(record.pubkey, record.slot),
                "slot": record.slot,
                "available": int(answer.derived["available"]),
                "borrowed": int(answer.derived["borrowed"]),
                "utilization": answer.derived["utilization"],
                "supply_apr": answer.derived["supply_apr"],
                "borrow_apr": answer.derived["borrow_apr"],
                "observed_at": stored.block_time,
            }
            for record, answer, _ in part.anchors("reserve")
        ]

    return _save(conn, "lending_reserves", stored, rows_of)


def save_stake_rates(conn: Connection, stored: StoredFetch) -> Landed[Row]:
    """Exchange rates of liquid staking tokens."""

    def rows_of(part: StoredPart) -> list[Row]:
        rows = []
        for record, answer, mint in part.anchors("stake_pool"):
            values = answer.values
            spl = answer.kind == "spl_stake_pool"
            supply = values["pool_token_supply"] if spl else values["msol_supply"]
            lamports = (
                values["total_lamports"]
                if spl
                else values["msol_price"] * values["msol_supply"] // 2**32
            )
            rows.append(
                {
                    "pubkey": record.pubkey,
                    "mint": mint,
                    "snapshot_id": part.id_of(record.pubkey, record.slot),
                    "slot": record.slot,
                    "rate": answer.derived.get("rate"),
                    "total_lamports": lamports,
                    "supply": supply,
                    "observed_at": stored.block_time,
                }
            )
        return rows

    return _save(conn, "stake_pool_rates", stored, rows_of)


def save_holdings(conn: Connection, stored: StoredFetch) -> Landed[Row]:
    """Balances of the watched wallets."""
    wallets = [one.pubkey for one in stored.universe.by_role("wallet")]

    def rows_of(part: StoredPart) -> list[Row]:
        return [
            {
                "wallet": one.wallet,
                "mint": one.mint,
                "token_account": one.token_account,
                "amount": one.amount,
                "frozen": one.frozen,
                "snapshot_id": part.id_of(one.token_account, one.slot),
                "slot": one.slot,
                "observed_at": stored.block_time,
            }
            for one in wallet_holdings(part.snapshot, wallets)
        ]

    return _save(conn, "wallet_holdings", stored, rows_of)
