"""A stream that is cut again and again leaves in the database what stands on the chain."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from portfolio_platform.cli.streaming import Streamer
from portfolio_platform.defs.solana import assets
from portfolio_platform.solana.stream import StreamSettings
from portfolio_platform_tests.defs.ingestion_world import World, chain_process, world

__all__ = ["chain_process", "world"]

QUICK = StreamSettings(poll_seconds=60, backoff_seconds=0.005, backoff_limit_seconds=0.02)


@pytest.fixture
def watched(world: World, tmp_path: Path) -> World:
    """A universe of two pools, three oracles, the stake pool and the wallet."""
    whole = httpx.get(world.chain.universe).json()
    symbols = {one["mint"]: one["symbol"] for one in whole["tokens"]}

    def of(role: str) -> list[dict[str, Any]]:
        return [one for one in whole["accounts"] if one["role"] == role]

    oracles = [one for one in of("oracle") if symbols[one["mint"]] in ("SOL", "USDC", "JUP")]
    accounts = [of("pool")[2], of("pool")[5], *oracles, *of("stake_pool"), *of("wallet")]
    file = tmp_path / "universe.json"
    file.write_text(json.dumps(whole | {"accounts": accounts}))
    world.set(PORTFOLIO_UNIVERSE=file)
    return world


async def control(world: World, method: str, path: str, body: Any = None) -> Any:
    async with httpx.AsyncClient(base_url=world.chain.rpc_url, timeout=30) as client:
        reply = await client.request(method, path, json=body)
        return reply.json()


async def injected(world: World) -> int:
    report = await control(world, "GET", "/faults")
    return int(report["injected"].get("ws_drop", 0))


def run(world: World, cuts: int) -> dict[str, Any]:
    """Stream through so many cuts; ends when the database holds the chain's state."""

    async def main() -> dict[str, Any]:
        streamer = Streamer(world.settings, QUICK, settle_seconds=0.02)
        stop = asyncio.Event()
        task = asyncio.ensure_future(streamer.run(stop))
        try:
            async with asyncio.timeout(240):
                while streamer.stream is None or streamer.stream.counters.polls < 2:
                    assert not task.done(), task
                    await asyncio.sleep(0.01)
                while await injected(world) < cuts:
                    assert not task.done(), task
                    await control(world, "POST", "/advance", {"seconds": 20, "slots": 2})
                    await asyncio.sleep(0.02)
                # Between two cuts the stream itself must bring something.
                while streamer.landing.counters.read_again == 0:
                    assert not task.done(), task
                    await control(world, "POST", "/advance", {"seconds": 20, "slots": 2})
                    await asyncio.sleep(0.1)
                while await asyncio.to_thread(behind, world):
                    assert not task.done(), task
                    await asyncio.sleep(0.05)
        finally:
            stop.set()
            counters = await task
        return counters

    return asyncio.run(main())


def newest_stored(world: World) -> dict[str, tuple[int, str]]:
    return {
        pubkey: (slot, digest)
        for pubkey, slot, digest in world.rows(
            "select distinct on (pubkey) pubkey, slot, sha256 from chain.account_snapshots "
            "order by pubkey, slot desc, snapshot_id desc"
        )
    }


def on_chain(world: World, keys: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for start in range(0, len(keys), 100):
        some = keys[start : start + 100]
        body = {"jsonrpc": "2.0", "id": 1, "method": "getMultipleAccounts"}
        body |= {"params": [some, {"encoding": "base64"}]}
        values = httpx.post(world.chain.rpc_url, json=body).json()["result"]["value"]
        for key, value in zip(some, values, strict=True):
            data = base64.b64decode(value["data"][0])
            found[key] = hashlib.sha256(data).hexdigest()
    return found


def behind(world: World) -> set[str]:
    """Accounts whose newest stored bytes are not the chain's, and sources judged on older ones."""
    stored = newest_stored(world)
    truth = on_chain(world, sorted(stored))
    late = {key for key, digest in truth.items() if stored[key][1] != digest}
    judged = world.rows(
        "select distinct on (p.pubkey) p.pubkey, s.sha256 from token_prices as p "
        "join chain.account_snapshots as s using (snapshot_id) "
        "order by p.pubkey, p.observed_at desc, p.price_id desc"
    )
    return late | {key for key, digest in judged if truth[key] != digest}


def end_state(world: World) -> tuple[list[Any], list[Any]]:
    prices = world.rows(
        "select distinct on (pubkey, mint, source) pubkey, mint, source, price, verdict "
        "from token_prices order by pubkey, mint, source, observed_at desc, price_id desc"
    )
    pools = world.rows(
        "select distinct on (pubkey) pubkey, spot_price, state from pool_states "
        "order by pubkey, observed_at desc, pool_state_id desc"
    )
    return prices, pools


def assert_same_as_the_chain(world: World) -> None:
    """What the stream left is what a fresh whole read gives."""
    assert behind(world) == set()
    streamed = end_state(world)
    world.materialise(assets.ASSETS[:3])
    assert end_state(world) == streamed
    twice = world.rows(
        "select pubkey from chain.account_snapshots group by pubkey, slot, sha256 "
        "having count(*) > 1"
    )
    assert twice == []


def test_a_stream_that_is_cut_ends_in_the_state_of_the_chain(watched: World) -> None:
    watched.faults({"fault": {"kind": "ws_drop"}, "method": "subscription", "times": 5})
    counters = run(watched, 5)
    assert counters["drops"] >= 5
    landed = counters["landed"]
    assert landed["polls"] >= 6
    assert landed["accounts"] > 0
    assert landed["read_again"] > 0
    assert watched.value("select count(*) from chain.fetches where not whole") > 0
    assert watched.value("select count(*) from token_prices where not whole") > 0
    assert_same_as_the_chain(watched)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_fifty_cuts_end_in_the_state_of_the_chain(watched: World) -> None:
    watched.faults({"fault": {"kind": "ws_drop"}, "method": "subscription", "times": 50})
    counters = run(watched, 50)
    assert counters["drops"] >= 50
    assert_same_as_the_chain(watched)


def test_streamed_bytes_that_no_decoder_reads_are_quarantined(watched: World) -> None:
    from portfolio_platform.defs.solana import snapshots
    from portfolio_platform.defs.solana.streaming import StreamLanding
    from portfolio_platform.solana.layouts import programs
    from portfolio_platform.solana.snapshot import AccountRecord
    from portfolio_platform.solana.stream import Change

    watched.materialise(assets.ASSETS[:1])
    universe = snapshots.read_universe(watched.settings.resolve_universe())
    oracle = universe.by_role("oracle")[0].pubkey
    cut = b"\x22\xf1\x23\x63\x9d\x7e\xf4\xcd" + bytes(20)
    moment = watched.value("select max(observed_at) from chain.fetches")
    slot = watched.value("select max(slot) from chain.fetches") + 1
    digest = hashlib.sha256(cut).hexdigest()
    record = AccountRecord(oracle, programs.PYTH_RECEIVER, 1, cut, digest, slot)
    landing = StreamLanding(watched.settings, universe)
    with watched.connect() as connection:
        landing.change(connection, Change("stream", (record,), moment))
    assert landing.counters.refused == 1
    kept = watched.rows(
        "select q.reason, d.data from chain.quarantine as q "
        "join chain.account_snapshots using (snapshot_id) "
        "join chain.account_data as d on d.sha256 = q.sha256 where q.pubkey = %s",
        oracle,
    )
    assert [bytes(data) for _, data in kept] == [cut]
    assert "28" in kept[0][0]
