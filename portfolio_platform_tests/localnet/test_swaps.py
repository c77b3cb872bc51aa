"""Trades of the market as transactions: balances that add up, in every format."""

import base64
from collections import Counter
from typing import Any

import pytest
from solana.rpc.jsonrpc import SolanaJsonRpcError
from solders.transaction import VersionedTransaction

from portfolio_platform.localnet.demo import DemoChain
from portfolio_platform.localnet.records import MarketSwap
from portfolio_platform.solana.layouts import key_text
from portfolio_platform.solana.layouts.spl_token import TOKEN_ACCOUNT
from portfolio_platform_tests.localnet.conftest import accounts_of

CONFIG = {"encoding": "json", "maxSupportedTransactionVersion": 0}


def keys_of(transaction: dict[str, Any]) -> list[str]:
    loaded = transaction["meta"]["loadedAddresses"]
    keys = transaction["transaction"]["message"]["accountKeys"]
    return list(keys + loaded["writable"] + loaded["readonly"])


def deltas(transaction: dict[str, Any]) -> dict[str, int]:
    """Account -> change of its token balance."""
    keys, out = keys_of(transaction), {}
    for sign, name in ((-1, "preTokenBalances"), (1, "postTokenBalances")):
        for row in transaction["meta"][name]:
            key = keys[row["accountIndex"]]
            out[key] = out.get(key, 0) + sign * int(row["uiTokenAmount"]["amount"])
    return out


def market_swaps(demo: DemoChain) -> list[MarketSwap]:
    return [r for r in demo.log.by_signature.values() if isinstance(r, MarketSwap)]


def test_swaps_move_vaults_without_gaps(demo: DemoChain) -> None:
    demo.advance(3600)
    swaps = sorted(market_swaps(demo), key=lambda one: one.time_ms)
    last: dict[str, int] = {}
    for swap in swaps:
        shown = {**swap.render("json"), "slot": swap.slot}
        changed = {key: delta for key, delta in deltas(shown).items() if delta}
        if swap.error is not None:
            assert not changed
            continue
        assert Counter(changed.values()) == Counter(
            [-swap.amount_in, swap.amount_in, swap.amount_out, -swap.amount_out]
        )
        for one in swap.balances[2:]:
            assert last.get(one.address, one.before) == one.before
            last[one.address] = one.after or 0
    for vault, amount in last.items():
        assert demo.ledger.balance(vault) == amount


def test_a_slot_has_one_block_time(demo: DemoChain) -> None:
    for seconds in (3600, 7.7, 123.4):
        demo.advance(seconds)
    times: dict[int, set[int]] = {}
    for swap in market_swaps(demo):
        times.setdefault(swap.slot, set()).add(swap.time_ms)
    assert times
    assert times == {slot: {demo.chain.time_of(slot)} for slot in times}


def test_all_formats_occur(demo: DemoChain) -> None:
    demo.advance(7200)
    swaps = market_swaps(demo)
    versions = Counter(str(one.version) for one in swaps)
    assert versions["0"] > versions["legacy"] > 0
    assert 0 < sum(one.error is not None for one in swaps) < len(swaps) // 5
    assert {one.program for one in swaps} == {pool.program for pool in demo.pools}
    assert len({one.trader for one in swaps}) == 8


def test_swap_prices_follow_the_market(demo: DemoChain) -> None:
    demo.advance(1800)
    pools = {pool.address: pool for pool in demo.pools}
    for swap in market_swaps(demo):
        pool = pools[swap.pool]
        if swap.error is not None or min(swap.amount_in, swap.amount_out) < 10_000:
            continue
        vault_in = swap.balances[2]
        a_to_b = vault_in.address == pool.vault_a
        price = swap.amount_out / swap.amount_in if a_to_b else swap.amount_in / swap.amount_out
        at = swap.time_ms / 1000
        legs = {
            token.symbol: demo.market.price(token.symbol, at)
            for token in (pool.token_a, pool.token_b)
        }
        # Fee, noise of the pool's price, and the move that the trade itself makes.
        assert price == pytest.approx(pool.raw_price(legs), rel=0.03), pool.spec.name


def test_base64_is_the_same_transaction(demo: DemoChain) -> None:
    for swap in market_swaps(demo)[-40:]:
        shown, wire = swap.render("json"), swap.render("base64")
        parsed = VersionedTransaction.from_bytes(base64.b64decode(wire["transaction"][0]))
        assert str(parsed.signatures[0]) == swap.signature
        keys = [str(key) for key in parsed.message.account_keys]
        assert keys == shown["transaction"]["message"]["accountKeys"]
        assert shown["meta"] == wire["meta"]
        everything = keys_of(shown)
        assert everything == swap.addresses
        assert len(set(everything)) == len(everything)
        for instruction in shown["transaction"]["message"]["instructions"]:
            assert all(place < len(everything) for place in instruction["accounts"])


def test_signatures_page_through_without_loss(call: Any, universe: dict[str, Any]) -> None:
    pool = accounts_of(universe, "pool")[0]
    whole = call("getSignaturesForAddress", pool)
    assert len(whole) > 100
    assert [row["slot"] for row in whole] == sorted((r["slot"] for r in whole), reverse=True)
    paged: list[Any] = []
    while True:
        config = {"limit": 37} | ({"before": paged[-1]["signature"]} if paged else {})
        page = call("getSignaturesForAddress", pool, config)
        paged += page
        if len(page) < 37:
            break
    assert paged == whole
    newer = call("getSignaturesForAddress", pool, {"until": whole[9]["signature"]})
    assert newer == whole[:9]


def test_a_swap_over_the_wire(call: Any, universe: dict[str, Any]) -> None:
    pool = accounts_of(universe, "pool")[0]
    rows = call("getSignaturesForAddress", pool, {"limit": 200})
    row = next(row for row in rows if row["err"] is None)
    shown = call("getTransaction", row["signature"], CONFIG)
    assert (shown["slot"], shown["blockTime"]) == (row["slot"], row["blockTime"])
    assert pool in keys_of(shown)
    failed = next(row for row in rows if row["err"] is not None)
    assert call("getTransaction", failed["signature"], CONFIG)["meta"]["err"] == failed["err"]
    assert call("getTransaction", "1" * 64, CONFIG) is None


def test_a_client_that_knows_no_versions_is_told(call: Any, universe: dict[str, Any]) -> None:
    pool = accounts_of(universe, "pool")[0]
    outcomes = set()
    for row in call("getSignaturesForAddress", pool, {"limit": 40}):
        try:
            outcomes.add(call("getTransaction", row["signature"], {"encoding": "json"})["version"])
        except SolanaJsonRpcError as error:
            outcomes.add(error.code)
    assert outcomes == {"legacy", -32015}


def test_vault_owners_differ_by_program(demo: DemoChain) -> None:
    owners: dict[str, set[str]] = {}
    for pool in demo.pools:
        row = TOKEN_ACCOUNT.unpack(demo.chain.data(pool.vault_a))
        owners.setdefault(pool.spec.venue, set()).add(key_text(row["owner"]))
    assert len(owners["raydium_amm_v4"]) == 1
    assert len(owners["whirlpool"]) > 1
