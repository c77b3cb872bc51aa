"""Ingestion into the database at the public request limits, through faults all the time."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from portfolio_platform.defs.solana import facts, snapshots, swap_pools, swaps
from portfolio_platform.solana.rpc import PoolSettings, RpcError
from portfolio_platform_tests.defs.ingestion_world import World, chain_process, world
from portfolio_platform_tests.defs.test_ingestion_stream import newest_stored, on_chain

__all__ = ["chain_process", "world"]

FAULTS: list[dict[str, Any]] = [
    {"fault": {"kind": "http", "status": 429, "retry_after": 0}, "probability": 0.03},
    {"fault": {"kind": "http", "status": 500}, "probability": 0.02},
    {"fault": {"kind": "html"}, "probability": 0.02},
    {"fault": {"kind": "truncated"}, "probability": 0.02},
    {"fault": {"kind": "drop"}, "probability": 0.02},
    {"fault": {"kind": "rpc_error", "code": -32005, "with_data": False}, "probability": 0.03},
    {"fault": {"kind": "rpc_error", "code": -32016}, "probability": 0.02},
    {"fault": {"kind": "null_id", "code": 429}, "probability": 0.01},
    {
        "fault": {"kind": "rpc_error", "code": -32011},
        "method": "getTransaction",
        "probability": 0.03,
    },
    {"fault": {"kind": "slot_back"}, "method": "getMultipleAccounts", "probability": 0.05},
    *(
        {
            "fault": {"kind": "signatures", "mode": mode},
            "method": "getSignaturesForAddress",
            "probability": 0.2,
        }
        for mode in ("duplicate", "omit", "reorder")
    ),
]


def listed(world: World, pool: str) -> dict[str, int]:
    """Signature to slot of everything that the chain lists for a pool."""
    body = {"jsonrpc": "2.0", "id": 1, "method": "getSignaturesForAddress"}
    found: dict[str, int] = {}
    while True:
        page = {"limit": 1000} | ({"before": list(found)[-1]} if found else {})
        answer = httpx.post(world.chain.rpc_url, json=body | {"params": [pool, page]})
        rows = answer.json()["result"]
        found |= {row["signature"]: row["slot"] for row in rows}
        if len(rows) < 1000:
            return found


def soak(world: World, tmp_path: Path, seconds: float) -> None:
    whole = httpx.get(world.chain.universe).json()
    pools = [one for one in whole["accounts"] if one["role"] == "pool"]
    chosen = [pools[2], pools[5]]
    oracles = [one for one in whole["accounts"] if one["role"] == "oracle"][:3]
    file = tmp_path / "universe.json"
    file.write_text(json.dumps(whole | {"accounts": [*chosen, *oracles]}))
    world.set(
        PORTFOLIO_UNIVERSE=file,
        PORTFOLIO_SWAP_FIRST_LOOK=5,
        PORTFOLIO_SWAP_SECONDS=max(seconds / 10, 2),
        SOLANA_RPC_URLS=f"{world.chain.rpc_url}/rpc/a,{world.chain.rpc_url}/rpc/b",
    )
    universe = snapshots.read_universe(str(file))

    def round_trip() -> list[swaps.Followed]:
        with world.database.connect(autocommit=False) as conn:
            snapshots.store_universe(conn, universe)
            fetch = snapshots.fetch_accounts(conn, world.settings, universe)
            stored = facts.stored_snapshot(conn, fetch_id=fetch.fetch_id)
            facts.land_facts(conn, stored, world.settings)
            followed, _ = swap_pools.followed_pools(stored)
            conn.commit()
        return swaps.follow_pools(world.settings, followed).found

    began = time.monotonic()
    round_trip()
    first = dict(world.rows("select pool, min(slot) from swaps group by 1"))
    world.faults(*FAULTS, seed=11)
    rounds = broken = 0
    # A busy machine gets fewer rounds into the same seconds.
    while time.monotonic() - began < seconds or rounds < 3:
        world.advance(60)
        rounds += 1
        try:
            broken += any(one.error is not None for one in round_trip())
        except RpcError:
            broken += 1
    injected = httpx.get(f"{world.chain.rpc_url}/faults").json()["injected"]
    elapsed = time.monotonic() - began
    requests = world.rows("select requests, errors from ops.rpc_counters")
    world.faults()
    for _ in range(100):
        left = [(one.left, one.error) for one in round_trip()]
        if not any(number or error for number, error in left):
            break
    else:
        pytest.fail(f"ingestion did not catch up after the faults had ended: {left}")
    print(f"{rounds} rounds in {elapsed:.0f} s, {broken} broken, injected {injected}")

    assert sum(injected.values()) > rounds
    # Both names of the chain are endpoints with public limits of their own.
    limit = 100 * (math.ceil(elapsed / 10) + 1)
    assert all(count <= limit for count, _ in requests)
    assert any(errors for _, errors in requests)
    for one in chosen:
        pool = one["pubkey"]
        stored = world.rows("select signature from swaps where pool = %s", pool)
        chain = listed(world, pool)
        assert len(stored) == len(set(stored))
        assert {row[0] for row in stored} <= chain.keys()
        expected = {signature for signature, slot in chain.items() if slot > first[pool]}
        assert expected <= {row[0] for row in stored}
        moved = world.rows(
            "select count(*), count(distinct signature) from chain.ledger_transactions "
            "where address = %s",
            pool,
        )[0]
        assert moved[0] == moved[1]
    assert world.value("select count(*) from chain.ledger_gaps where served_at is null") == 0
    accounts = newest_stored(world)
    watched = [one["pubkey"] for one in (*chosen, *oracles)]
    truth = on_chain(world, watched)
    assert {key: accounts[key][1] for key in watched} == truth
    backwards = world.rows(
        "select 1 from (select slot, lag(slot) over (order by recorded_at) as before "
        "from chain.fetches) as f where slot < before"
    )
    assert backwards == []


def public_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = PoolSettings(
        request_timeout_seconds=2,
        deadline_seconds=15,
        backoff_seconds=0.05,
        backoff_limit_seconds=1,
    )
    monkeypatch.setattr(snapshots, "pool_settings", lambda _: settings)


def test_twenty_seconds_at_the_public_limits(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public_limits(monkeypatch)
    soak(world, tmp_path, 20)


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_ten_minutes_at_the_public_limits(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public_limits(monkeypatch)
    soak(world, tmp_path, 600)
