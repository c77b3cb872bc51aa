"""Minutes of ingestion through faults at the public request limits: nothing lost, none doubled."""

import asyncio
import hashlib
import math

import httpx
import pytest

from portfolio_platform.solana.follow import fetch_transactions, look_at
from portfolio_platform.solana.ledger import Cursor
from portfolio_platform.solana.rpc import PoolSettings, RpcError, RpcPool
from portfolio_platform.solana.snapshot import fetch_snapshot
from portfolio_platform_tests.solana.conftest import LocalChain

FAULTS = [
    {"fault": {"kind": "http", "status": 429, "retry_after": 0}, "probability": 0.03},
    {"fault": {"kind": "http", "status": 500}, "probability": 0.02},
    {"fault": {"kind": "html"}, "probability": 0.02},
    {"fault": {"kind": "truncated"}, "probability": 0.02},
    {"fault": {"kind": "drop"}, "probability": 0.02},
    {"fault": {"kind": "rpc_error", "code": -32005, "with_data": False}, "probability": 0.03},
    {"fault": {"kind": "rpc_error", "code": -32016}, "probability": 0.02},
    {"fault": {"kind": "rpc_error", "code": -32019}, "probability": 0.02},
    {"fault": {"kind": "rpc_error", "code": -32429}, "probability": 0.02},
    {"fault": {"kind": "null_id", "code": 429}, "probability": 0.01},
    {"fault": {"kind": "slot_back"}, "method": "getMultipleAccounts", "probability": 0.05},
    {
        "fault": {"kind": "signatures", "mode": "duplicate"},
        "method": "getSignaturesForAddress",
        "probability": 0.2,
    },
    {
        "fault": {"kind": "signatures", "mode": "omit"},
        "method": "getSignaturesForAddress",
        "probability": 0.2,
    },
    {
        "fault": {"kind": "signatures", "mode": "reorder"},
        "method": "getSignaturesForAddress",
        "probability": 0.2,
    },
]


class Store:
    """What was committed; a second commit of one signature is an error."""

    def __init__(self) -> None:
        self.transactions: dict[str, int] = {}
        self.accounts: dict[str, tuple[int, str]] = {}

    def commit(self, signature: str, slot: int) -> None:
        assert signature not in self.transactions
        self.transactions[signature] = slot

    def signatures(self, floor: int) -> set[str]:
        return {one for one, slot in self.transactions.items() if slot >= floor}


async def soak(chain: LocalChain, seconds: float, settings: PoolSettings) -> None:
    address = chain.universe.by_role("pool")[0].pubkey
    store, cursor = Store(), None
    loop = asyncio.get_running_loop()
    urls = [chain.endpoint("a"), chain.endpoint("b")]
    async with RpcPool(urls, settings, seed=1) as pool, httpx.AsyncClient() as control:

        async def round_trip(cursor: Cursor | None) -> Cursor | None:
            snapshot = await fetch_snapshot(pool, [address])
            for record in snapshot.accounts:
                assert record.slot >= store.accounts.get(record.pubkey, (0, ""))[0]
                store.accounts[record.pubkey] = (record.slot, record.sha256)
            look = await look_at(pool, address, cursor, store.signatures, page=50, limit=200)
            async for fetched in fetch_transactions(pool, look.new):
                assert fetched.transaction is not None
                store.commit(fetched.row.signature, fetched.row.slot)
            # Only now is everything of this look committed.
            return look.cursor

        chain.faults()
        cursor = await round_trip(None)
        first = min(store.transactions.values(), default=0)
        before = len(store.transactions)
        chain.faults(*FAULTS, seed=11)
        began, rounds = loop.time(), 0

        def seen_enough() -> bool:
            # A busy machine gets fewer rounds into the same seconds.
            return rounds > 3 and len(store.transactions) > before + 10

        while loop.time() - began < seconds or not seen_enough():
            await control.post(f"{chain.rpc_url}/advance", json={"seconds": 20, "slots": 3})
            try:
                cursor = await round_trip(cursor)
                rounds += 1
            except RpcError:
                # Cut off in the middle: what was not committed is looked at again.
                continue
        elapsed = loop.time() - began
        metrics = pool.metrics()
        chain.faults()
        cursor = await round_trip(cursor)

    windows = math.ceil(elapsed / settings.period_seconds) + 1
    for one in metrics:
        assert one["requests"] <= settings.requests_per_period * windows
        assert sum(one["errors"].values()) > 0
    async with RpcPool([chain.rpc_url], settings) as pool:
        whole = await look_at(pool, address, None, lambda _: [])
        snapshot = await fetch_snapshot(pool, [address])
    # The first look may have ended in the middle of its oldest slot.
    expected = {row.signature for row in whole.new if row.slot > first}
    assert expected <= store.transactions.keys()
    assert store.transactions.keys() <= {row.signature for row in whole.new}
    for record in snapshot.accounts:
        assert hashlib.sha256(record.data).hexdigest() == store.accounts[record.pubkey][1]


def test_a_short_soak(chain: LocalChain) -> None:
    settings = PoolSettings(
        period_seconds=0.5,
        backoff_seconds=0.01,
        backoff_limit_seconds=0.1,
        request_timeout_seconds=2,
        deadline_seconds=5,
    )
    asyncio.run(soak(chain, 4, settings))


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_ten_minutes_at_the_public_limits(chain: LocalChain) -> None:
    asyncio.run(soak(chain, 600, PoolSettings()))
