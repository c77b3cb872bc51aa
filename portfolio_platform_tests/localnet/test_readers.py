"""The platform's own readers over the demo chain: what it writes is what they understand."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from portfolio_platform.localnet.tokens import BY_MINT, USDC_MINT
from portfolio_platform.solana.pools import build_pools
from portfolio_platform.solana.price_points import collect
from portfolio_platform.solana.prices import GateSettings, judge
from portfolio_platform.solana.rpc.pool import RpcPool
from portfolio_platform.solana.snapshot import Snapshot, fetch_snapshot
from portfolio_platform.solana.swaps import PoolVaults, swaps_of
from portfolio_platform.solana.transactions import parse_transaction
from portfolio_platform.solana.universe import Universe, load_universe
from portfolio_platform_tests.localnet.conftest import NOW
from portfolio_platform_tests.localnet.launch import Launched, launched

HTTP = httpx.Client(timeout=20)


@pytest.fixture(scope="module")
def chain() -> Iterator[Launched]:
    with launched(seed=19, now=NOW, days=60) as running:
        yield running


@pytest.fixture(scope="module")
def listed(chain: Launched) -> Universe:
    return load_universe(json.dumps(HTTP.get(chain.universe).json()))


def read(chain: Launched, universe: Universe) -> Snapshot:
    async def run() -> Snapshot:
        async with RpcPool([chain.rpc_url]) as pool:
            return await fetch_snapshot(pool, universe)

    return asyncio.run(run())


def last_close(chain: Launched, symbol: str, clock: float) -> float:
    query: dict[str, Any] = {"symbol": symbol, "resolution": "1", "to": int(clock)}
    query["from"] = int(clock) - 300
    return float(HTTP.get(f"{chain.udf_url}/history", params=query).json()["c"][-1])


def test_every_price_is_accepted_and_agrees_with_the_bars(
    chain: Launched, listed: Universe
) -> None:
    HTTP.post(f"{chain.rpc_url}/advance", json={"seconds": 900})
    snapshot = read(chain, listed)
    clock = HTTP.get(f"{chain.rpc_url}/clock").json()
    assert snapshot.slot == snapshot.oldest_slot == clock["slot"]
    verdicts = judge(collect(snapshot, listed), GateSettings(), now=snapshot.block_time)
    refused = [one for one in verdicts if one.verdict != "accepted"]
    assert not refused
    assert {one.mint for one in verdicts} == {token.mint for token in listed.tokens}
    sources = {one.source for one in verdicts}
    assert len(sources) >= 5
    for one in verdicts:
        market = last_close(chain, BY_MINT[one.mint].history_symbol, clock["time"])
        assert one.price == pytest.approx(market, rel=0.02), (BY_MINT[one.mint].symbol, one.source)


def test_every_pool_is_quoted_as_it_pays(chain: Launched, listed: Universe) -> None:
    HTTP.post(f"{chain.rpc_url}/advance", json={"seconds": 60})
    pools = [one.pubkey for one in listed.by_role("pool")]
    built, refused = build_pools(read(chain, listed), pools)
    assert not refused
    assert set(built) == set(pools)
    bought: dict[str, tuple[str, int]] = {}
    for address, pool in built.items():
        if USDC_MINT not in (pool.mint_a, pool.mint_b):
            continue
        quote = pool.quote_exact_in(USDC_MINT, 300 * 10**6)
        step = {"pool": address, "mint_in": USDC_MINT, "amount_in": 300 * 10**6}
        done = HTTP.post(f"{chain.rpc_url}/execute", json={"steps": [step]}).json()
        assert done["steps"][0]["amount_out"] == str(quote.amount_out)
        bought[address] = (quote.mint_out, quote.amount_out)
    # The states that the trades left are the ones that the quotes predicted.
    again, _ = build_pools(read(chain, listed), pools)
    for address, (mint, _) in bought.items():
        before = built[address]
        predicted = before.after(before.quote_exact_in(USDC_MINT, 300 * 10**6))
        one = predicted.quote_exact_in(mint, 10**6).amount_out
        assert again[address].quote_exact_in(mint, 10**6).amount_out == pytest.approx(one, abs=1)


def test_the_trades_of_a_pool_become_swaps(chain: Launched, listed: Universe) -> None:
    HTTP.post(f"{chain.rpc_url}/advance", json={"seconds": 3600})
    snapshot = read(chain, listed)
    pool = listed.by_role("pool")[0].pubkey
    row = snapshot.group(pool)[pool].decode().values
    vaults = PoolVaults(
        pool, row["vault_a"], row["vault_b"], row["mint_a"], row["mint_b"], 9, 6, fee_rate=4e-4
    )

    def call(method: str, *params: Any) -> Any:
        body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        return HTTP.post(chain.rpc_url, json=body).json()["result"]

    config = {"encoding": "json", "maxSupportedTransactionVersion": 0}
    rows = call("getSignaturesForAddress", pool, {"limit": 150})
    shown = [parse_transaction(call("getTransaction", one["signature"], config)) for one in rows]
    good, failed = swaps_of(shown, [vaults])
    assert len(good) + len(failed) == len(rows)
    assert len(failed) == sum(one["err"] is not None for one in rows) > 0
    clock = HTTP.get(f"{chain.rpc_url}/clock").json()["time"]
    query = {"symbol": "Crypto.SOL/USD", "resolution": "1", "from": int(clock) - 5400, "to": clock}
    bars = HTTP.get(f"{chain.udf_url}/history", params={**query, "to": int(clock)}).json()
    low, high = min(bars["l"]), max(bars["h"])
    for swap in good:
        if min(swap.amount_in, swap.amount_out) > 10**6:
            assert low * 0.99 < swap.price < high * 1.01
