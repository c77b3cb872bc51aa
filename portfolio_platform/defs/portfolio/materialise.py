"""Every strategy and every portfolio in turn; one that cannot be answered never stops the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from psycopg import Connection

from portfolio_platform.defs.market.bars import preference
from portfolio_platform.defs.portfolio import plans, weights
from portfolio_platform.defs.solana import facts, snapshots
from portfolio_platform.defs.solana.wallets import with_wallets
from portfolio_platform.optimization.limits import turnover
from portfolio_platform.reallocation import Failure, Outcome, Reason
from portfolio_platform.settings import ServicesNotRunning, Settings
from portfolio_platform.solana.rpc import RpcError
from portfolio_platform.solana.universe import Universe
from portfolio_platform.store import ingest, latest, requests

COHERENCE_ATTEMPTS = 4
Connect = Callable[[], AbstractContextManager[Connection]]


def materialise_weights(
    conn: Connection,
    settings: Settings,
    code_version: str,
    run_id: str | None,
    only: Collection[UUID] | None = None,
) -> list[dict[str, Any]]:
    """Decide and publish for every enabled strategy (or only these)."""
    prefer = preference(settings.bar_preference)
    symbols = {mint: row["symbol"] for mint, row in latest.tokens(conn).items()}
    pasts: dict[str, weights.History] = {}
    rows = []
    for strategy in requests.strategies(conn):
        if only is not None and strategy.strategy_id not in only:
            continue
        broken = weights.broken_spec(strategy)
        if broken is not None:
            rows.append(_refused(strategy.slug, "invalid_spec", broken))
            continue
        interval = str(strategy.spec.get("bar_interval", "1d"))
        if interval not in pasts:
            try:
                pasts[interval] = weights.history(conn, interval, prefer)
            except weights.NoBars as error:
                rows.append(_refused(strategy.slug, "insufficient_history", str(error)))
                continue
        made = weights.publish_weights(
            conn, strategy, pasts[interval], code_version=code_version, run_id=run_id
        )
        conn.commit()
        solution, before = made.solution, made.previous
        risk = made.report.get("risk", {})
        rows.append(
            {
                "strategy": strategy.slug,
                "strategy_id": strategy.strategy_id,
                "version": made.published.version,
                "new": made.published.is_new,
                "change": turnover(before.weights, solution.weights)
                if before is not None and solution.ok
                else None,
                "inputs": made.inputs,
                "status": solution.status,
                "reason": solution.reason,
                "engine": solution.engine,
                "gap": solution.gap,
                "volatility": solution.volatility,
                "expected_return": solution.expected_return,
                "conditional_value_at_risk": risk.get("conditional_value_at_risk"),
                "diversification_ratio": risk.get("diversification_ratio"),
                "report": made.report,
                "symbols": symbols,
                "before": None
                if before is None
                else {symbols.get(mint, mint): weight for mint, weight in before.weights.items()},
                "weights": {
                    symbols.get(mint, mint): weight
                    for mint, weight in sorted(
                        solution.weights.items(), key=lambda item: (-item[1], item[0])
                    )
                },
            }
        )
    return rows


def _refused(slug: str, status: str, reason: str) -> dict[str, Any]:
    return {"strategy": slug, "status": status, "reason": reason, "new": False, "weights": {}}


def materialise_states(
    conn: Connection,
    code_version: str,
    run_id: str | None,
    only: Collection[UUID] | None = None,
) -> list[dict[str, Any]]:
    """Publish the state of every portfolio (or only of these), with or without a target."""
    rows: list[dict[str, Any]] = []
    for row in requests.portfolios(conn):
        if only is not None and row.portfolio_id not in only:
            continue
        _, state = plans.publish_state(conn, row, code_version=code_version, run_id=run_id)
        rows.append(
            {
                "portfolio": row.name,
                "nav": None if state.nav is None else float(state.nav),
                "deployment": None if state.deployment is None else float(state.deployment),
                "overlap": None if state.overlap is None else float(state.overlap),
                "reason": None if state.nav is not None else "a price is missing",
            }
        )
    return rows


def materialise_plans(
    connect: Connect,
    settings: Settings,
    code_version: str,
    run_id: str | None,
    only: Collection[UUID] | None = None,
) -> list[dict[str, Any]]:
    """Plan every portfolio (or only these).

    The stored snapshot says whether anything must move. Where it must, the chain is read afresh
    and the plan is computed from that read and nothing else; where it cannot be read, that is the
    outcome.
    """
    with connect() as conn:
        listed = requests.portfolios(conn)
    rows: list[dict[str, Any]] = []
    for row in listed:
        if only is not None and row.portfolio_id not in only:
            continue
        try:
            with connect() as conn:
                published, made = plans.publish_plan(
                    conn, row, code_version=code_version, run_id=run_id
                )
                if made.outcome is not Outcome.NO_REALLOCATION_NEEDED and not made.inputs.refusals:
                    raise _MustRefetch
        except _MustRefetch:
            # The rehearsal was rolled back: only the plan from the fresh read is published.
            with connect() as conn:
                unread = _read_afresh(conn, settings, row)
                published, made = plans.publish_plan(
                    conn, row, code_version=code_version, run_id=run_id, refusals=unread
                )
        document = made.to_json()
        summary = document["summary"]
        rows.append(
            {
                "portfolio": row.name,
                "portfolio_id": row.portfolio_id,
                "version": published.version,
                "outcome": made.outcome.value,
                "reasons": ", ".join(plans.reasons(made)),
                "trades": len(made.trades),
                "cost_bps": summary["cost_bps"],
                "document": document,
                "inputs": made.inputs,
            }
        )
    return rows


class _MustRefetch(Exception):
    """A reallocation is due: the stored snapshot is not fresh enough to trade on."""


def _read_afresh(
    conn: Connection, settings: Settings, row: requests.PortfolioRow
) -> tuple[Failure, ...]:
    """Land a fresh read, all of it or nothing; the reason where the chain cannot be read."""
    try:
        with conn.transaction():
            refresh(conn, settings, row)
    except (RpcError, facts.NoSnapshot, ServicesNotRunning) as error:
        return (Failure(None, None, None, None, Reason.RPC_UNAVAILABLE, str(error)),)
    return ()


def refresh(conn: Connection, settings: Settings, row: requests.PortfolioRow) -> None:
    """Read the chain afresh, the portfolio's wallet with it, and land what plans are computed from.

    More than a hundred accounts take several calls; while those lie further apart than the plan
    allows, the read is repeated a few times. The planner refuses what is still incoherent.
    """
    described = ingest.universe(conn)
    if described is None:
        raise facts.NoSnapshot("no universe is known; materialise account_snapshots first")
    universe = with_wallets(Universe.model_validate(described), [row.wallet])
    allowed = plans.settings_of(row).max_slot_spread
    for _ in range(COHERENCE_ATTEMPTS):
        fetch = snapshots.fetch_accounts(conn, settings, universe)
        if fetch.slot - fetch.oldest_slot <= allowed:
            break
    stored = facts.stored_snapshot(conn, fetch_id=fetch.fetch_id)
    facts.save_prices(conn, stored, settings)
    facts.save_pools(conn, stored)
    facts.save_holdings(conn, stored)
