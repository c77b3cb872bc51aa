"""One coherent look at a universe over a real socket."""

import asyncio
import hashlib
from collections import Counter

import pytest

from portfolio_platform.solana.decoded import Decoded, Refused
from portfolio_platform.solana.holdings import balances, value_of, wallet_holdings
from portfolio_platform.solana.layouts import InvalidPubkey, programs
from portfolio_platform.solana.pools import build_pools
from portfolio_platform.solana.price_points import collect
from portfolio_platform.solana.prices import GateSettings, best_by_mint, judge
from portfolio_platform.solana.rpc import PoolSettings, RpcPool
from portfolio_platform.solana.snapshot import (
    IncoherentSnapshot,
    Snapshot,
    fetch_snapshot,
    snapshot_chunks,
)
from portfolio_platform.solana.universe import Universe, WatchedAccount
from portfolio_platform_tests.solana.conftest import LocalChain


def fetch(chain: LocalChain, settings: PoolSettings, what: object = None) -> Snapshot:
    async def main() -> Snapshot:
        async with RpcPool([chain.rpc_url], settings) as pool:
            return await fetch_snapshot(pool, what or chain.universe)  # type: ignore[arg-type]

    return asyncio.run(main())


def test_a_pool_and_all_it_needs_share_one_slot(chain: LocalChain, impatient: PoolSettings) -> None:
    snapshot = fetch(chain, impatient)
    assert {one.pubkey for one in chain.universe.accounts} <= snapshot.groups.keys()
    for account in chain.universe.by_role("pool"):
        records = snapshot.group(account.pubkey)
        assert len({one.slot for one in records.values()}) == 1
        kinds = Counter(
            answer.kind for one in records.values() if isinstance(answer := one.decode(), Decoded)
        )
        assert kinds["spl_mint"] + kinds["token_2022_mint"] == 2
        assert kinds["spl_token_account"] + kinds["token_2022_account"] == 2
    for record in snapshot.accounts:
        assert record.sha256 == hashlib.sha256(record.data).hexdigest()


def test_every_pool_of_the_demo_market_can_be_quoted(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    snapshot = fetch(chain, impatient)
    pools = [one.pubkey for one in chain.universe.by_role("pool")]
    built, refused = build_pools(snapshot, pools)
    assert not refused
    for pool in built.values():
        amount = 10**6
        quote = pool.quote_exact_in(pool.mint_b, amount)
        fair = amount / pool.spot_price()
        assert 0.9 * fair < quote.amount_out < fair


def test_prices_of_the_demo_market_agree_and_flow(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    snapshot = fetch(chain, impatient)
    verdicts = judge(
        collect(snapshot, chain.universe),
        GateSettings(),
        now=snapshot.block_time,
        hub=chain.universe.hub,
    )
    accepted = best_by_mint(verdicts)
    assert {one.mint for one in chain.universe.tokens} == accepted.keys()
    for one in verdicts:
        if one.verdict == "accepted":
            price = accepted[one.mint].price
            assert one.price == pytest.approx(price, rel=0.05)
        else:
            assert one.reasons


def test_holdings_count_both_programs_and_native_sol(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    snapshot = fetch(chain, impatient)
    wallets = [one.pubkey for one in chain.universe.by_role("wallet")]
    holdings = wallet_holdings(snapshot, wallets)
    totals = balances(holdings)
    assert totals[(wallets[0], programs.WRAPPED_SOL)] > 0
    assert len({one.mint for one in holdings}) > 1
    prices = {
        one.mint: one.price or 0.0
        for one in judge(collect(snapshot, chain.universe), GateSettings(), now=snapshot.block_time)
        if one.verdict == "accepted"
    }
    value, unpriced = value_of(holdings, prices, chain.universe.decimals)
    assert value > 0
    assert unpriced == ()


@pytest.mark.parametrize("key", ["nonsense", "0" * 44, "", "1" * 45, "O0Il" * 11])
def test_a_nonsense_key_is_refused_before_any_request(
    chain: LocalChain, impatient: PoolSettings, key: str
) -> None:
    with pytest.raises(InvalidPubkey):
        fetch(chain, impatient, [key])
    assert chain.calls() == {}


def test_an_account_that_does_not_exist_has_a_reason(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    absent = "7Np41oeYqPefeNQEHSv1UDhYrehxin3NStELsSKCT4K2"
    snapshot = fetch(chain, impatient, [absent, chain.universe.tokens[0].mint])
    record = snapshot.get(absent)
    assert record is not None
    assert record.error == "the account does not exist"
    assert isinstance(record.decode(), Refused)
    assert snapshot.metadata["unreadable"] == 1


def test_null_for_an_account_that_exists_is_asked_again(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    pool = chain.universe.by_role("pool")[0].pubkey
    fault = {"kind": "missing_account", "pubkey": pool}
    chain.faults({"fault": fault, "method": "getMultipleAccounts", "calls": [2]})
    snapshot = fetch(chain, impatient, [pool])
    record = snapshot.get(pool)
    assert record is not None
    assert record.error is None
    assert chain.calls()["getMultipleAccounts"] == 3


@pytest.mark.parametrize("kind", ["wrong_length", "wrong_owner"])
def test_one_bad_account_in_a_chunk_does_not_stop_the_others(
    chain: LocalChain, impatient: PoolSettings, kind: str
) -> None:
    oracle = chain.universe.by_role("oracle")[0]
    chain.faults(
        {"fault": {"kind": kind, "pubkey": oracle.pubkey}, "method": "getMultipleAccounts"}
    )
    snapshot = fetch(chain, impatient)
    record = snapshot.get(oracle.pubkey)
    assert record is not None
    refused = record.decode()
    assert isinstance(refused, Refused)
    assert oracle.pubkey in refused.reason
    points = collect(snapshot, chain.universe)
    (point,) = [one for one in points if one.pubkey == oracle.pubkey]
    assert point.problems == ("undecodable",)
    others = [one for one in snapshot.accounts if one.pubkey != oracle.pubkey]
    assert all(one.error is None for one in others if one.owner is not None)


def test_many_groups_are_packed_without_splitting_one(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    snapshot = fetch(chain, impatient)
    assert len(snapshot.accounts) > 100
    assert chain.calls()["getMultipleAccounts"] >= 3
    for anchor in snapshot.groups:
        snapshot.group(anchor)
    snapshot.require_spread(0)


def test_a_universe_can_be_landed_chunk_by_chunk(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    async def main() -> list[Snapshot]:
        async with RpcPool([chain.rpc_url], impatient) as pool:
            return [one async for one in snapshot_chunks(pool, chain.universe)]

    chunks = asyncio.run(main())
    whole = fetch(chain, impatient)
    assert len(chunks) > 1
    assert max(len(one.accounts) for one in chunks) < 100
    assert {one.pubkey for chunk in chunks for one in chunk.accounts} == {
        one.pubkey for one in whole.accounts
    }
    for chunk in chunks:
        for anchor in chunk.groups:
            chunk.group(anchor)


def test_groups_of_different_slots_are_incoherent(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    snapshot = fetch(chain, impatient)
    stretched = Snapshot(
        slot=snapshot.slot + 5,
        oldest_slot=snapshot.oldest_slot,
        block_time=snapshot.block_time,
        epoch=None,
        accounts=snapshot.accounts,
    )
    with pytest.raises(IncoherentSnapshot, match="more than 4 apart"):
        stretched.require_spread(4)


def test_an_empty_universe_is_refused(chain: LocalChain, impatient: PoolSettings) -> None:
    with pytest.raises(ValueError, match="lists no account"):
        fetch(chain, impatient, Universe(name="empty"))


def test_faults_on_every_second_call_lose_and_double_nothing(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    clean = fetch(chain, impatient)
    kinds = [
        {"kind": "http", "status": 429, "retry_after": 0},
        {"kind": "html"},
        {"kind": "truncated"},
        {"kind": "drop"},
        {"kind": "rpc_error", "code": -32005, "with_data": False},
        {"kind": "rpc_error", "code": -32019},
    ]
    chain.faults(*({"fault": one, "probability": 0.15} for one in kinds), seed=3)
    shaken = fetch(chain, impatient)
    assert [one.pubkey for one in shaken.accounts] == [one.pubkey for one in clean.accounts]
    assert all(one.error is None for one in shaken.accounts if one.owner is not None)


def test_a_universe_with_one_pool_needs_nothing_else_listed(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    pool = chain.universe.by_role("pool")[0]
    small = Universe(name="one", accounts=(WatchedAccount(pubkey=pool.pubkey, role="pool"),))
    built, refused = build_pools(fetch(chain, impatient, small), [pool.pubkey])
    assert not refused
    assert built[pool.pubkey].spot_price() > 0
