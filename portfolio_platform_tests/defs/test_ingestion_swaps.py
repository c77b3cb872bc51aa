"""Swaps from transactions: nothing lost, nothing doubled, and bars that say what they are."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from portfolio_platform.defs.solana import assets, facts, swap_pools, swaps
from portfolio_platform_tests.defs.ingestion_world import World, chain_process, metadata, world

__all__ = ["chain_process", "world"]

READ = [assets.account_snapshots, assets.pool_swaps]
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


@pytest.fixture
def few_pools(world: World, tmp_path: Path) -> list[str]:
    """A universe of three pools of SOL and JUP with their oracles; the pools' addresses."""
    whole = httpx.get(world.chain.universe).json()
    symbols = {one["mint"]: one["symbol"] for one in whole["tokens"]}
    pools = [one for one in whole["accounts"] if one["role"] == "pool"]
    wanted = [pools[2], pools[5], pools[6]]
    oracles = [
        one
        for one in whole["accounts"]
        if one["role"] == "oracle" and symbols[one["mint"]] in ("SOL", "USDC", "JUP")
    ]
    file = tmp_path / "universe.json"
    file.write_text(json.dumps(whole | {"accounts": [*wanted, *oracles]}))
    world.set(PORTFOLIO_UNIVERSE=file)
    return [one["pubkey"] for one in wanted]


def call(world: World, method: str, *params: Any) -> Any:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    return httpx.post(world.chain.rpc_url, json=body).json()["result"]


def on_chain(world: World, pool: str) -> list[dict[str, Any]]:
    """Everything that the chain lists for a pool, oldest first."""
    found: list[dict[str, Any]] = []
    while True:
        before = {"before": found[-1]["signature"]} if found else {}
        page = call(world, "getSignaturesForAddress", pool, {"limit": 1000, **before})
        if not page:
            return found[::-1]
        found += page


def follow(world: World) -> list[swaps.Followed]:
    """What `pool_swaps` does, without Dagster's retries."""
    with world.connect() as connection:
        pools, _ = swap_pools.followed_pools(facts.stored_snapshot(connection))
    return swaps.follow_pools(world.settings, pools).found


def stored(world: World, pool: str) -> dict[str, str | None]:
    return dict(world.rows("select signature, failed from swaps where pool = %s", pool))


def test_every_listed_transaction_is_stored_once_and_the_failed_as_failed(
    world: World, few_pools: list[str]
) -> None:
    world.set(PORTFOLIO_SWAP_FIRST_LOOK=5000)
    world.materialise(READ)
    for pool in few_pools:
        listed = on_chain(world, pool)
        assert stored(world, pool).keys() == {row["signature"] for row in listed}
        failed = {row["signature"] for row in listed if row["err"] is not None}
        assert {key for key, why in stored(world, pool).items() if why is not None} == failed
        cursor = world.rows(
            "select slot, followed_from from chain.ledger_cursors where address = %s", pool
        )
        assert cursor == [(listed[-1]["slot"], None)]
    world.faults()
    again = world.materialise(READ)
    assert "getTransaction" not in world.calls()
    assert metadata(again, "pool_swaps")["swaps"] == 0
    assert metadata(again, "pool_swaps")["endpoints"].startswith("endpoint | requests | retries")


def test_amounts_are_what_the_vaults_gained_and_lost(world: World, few_pools: list[str]) -> None:
    world.set(PORTFOLIO_SWAP_FIRST_LOOK=20)
    world.materialise(READ)
    for signature, pool, amount_in, amount_out, price, mint_a, mint_in, da, db in world.rows(
        "select signature, pool, amount_in, amount_out, price, mint_a, mint_in, "
        "decimals_in, decimals_out from swaps where failed is null limit 12"
    ):
        shown = call(
            world,
            "getTransaction",
            signature,
            {"encoding": "json", "maxSupportedTransactionVersion": 0},
        )
        changes: dict[int, int] = {}
        for sign, name in ((-1, "preTokenBalances"), (1, "postTokenBalances")):
            for row in shown["meta"][name]:
                index = row["accountIndex"]
                amount = sign * int(row["uiTokenAmount"]["amount"])
                changes[index] = changes.get(index, 0) + amount
        assert sorted(changes.values()) == sorted(
            [-amount_in, amount_in, -amount_out, amount_out]
        ), pool
        rate = (float(amount_out) / 10**db) / (float(amount_in) / 10**da)
        assert price == pytest.approx(rate if mint_in == mint_a else 1 / rate)


FAULTS = [
    {"fault": {"kind": "http", "status": 429, "retry_after": 0}, "probability": 0.05},
    {"fault": {"kind": "html"}, "probability": 0.03},
    {"fault": {"kind": "rpc_error", "code": -32005, "with_data": False}, "probability": 0.05},
    *(
        {
            "fault": {"kind": "signatures", "mode": mode},
            "method": "getSignaturesForAddress",
            "probability": 0.3,
        }
        for mode in ("duplicate", "omit", "reorder")
    ),
]


def test_ledgers_survive_faulty_listings_and_interrupted_runs(
    world: World, few_pools: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swaps, "TRANSACTIONS_PER_COMMIT", 3)
    world.set(PORTFOLIO_SWAP_FIRST_LOOK=10)
    world.materialise(READ)
    first = {
        pool: min(world.rows("select slot from swaps where pool = %s", pool))[0]
        for pool in few_pools
    }
    for seed in range(8):
        # What a listing leaves out is found by the next honest one within the overlap (150 slots,
        # a minute); what several in a row leave out is nowhere to be seen again.
        world.advance(50)
        world.faults(*FAULTS, seed=seed)
        follow(world)
        world.faults()
        follow(world)
    world.faults(
        {
            "fault": {"kind": "rpc_error", "code": -32603},
            "method": "getTransaction",
            "calls": list(range(5, 400)),
        }
    )
    world.advance(600)
    # In the middle of the ledger the node refuses to go on: what was committed stays.
    assert all(one.error is not None for one in follow(world))
    world.faults()
    assert all(one.error is None and one.left == 0 for one in follow(world))
    for pool in few_pools:
        expected = {row["signature"] for row in on_chain(world, pool) if row["slot"] > first[pool]}
        assert len(expected) > 10
        assert expected <= stored(world, pool).keys()
        cursor = world.rows(
            "select (select max(slot) from swaps where pool = address), slot "
            "from chain.ledger_cursors where address = %s",
            pool,
        )
        assert cursor[0][0] == cursor[0][1]


def test_the_cursor_never_passes_what_was_not_committed(
    world: World, few_pools: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from portfolio_platform.store import swaps as store

    world.set(PORTFOLIO_SWAP_FIRST_LOOK=40)
    world.materialise(READ[:1])
    monkeypatch.setattr(swaps, "TRANSACTIONS_PER_COMMIT", 10)
    whole = store.bulk.upsert
    calls = 0

    def failing(conn: Any, table: str, *args: Any, **options: Any) -> Any:
        nonlocal calls
        if table == "public.swaps":
            calls += 1
            if calls >= 3:
                raise RuntimeError("the disk is full")
        return whole(conn, table, *args, **options)

    monkeypatch.setattr(store.bulk, "upsert", failing)
    with pytest.raises(RuntimeError, match="disk"):
        follow(world)
    monkeypatch.setattr(store.bulk, "upsert", whole)
    for address, slot, signature in world.rows(
        "select address, slot, signature from chain.ledger_cursors"
    ):
        listed = on_chain(world, address)
        kept = world.rows(
            "select signature from chain.ledger_transactions where address = %s", address
        )
        begun = [row for row in listed if (row["signature"],) in kept]
        behind = [
            row
            for row in listed
            if begun[0]["slot"] <= row["slot"]
            and (row["slot"], row["signature"]) <= (slot, signature)
        ]
        assert {(row["signature"],) for row in behind} == set(kept)
        assert set(stored(world, address)) <= {row[0] for row in kept}


def test_a_transaction_that_no_node_serves_is_a_gap_until_it_is_served(
    world: World, few_pools: list[str]
) -> None:
    world.set(PORTFOLIO_SWAP_FIRST_LOOK=10)
    world.materialise(READ)
    world.advance(900)
    refuse = [
        {"fault": {"kind": "rpc_error", "code": code}, "method": method}
        for method, code in (
            ("getTransaction", -32011),
            ("getBlock", -32009),
            ("getBlocks", -32009),
        )
    ]
    states = []
    for _ in range(5):
        world.faults(*refuse)
        follow(world)
        states.append(dict(world.rows("select state, count(*) from chain.ledger_gaps group by 1")))
    assert set(states[0]) == {"pending"}
    assert set(states[-1]) == {"missing"}
    expected = sum(states[0].values())
    # Long-term storage was patched: what was missing is served after all.
    world.faults()
    result = world.materialise(READ)
    assert metadata(result, "pool_swaps")["gaps_served"] == expected
    assert world.value("select count(*) from chain.ledger_gaps where served_at is null") == 0
    for pool in few_pools:
        newest = [row["signature"] for row in on_chain(world, pool)][-3:]
        assert set(newest) <= stored(world, pool).keys()


def test_skipped_is_confirmed_by_two_witnesses_and_then_left_alone(
    world: World, few_pools: list[str]
) -> None:
    world.set(
        PORTFOLIO_SWAP_FIRST_LOOK=10,
        SOLANA_RPC_URLS=f"{world.chain.rpc_url}/rpc/a,{world.chain.rpc_url}/rpc/b",
    )
    world.materialise(READ)
    world.advance(900)
    world.faults(
        {"fault": {"kind": "rpc_error", "code": -32007}, "method": "getTransaction"},
        {"fault": {"kind": "rpc_error", "code": -32007}, "method": "getBlock"},
    )
    world.materialise(READ)
    claims = world.rows("select state, claims from chain.ledger_gaps")
    assert claims
    for state, witnesses in claims:
        assert state == "skipped_confirmed"
        assert len({tuple(one) for one in witnesses}) >= 2
    world.faults()
    world.materialise(READ)
    assert "getTransaction" not in world.calls()


def test_bars_of_a_pool_are_whole_oriented_and_reach_their_swaps(
    world: World, few_pools: list[str]
) -> None:
    world.set(PORTFOLIO_SWAP_FIRST_LOOK=5000)
    world.advance(2 * 3600)
    made = world.materialise([*READ, assets.pool_bars])
    assert metadata(made, "pool_bars")["written"] > 60
    series = world.rows(
        "select s.symbol, s.venue, s.instrument, s.quote, t.symbol, s.series_id "
        "from bar_series as s join tokens as t using (mint)"
    )
    assert {row[0] for row in series} == set(few_pools)
    assert {row[2:5] for row in series} == {
        ("pool", "USDC", "SOL"),
        ("pool", "USDC", "JUP"),
        ("pool", "SOL", "JUP"),
    }
    now = httpx.get(f"{world.chain.rpc_url}/clock").json()["time"]
    for pool, _, _, quote, base, number in series:
        swaps_ = world.rows(
            "select observed_at, price, mint_a, mint_b, volume_a, volume_b, slot, signature "
            "from swaps where pool = %s and failed is null order by slot, signature",
            pool,
        )
        mint = world.value("select mint from bar_series where series_id = %s", number)
        bars = world.rows(
            "select bar_interval, observed_at, open, high, low, close, volume from price_bars "
            "where series_id = %s order by 1, 2",
            number,
        )
        assert {row[0] for row in bars} >= {"1m", "1h"}
        for interval, opened, *prices, volume in bars:
            length = {"1m": 60, "1h": 3600, "1d": 86400}[interval]
            assert opened.timestamp() + length <= now
            inside = [
                (1 / p if mint == b else p, vb if mint == b else va)
                for at, p, _, b, va, vb, _, _ in swaps_
                if opened <= at < opened + timedelta(seconds=length)
                and (va if mint == b else vb) >= 0.01
            ]
            quoted = [price for price, _ in inside]
            assert prices == pytest.approx([quoted[0], max(quoted), min(quoted), quoted[-1]])
            assert volume == pytest.approx(sum(amount for _, amount in inside))
        symbol = f"Crypto.{base}/USD"
        market = httpx.get(
            f"{world.chain.udf_url}/history",
            params={"symbol": symbol, "resolution": "60", "from": int(now) - 7200, "to": int(now)},
        ).json()
        if quote == "USDC":
            close = [row for row in bars if row[0] == "1h"][-1][5]
            assert close == pytest.approx(market["c"][-2], rel=0.03)
        batches = world.rows(
            "select distinct b.source, b.locator from price_bars as p "
            "join source_batches as b using (batch_id) where p.series_id = %s",
            number,
        )
        assert batches == [("swaps", pool)]
    again = world.materialise([assets.account_snapshots, assets.pool_swaps, assets.pool_bars])
    assert metadata(again, "pool_bars")["written"] == 0
    assert_a_late_swap_corrects_its_bar(world, few_pools[0])


def assert_a_late_swap_corrects_its_bar(world: World, pool: str) -> None:
    """The old reading of the bar is kept beside the new one."""
    moment = world.value(
        "select observed_at from swaps where pool = %s and failed is null "
        "and observed_at < (select max(observed_at) - interval '2 hours' from swaps) "
        "order by observed_at desc limit 1",
        pool,
    )
    with world.connect() as connection:
        connection.execute(
            "insert into swaps select 'late', pool, slot, mint_a, mint_b, mint_in, mint_out, "
            "amount_in, amount_out, decimals_in, decimals_out, price * 1.5, volume_a, volume_b, "
            "fee, null, observed_at from swaps where pool = %s and observed_at = %s limit 1",
            (pool, moment),
        )
    before = datetime.now(UTC)
    made = world.materialise([assets.account_snapshots, assets.pool_bars])
    assert metadata(made, "pool_bars")["written"] in (2, 3)
    minute = moment.replace(second=0)
    versions = world.rows(
        "select p.recorded_at, p.low, p.high "
        "from price_bars as p join bar_series using (series_id) "
        "where symbol = %s and bar_interval = '1m' and observed_at = %s order by 1",
        pool,
        minute,
    )
    assert len(versions) == 2
    assert versions[0][0] < before <= versions[1][0]
    assert versions[0][1:] != versions[1][1:]
