"""One fetch and the facts in it: coherent, complete, stored once."""

from __future__ import annotations

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from portfolio_platform.defs.solana import assets
from portfolio_platform.store import rpc_counters
from portfolio_platform_tests.defs.ingestion_world import (
    World,
    chain_process,
    metadata,
    world,
)

__all__ = ["chain_process", "world"]

FACTS = ("token_prices", "pool_states", "lending_reserves", "stake_pool_rates", "wallet_holdings")


def counts(world: World) -> dict[str, int]:
    return {name: world.value(f"select count(*) from {name}") for name in FACTS}


def test_a_second_decode_of_the_same_bytes_writes_nothing(world: World) -> None:
    world.materialise(assets.ASSETS[:6])
    first = counts(world)
    assert all(first.values())
    result = world.materialise(assets.ASSETS[1:6])
    assert result.success
    assert counts(world) == first


def test_memory_is_bounded_by_parts_that_give_the_same_facts(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    from portfolio_platform.defs.solana import snapshots, stored

    world.materialise(assets.ASSETS[:6])
    whole = world.rows(
        "select mint, source, pubkey, price, verdict from token_prices order by 3, 1"
    )
    pools = world.rows("select pubkey, state from pool_states order by 1")
    monkeypatch.setattr(snapshots, "ANCHORS_PER_PART", 7)
    monkeypatch.setattr(stored, "ACCOUNTS_PER_PART", 11)
    with world.connect() as connection:
        connection.execute("truncate token_prices, pool_states, chain.fetches")
    world.materialise(assets.ASSETS[:6])
    assert whole == world.rows(
        "select mint, source, pubkey, price, verdict from token_prices order by 3, 1"
    )
    assert pools == world.rows("select pubkey, state from pool_states order by 1")


def test_what_a_fetch_cost_is_counted_over_runs(world: World) -> None:
    for expected in (1, 2):
        result = world.materialise([assets.account_snapshots])
        assert metadata(result, "account_snapshots")["unreadable"] == 0
        requests, slot = world.rows("select requests, slot from ops.rpc_counters")[0]
        if expected == 1:
            first = requests
    assert requests > first > 0
    assert slot == httpx.get(f"{world.chain.rpc_url}/clock").json()["slot"]


def test_counters_are_exposed_as_prometheus_text(world: World) -> None:
    world.faults(
        {"fault": {"kind": "http", "status": 429, "retry_after": 0}, "calls": [1]},
    )
    world.materialise([assets.account_snapshots])
    with world.connect() as connection:
        text = rpc_counters.exposition(rpc_counters.read(connection))
        shared = [row[0] for row in connection.execute("select public.rpc_counters()")]
    samples = parsed(text)
    assert parsed(rpc_counters.exposition(shared)) == samples
    assert samples["portfolio_rpc_rate_limited_total", None] == 1
    assert samples["portfolio_rpc_errors_total", "http_429"] == 1
    assert samples["portfolio_rpc_requests_total", None] > 3


def parsed(text: str) -> dict[tuple[str, str | None], float]:
    return {
        (sample.name, sample.labels.get("error")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
