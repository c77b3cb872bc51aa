"""Slots that could not be read are asked for again until they are served or settled."""

import asyncio
from typing import Any

import pytest

from portfolio_platform.solana.backfill import Settled, revisit
from portfolio_platform.solana.follow import fetch_transactions, look_at
from portfolio_platform.solana.ledger import Gap, GapState
from portfolio_platform.solana.pools import PoolRefused, build_pools, pool_vaults
from portfolio_platform.solana.rpc import PoolSettings, RpcPool
from portfolio_platform.solana.snapshot import fetch_snapshot
from portfolio_platform.solana.swap_bars import bars_from_swaps
from portfolio_platform.solana.swaps import swaps_of
from portfolio_platform_tests.solana.conftest import LocalChain


def rounds(chain: LocalChain, settings: PoolSettings, slot: int, names: str) -> list[Settled]:
    """Three rounds over one gap, asked of endpoints with these names."""

    async def main() -> list[Settled]:
        async with RpcPool([chain.endpoint(name) for name in names], settings) as pool:
            found = [await revisit(pool, {slot: Gap(slot)})]
            for _ in range(2):
                found.append(await revisit(pool, found[-1].gaps))
            return found

    return asyncio.run(main())


def produced(chain: LocalChain, settings: PoolSettings) -> int:
    """A slot that holds a transaction."""
    address = chain.universe.by_role("pool")[0].pubkey

    async def main() -> int:
        async with RpcPool([chain.rpc_url], settings) as pool:
            look = await look_at(pool, address, None, lambda _: [], page=5, limit=5)
            return look.new[-1].slot

    return asyncio.run(main())


def skipped(code: int, **more: Any) -> dict[str, Any]:
    return {"fault": {"kind": "rpc_error", "code": code}, "method": "getBlock"} | more


def test_a_slot_is_skipped_first_and_served_later(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    slot = produced(chain, impatient)
    chain.faults(skipped(-32009, times=1))
    first, second, third = rounds(chain, impatient, slot, "a")
    assert first.gaps[slot].state is GapState.PENDING
    assert second.gaps == {}
    assert second.blocks[slot]["blockhash"]
    assert third == Settled({}, {})


def test_two_endpoints_confirm_a_skip(chain: LocalChain, impatient: PoolSettings) -> None:
    slot = produced(chain, impatient)
    chain.faults(skipped(-32007))
    first, second, _ = rounds(chain, impatient, slot, "ab")
    assert first.gaps[slot].state is GapState.SKIPPED_CONFIRMED
    assert second.gaps == first.gaps


def test_one_endpoint_that_claims_a_skip_is_overruled_by_one_that_serves(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    slot = produced(chain, impatient)
    chain.faults(skipped(-32007, endpoint="a"))
    first, _, _ = rounds(chain, impatient, slot, "ab")
    assert first.gaps == {}
    assert slot in first.blocks


@pytest.mark.parametrize("code", [-32004, -32009, -32005, -31999])
def test_what_is_no_proof_stays_open(chain: LocalChain, impatient: PoolSettings, code: int) -> None:
    slot = produced(chain, impatient)
    chain.faults(skipped(code))
    found = rounds(chain, impatient, slot, "ab")
    assert found[0].gaps[slot].state is GapState.PENDING
    assert found[2].gaps[slot].state is GapState.MISSING
    assert found[2].gaps[slot].open


def test_swaps_of_a_pool_make_bars_near_its_price(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    """From the chain's transactions to bars, over a real socket."""
    universe = chain.universe

    async def main() -> None:
        async with RpcPool([chain.rpc_url], impatient) as pool:
            snapshot = await fetch_snapshot(pool, universe)
            built, _ = build_pools(snapshot, [one.pubkey for one in universe.by_role("pool")])
            checked = 0
            for address, state in list(built.items())[:6]:
                vaults = pool_vaults(address, snapshot.group(address))
                look = await look_at(pool, address, None, lambda _: [], page=12, limit=12)
                fetched = [one async for one in fetch_transactions(pool, look.new)]
                trades, _ = swaps_of(
                    [one.transaction for one in fetched if one.transaction], [vaults]
                )
                if not trades:
                    continue
                scale = 10.0 ** (vaults.decimals_a - vaults.decimals_b)
                spot = float(state.spot_price()) * scale
                for bar in bars_from_swaps(trades, "1d"):
                    assert 0.5 * spot < bar.low <= bar.high < 2 * spot
                    checked += bar.trades
                assert all(one.fee is not None and one.fee > 0 for one in trades)
            assert checked > 20

    asyncio.run(main())


def test_an_account_that_is_no_pool_has_no_vaults(
    chain: LocalChain, impatient: PoolSettings
) -> None:
    oracle = chain.universe.by_role("oracle")[0].pubkey

    async def main() -> None:
        async with RpcPool([chain.rpc_url], impatient) as pool:
            snapshot = await fetch_snapshot(pool, [oracle])
            with pytest.raises(PoolRefused, match="not"):
                pool_vaults(oracle, snapshot.group(oracle))

    asyncio.run(main())
