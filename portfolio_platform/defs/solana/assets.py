"""Ingestion assets: account bytes, and the facts decoded from them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from dagster import AssetExecutionContext, MaterializeResult, MetadataValue, asset

from portfolio_platform.defs.metadata import OWNERS, table
from portfolio_platform.defs.resources import Platform
from portfolio_platform.defs.solana import facts, snapshots
from portfolio_platform.defs.solana.retries import REMOTE
from portfolio_platform.defs.solana.swap_bars import make_bars
from portfolio_platform.defs.solana.swap_pools import followed_pools
from portfolio_platform.defs.solana.swaps import follow_pools
from portfolio_platform.defs.solana.values import value_holdings
from portfolio_platform.defs.solana.wallets import with_portfolios

GROUP = "solana"


class LedgersUnreadable(RuntimeError):
    """Not one pool's transactions could be read."""


def _counters(endpoints: Sequence[Mapping[str, Any]]) -> MetadataValue:
    """Requests, retries, 429s, bytes and slot lag per endpoint."""
    return table(endpoints, list(endpoints[0]) if endpoints else [])


@asset(group_name=GROUP, owners=OWNERS, kinds={"solana", "postgres"}, retry_policy=REMOTE)
def account_snapshots(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Raw bytes of every watched account, read coherently and kept for ever."""
    settings = platform.settings
    universe = snapshots.read_universe(settings.resolve_universe())
    with platform.connect() as conn:
        snapshots.store_universe(conn, universe)
        fetch = snapshots.fetch_accounts(conn, settings, with_portfolios(conn, universe))
    return MaterializeResult(
        metadata={
            **fetch.metadata,
            "universe": universe.name,
            "missing": table(
                [{"pubkey": one.pubkey, "reason": one.error} for one in fetch.unreadable],
                ["pubkey", "reason"],
            ),
            "endpoints": _counters(fetch.endpoints),
        }
    )


@asset(group_name=GROUP, owners=OWNERS, kinds={"postgres"}, deps=[account_snapshots])
def token_prices(platform: Platform) -> MaterializeResult:
    """Prices from oracles, pools and stake pools, each with the verdict of the gates."""
    with platform.connect() as conn:
        stored = facts.stored_snapshot(conn)
        refused = facts.quarantine_refused(conn, stored).rows
        judged = facts.save_prices(conn, stored, platform.settings)
    rows = [
        {
            "symbol": getattr(stored.universe.token(one.mint), "symbol", one.mint[:6]),
            "source": one.source,
            "price": one.price,
            "depth": one.depth,
            "verdict": one.verdict,
            "reasons": ", ".join(one.reasons),
        }
        for one in judged.rows
    ]
    return MaterializeResult(
        metadata={
            "slot": stored.slot,
            "written": judged.written,
            "accepted": sum(one.verdict == "accepted" for one in judged.rows),
            "refused": sum(one.verdict == "refused" for one in judged.rows),
            "undecoded_accounts": len(refused),
            "prices": table(rows, ["symbol", "source", "price", "depth", "verdict", "reasons"]),
            "quarantine": table(refused, ["pubkey", "reason"]),
        }
    )


@asset(group_name=GROUP, owners=OWNERS, kinds={"postgres"}, deps=[account_snapshots])
def pool_states(platform: Platform) -> MaterializeResult:
    """State of every pool, exact enough to quote trades to the base unit."""
    with platform.connect() as conn:
        rows = facts.save_pools(conn, facts.stored_snapshot(conn)).rows
    return MaterializeResult(
        metadata={
            "pools": len(rows),
            "refused": sum(row["refused"] is not None for row in rows),
            "states": table(
                rows, ["pubkey", "kind", "spot_price", "fee_bps", "depth_100bps", "refused"]
            ),
        }
    )


@asset(group_name=GROUP, owners=OWNERS, kinds={"postgres"}, deps=[account_snapshots])
def lending_reserves(platform: Platform) -> MaterializeResult:
    """Lending reserves: available liquidity, utilization, supply and borrow rates."""
    with platform.connect() as conn:
        rows = facts.save_reserves(conn, facts.stored_snapshot(conn)).rows
    columns = ["pubkey", "mint", "utilization", "supply_apr", "borrow_apr"]
    return MaterializeResult(metadata={"reserves": len(rows), "states": table(rows, columns)})


@asset(group_name=GROUP, owners=OWNERS, kinds={"postgres"}, deps=[account_snapshots])
def stake_pool_rates(platform: Platform) -> MaterializeResult:
    """Exchange rates of liquid staking tokens."""
    with platform.connect() as conn:
        rows = facts.save_stake_rates(conn, facts.stored_snapshot(conn)).rows
    return MaterializeResult(
        metadata={"stake_pools": len(rows), "rates": table(rows, ["pubkey", "mint", "rate"])}
    )


@asset(group_name=GROUP, owners=OWNERS, kinds={"postgres"}, deps=[account_snapshots])
def wallet_holdings(platform: Platform) -> MaterializeResult:
    """Balances of the watched wallets, both token programs and native SOL.

    With them, what the mint of each token says: decimals, transfer fee, other extensions.
    """
    with platform.connect() as conn:
        stored = facts.stored_snapshot(conn)
        mints = facts.save_mints(conn, stored)
        rows = facts.save_holdings(conn, stored).rows
        valued = value_holdings(conn, stored, platform.settings, rows)
    unusual = [
        {"mint": one["mint"], "symbol": one["symbol"], "notices": ", ".join(notices)}
        for one in mints.rows
        if (notices := one["extensions"].get("notices"))
    ]
    return MaterializeResult(
        metadata={
            "balances": len(rows),
            "wallets": len({row["wallet"] for row in rows}),
            "value": sum(row["value"] or 0.0 for row in valued),
            "without_price": sum(row["value"] is None and row["amount"] > 0 for row in valued),
            "holdings": table(
                valued,
                ["wallet", "symbol", "whole", "value", "valued_by", "frozen", "notices"],
            ),
            "mints_changed": mints.written,
            "unusual_tokens": table(unusual, ["symbol", "mint", "notices"]),
        }
    )


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"solana", "postgres"},
    deps=[account_snapshots],
    retry_policy=REMOTE,
)
def pool_swaps(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Swaps of every pool from its transactions, failed ones kept as failed."""
    with platform.connect() as conn:
        pools, refused = followed_pools(facts.stored_snapshot(conn))
    looked = follow_pools(platform.settings, pools)
    found = looked.found
    broken = [one for one in found if one.error is not None]
    for one in broken:
        context.log.warning(f"{one.pool}: {one.error}")
    if found and len(broken) == len(found):
        raise LedgersUnreadable(f"no pool could be followed; {broken[0].pool}: {broken[0].error}")
    return MaterializeResult(
        metadata={
            "swaps": sum(one.swaps for one in found),
            "failed_transactions": sum(one.failed for one in found),
            "left_for_the_next_run": sum(one.left for one in found),
            "gaps_served": looked.served,
            **{f"gaps_{state}": number for state, number in looked.gaps.items()},
            "pools": table(
                [one.to_json() for one in found],
                ["pool", "listed", "swaps", "failed", "other", "gaps", "left", "error"],
            ),
            "not_followed": table(
                [{"pool": pool, "reason": why} for pool, why in refused.items()],
                ["pool", "reason"],
            ),
            "endpoints": _counters(looked.endpoints),
        }
    )


@asset(group_name=GROUP, owners=OWNERS, kinds={"postgres"}, deps=[pool_swaps])
def pool_bars(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Bars of a minute, an hour and a day from each pool's swaps; instrument `pool`."""
    with platform.connect() as conn:
        stored = facts.stored_snapshot(conn)
        pools, _ = followed_pools(stored)
        made = [
            make_bars(conn, pool, stored.universe, context.run.run_id)
            for pool in pools
            if pool.quote is not None
        ]
    rows = [asdict(one) for one in made if one is not None]
    return MaterializeResult(
        metadata={
            "written": sum(row["written"] for row in rows),
            "swaps": sum(row["swaps"] for row in rows),
            "without_quote": sum(pool.quote is None for pool in pools),
            "series": table(rows, ["pool", "base", "quote", "swaps", "written", "left_out"]),
        }
    )


ASSETS = [
    account_snapshots,
    token_prices,
    pool_states,
    lending_reserves,
    stake_pool_rates,
    wallet_holdings,
    pool_swaps,
    pool_bars,
]
