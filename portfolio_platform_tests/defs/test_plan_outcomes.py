"""Every portfolio has a stored outcome, whatever is wrong; what it holds is shown with each."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import httpx
import pytest
from psycopg.types.json import Jsonb

from portfolio_platform.cli.plans import run_replay
from portfolio_platform.defs.portfolio.materialise import materialise_plans, materialise_states
from portfolio_platform.defs.resources import Platform
from portfolio_platform.defs.solana import assets
from portfolio_platform.store.publish import publish
from portfolio_platform_tests.defs.ingestion_world import World, chain_process, world

__all__ = ["chain_process", "world"]

READ = [
    assets.account_snapshots,
    assets.token_prices,
    assets.pool_states,
    assets.wallet_holdings,
]


@pytest.fixture
def read(world: World) -> World:
    """The demo market, read once."""
    world.materialise(READ)
    return world


def universe(world: World) -> dict[str, Any]:
    found: dict[str, Any] = httpx.get(world.chain.universe, timeout=30).json()
    return found


def strategy(world: World, slug: str, weights: dict[str, float] | None, status: str) -> UUID:
    """A strategy whose newest attempt ended like this."""
    with world.connect() as conn:
        ((key,),) = conn.execute(
            "insert into public.strategies (slug, name, spec) values (%s, %s, '{}') "
            "returning strategy_id",
            (slug, slug),
        ).fetchall()
        publish(
            conn,
            kind="weights",
            subject=slug,
            content={"weights": weights, "status": status},
            inputs=[],
            rows={
                "weight_sets": [
                    {
                        "strategy_id": key,
                        "status": status,
                        "reason": None if weights else "caps sum to 0.9",
                        "solution": {},
                        "report": {},
                    }
                ],
                "weights": [{"mint": m, "weight": w} for m, w in (weights or {}).items()],
            },
            as_of=conn.execute("select now()").fetchone()[0],  # type: ignore[index]
            code_version="test",
        )
    return key


def portfolio(world: World, wallet: str, follows: UUID | None, **settings: Any) -> UUID:
    owner = world.database.add_user(f"{wallet}-{follows}-{len(settings)}@test")
    ((key,),) = world.rows(
        "insert into public.portfolios (user_id, name, wallet, hub_mint, strategy_id, settings) "
        "values (%s, 'p', %s, %s, %s, %s) returning portfolio_id",
        owner,
        wallet,
        universe(world)["hub"],
        follows,
        Jsonb({"max_slot_spread": 8, **settings}),
    )
    return key


def planned(world: World, key: UUID) -> tuple[str, dict[str, Any]]:
    """Materialise the plan of one portfolio; version and document of the newest stored."""
    platform = Platform()
    (row,) = materialise_plans(platform.connect, platform.settings, "test", None, only={key})
    ((version, outcome, reasons, plan),) = world.rows(
        "select v.version::text, p.outcome, p.reasons, p.plan from public.reallocation_plans as p "
        "join public.versions as v using (version) where p.portfolio_id = %s "
        "order by v.recorded_at desc limit 1",
        key,
    )
    assert row["outcome"] == plan["outcome"] == outcome
    assert reasons
    assert run_replay(platform.settings, version)["equal"] is True
    return version, plan


def wallet_of(world: World) -> str:
    (wallet,) = (a["pubkey"] for a in universe(world)["accounts"] if a["role"] == "wallet")
    return str(wallet)


def refused(plan: dict[str, Any], reason: str) -> str:
    assert (plan["outcome"], plan["reasons"]) == ("failed", [reason])
    assert plan["steps"] == plan["trades"] == []
    assert sum(int(asset["quantity"]) for asset in plan["before"]["assets"]) > 0
    assert plan["before"]["nav"] is not None
    return str(plan["failures"][0]["detail"])


def check_no_target(read: World) -> None:
    wallet = wallet_of(read)
    for follows, reason, says in (
        (None, "no_target", "follows no strategy"),
        (strategy(read, "infeasible-one", None, "infeasible"), "solver_infeasible", "caps sum"),
    ):
        key = portfolio(read, wallet, follows)
        assert says in refused(planned(read, key)[1], reason)
        with read.connect() as conn:
            (state,) = materialise_states(conn, "test", None, only={key})
        assert state["nav"] > 0


def check_bad_settings(read: World) -> None:
    follows = strategy(read, "one", {universe(read)["hub"]: 1.0}, "optimal")
    key = portfolio(read, wallet_of(read), follows, max_impact_bps=-3)
    assert "max_impact_bps" in refused(planned(read, key)[1], "invalid_settings")
    nobody = planned(read, portfolio(read, "my wallet", follows))[1]
    assert nobody["reasons"] == ["invalid_settings"]
    assert "my wallet" in nobody["failures"][0]["detail"]


def check_unreadable_chain(read: World) -> None:
    follows = strategy(read, "two", {universe(read)["hub"]: 1.0}, "optimal")
    key = portfolio(read, wallet_of(read), follows, max_impact_bps=9_000)
    read.faults({"fault": {"kind": "http", "status": 503}, "probability": 1.0})
    detail = refused(planned(read, key)[1], "rpc_unavailable")
    assert "503" in detail
    assert "http" not in detail
    read.faults()
    assert planned(read, key)[1]["outcome"] == "reallocation"


def test_a_wallet_outside_the_universe_is_read_with_the_portfolio(read: World) -> None:
    hub = universe(read)["hub"]
    follows = strategy(read, "three", {hub: 1.0}, "optimal")
    treasury = wallet_of(read)
    read.rows("update chain.watched_accounts set role = 'mint' where role = 'wallet' returning 1")
    read.rows("delete from public.wallet_holdings returning 1")
    key = portfolio(read, treasury, follows, max_impact_bps=9_000)
    plan = planned(read, key)[1]
    assert plan["outcome"] == "reallocation"
    assert {trade["side"] for trade in plan["trades"]} == {"sell"}


def check_stale_snapshot(read: World) -> None:
    follows = strategy(read, "four", {universe(read)["hub"]: 1.0}, "optimal")
    # The chain of this room stands still: what it says is older with every second.
    key = portfolio(read, wallet_of(read), follows, max_snapshot_age_seconds=0)
    plan = planned(read, key)[1]
    assert "s are allowed" in refused(plan, "stale_data")
    assert plan["as_of"] > plan["snapshot"]["observed_at"]


def test_what_is_wrong_is_a_stored_outcome(read: World) -> None:
    check_no_target(read)
    check_bad_settings(read)
    check_stale_snapshot(read)
    check_unreadable_chain(read)
