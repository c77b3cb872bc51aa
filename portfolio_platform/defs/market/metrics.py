"""Metrics of every token from clean bars and from what the accounts say, as one version."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Any

from psycopg import Connection

from portfolio_platform.defs.market.bars import last_time, market_panel
from portfolio_platform.market.metrics import ChainInputs, TokenMetrics, compute_metrics
from portfolio_platform.store import latest
from portfolio_platform.store.publish import Input, Published, publish

SUBJECT = "market"


class NoBars(RuntimeError):
    """There are no clean bars to compute from."""


def chain_inputs(
    conn: Connection, as_of: datetime | None = None
) -> tuple[dict[str, ChainInputs], list[Input]]:
    """What accounts say about each mint: depth of its deepest pool, rates, utilization.

    Depth and fee are those of the deepest usable pool; of several reserves the one that lends
    most decides utilization and rates.
    """
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    inputs: list[Input] = []
    accepted = {row["mint"] for row in latest.prices(conn, as_of) if row["verdict"] == "accepted"}
    for pool in sorted(latest.pools(conn, as_of), key=lambda row: row["depth_100bps"] or 0.0):
        if pool["refused"] is None and pool["depth_100bps"] is not None:
            for mint in (pool["mint_a"], pool["mint_b"]):
                if mint in accepted:
                    found[mint] |= {
                        "liquidity_depth_50bps": pool["depth_50bps"],
                        "liquidity_depth_100bps": pool["depth_100bps"],
                        "pool_fee": None if pool["fee_bps"] is None else pool["fee_bps"] / 1e4,
                    }
            inputs.append(
                Input("pool", str(pool["pool_state_id"]), None, {"pubkey": pool["pubkey"]})
            )
    for reserve in sorted(latest.reserves(conn, as_of), key=lambda row: row["borrowed"]):
        found[reserve["mint"]] |= {
            "lending_utilization": reserve["utilization"],
            "supply_rate": reserve["supply_apr"],
            "borrow_rate": reserve["borrow_apr"],
        }
        inputs.append(
            Input("reserve", str(reserve["reserve_id"]), None, {"pubkey": reserve["pubkey"]})
        )
    for mint, earned in latest.staking_yields(conn, as_of).items():
        found[mint] |= {"stake_rate": earned}
    for rate in latest.stake_rates(conn, as_of):
        inputs.append(Input("stake", str(rate["rate_id"]), None, {"pubkey": rate["pubkey"]}))
    for price in latest.prices(conn, as_of):
        if price["verdict"] == "accepted":
            inputs.append(
                Input(
                    "price",
                    str(price["price_id"]),
                    None,
                    {"mint": price["mint"], "source": price["source"], "price": price["price"]},
                )
            )
    return {mint: ChainInputs(**values) for mint, values in found.items()}, inputs


def publish_metrics(
    conn: Connection,
    *,
    interval: str,
    prefer: tuple[str, ...],
    code_version: str,
    run_id: str | None,
    as_of: datetime | None = None,
) -> tuple[Published, list[TokenMetrics]]:
    """Compute the metrics of every token and publish them.

    Raises
    ------
    NoBars
        There is no clean bar: materialise price_history and market_bars, or import bars.
    """
    panel, bar_inputs = market_panel(conn, interval, prefer, as_of)
    moment = last_time(panel)
    if moment is None:
        raise NoBars(
            "no clean bars: materialise price_history and market_bars, or run "
            "`portfolio-platform import-bars`"
        )
    chain, chain_sources = chain_inputs(conn, as_of)
    metrics = compute_metrics(panel, moment, chain)
    rows = [{"mint": one.asset, "metrics": one.to_json()} for one in metrics]
    published = publish(
        conn,
        kind="metrics",
        subject=SUBJECT,
        content=rows,
        inputs=[*bar_inputs, *chain_sources],
        rows={"token_metrics": rows},
        as_of=moment,
        code_version=code_version,
        run_id=run_id,
    )
    return published, metrics
