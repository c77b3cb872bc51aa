"""Pool states built from bytes quote what the program would pay, or refuse by name."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from portfolio_platform.amm import (
    AdaptiveFeeUnsupported,
    ConcentratedPool,
    ConstantProductPool,
    DlmmPool,
    PoolPaused,
)
from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.dumps import iter_dumps
from portfolio_platform.solana.layouts import (
    addresses,
    key_bytes,
    key_text,
    meteora_dlmm,
    programs,
    raydium_amm,
    raydium_clmm,
    raydium_cp,
    spl_token,
    whirlpool,
)
from portfolio_platform.solana.pools import PoolRefused, build_pool
from portfolio_platform.solana.price_points import group_decimals, pool_points, pool_price
from portfolio_platform.solana.prices import GateSettings, judge
from portfolio_platform.solana.snapshot import AccountRecord
from portfolio_platform.solana.universe import Universe

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECONDS = int(NOW.timestamp())
A, B = (key_text(bytes([n]) * 32) for n in (1, 2))
VAULT_A, VAULT_B, CONFIG, POOL = (key_text(bytes([n]) * 32) for n in (3, 4, 5, 6))
Q64 = 2**64


def record(key: str, owner: str | None, data: bytes, slot: int = 9) -> AccountRecord:
    error = "the account does not exist" if owner is None else None
    return AccountRecord(key, owner, 1, data, "", slot, error)


def records(*ones: AccountRecord) -> dict[str, AccountRecord]:
    return {one.pubkey: one for one in ones}


def mint(key: str, decimals: int = 6) -> AccountRecord:
    return record(
        key, programs.SPL_TOKEN, spl_token.MINT.pack(initialized=1, decimals=decimals, supply=1)
    )


def fee_mint(key: str, older: int, newer: int, epoch: int) -> AccountRecord:
    value = spl_token.TRANSFER_FEE_CONFIG.pack(
        older_basis_points=older,
        older_maximum_fee=10**9,
        newer_basis_points=newer,
        newer_maximum_fee=10**9,
        newer_epoch=epoch,
    )
    base = spl_token.MINT.pack(initialized=1, decimals=6)
    data = spl_token.pack_extensions(
        base, spl_token.ACCOUNT_TYPE_MINT, [spl_token.Extension(1, value)]
    )
    return record(key, programs.TOKEN_2022, data)


def vault(key: str, of: str, amount: int) -> AccountRecord:
    data = spl_token.TOKEN_ACCOUNT.pack(mint=key_bytes(of), amount=amount, state=1)
    return record(key, programs.SPL_TOKEN, data)


SIDES = {"mint_0": key_bytes(A), "mint_1": key_bytes(B)} | {
    "vault_0": key_bytes(VAULT_A),
    "vault_1": key_bytes(VAULT_B),
    "config": key_bytes(CONFIG),
}
RESERVES = (vault(VAULT_A, A, 1_000_000_000), vault(VAULT_B, B, 4_000_000_000))


def amm_v4(**more: Any) -> dict[str, AccountRecord]:
    values = {
        "status": 6,
        "base_decimals": 6,
        "quote_decimals": 6,
        "swap_fee_numerator": 25,
        "swap_fee_denominator": 10_000,
        "need_take_pnl_base": 1_000,
        "need_take_pnl_quote": 2_000,
        "base_mint": key_bytes(A),
        "quote_mint": key_bytes(B),
        "base_vault": key_bytes(VAULT_A),
        "quote_vault": key_bytes(VAULT_B),
    }
    data = raydium_amm.POOL.pack(**(values | more))
    return records(record(POOL, programs.RAYDIUM_AMM_V4, data), mint(A), mint(B), *RESERVES)


def cp_swap(mint_a: AccountRecord | None = None, **more: Any) -> dict[str, AccountRecord]:
    fees = {"protocol_fees_0": 10, "fund_fees_0": 20, "creator_fees_0": 30, "fund_fees_1": 5}
    config = raydium_cp.CONFIG.pack(trade_fee_rate=2_500, protocol_fee_rate=120_000)
    return records(
        record(POOL, programs.RAYDIUM_CP_SWAP, raydium_cp.POOL.pack(**(SIDES | fees | more))),
        record(CONFIG, programs.RAYDIUM_CP_SWAP, config),
        mint_a or mint(A),
        mint(B),
        *RESERVES,
    )


def clmm(**more: Any) -> dict[str, AccountRecord]:
    spacing, tick = 10, 0
    values = SIDES | {
        "decimals_0": 6,
        "decimals_1": 6,
        "tick_spacing": spacing,
        "liquidity": 10**12,
        "sqrt_price": Q64,
        "tick_current": tick,
        "fee_growth_global_0": 1,
    }
    found = records(
        record(POOL, programs.RAYDIUM_CLMM, raydium_clmm.POOL.pack(**(values | more))),
        record(CONFIG, programs.RAYDIUM_CLMM, raydium_clmm.CONFIG.pack(trade_fee_rate=500)),
        mint(A),
        mint(B),
        *RESERVES,
    )
    for start, key in addresses.raydium_arrays_around(POOL, tick, spacing).items():
        ticks = []
        if start == 0:
            ticks = [{"tick": 100, "liquidity_net": -(10**12), "liquidity_gross": 10**12}]
        if start == -600:
            ticks = [{"tick": -100, "liquidity_net": 10**12, "liquidity_gross": 10**12}]
        data = raydium_clmm.TICK_ARRAY.pack(pool=key_bytes(POOL), start_tick=start, ticks=ticks)
        found[key] = record(key, programs.RAYDIUM_CLMM, data)
    return found


def orca(absent: bool = False, **more: Any) -> dict[str, AccountRecord]:
    spacing = 8
    values = {
        "tick_spacing": spacing,
        "fee_tier_index": spacing,
        "fee_rate": 500,
        "liquidity": 10**12,
        "sqrt_price": Q64,
        "mint_a": key_bytes(A),
        "mint_b": key_bytes(B),
        "vault_a": key_bytes(VAULT_A),
        "vault_b": key_bytes(VAULT_B),
    }
    found = records(
        record(POOL, programs.ORCA_WHIRLPOOL, whirlpool.POOL.pack(**(values | more))),
        mint(A),
        mint(B),
        *RESERVES,
    )
    for start, key in addresses.whirlpool_arrays_around(POOL, 0, spacing).items():
        net = {0: -(10**12), -704: 10**12}.get(start)
        index = 10 if start == 0 else 80
        ticks = {index: {"liquidity_net": net, "liquidity_gross": 10**12}} if net else {}
        if not ticks and absent:
            found[key] = record(key, None, b"")
            continue
        data = whirlpool.pack_dynamic_tick_array(start, key_bytes(POOL), ticks)
        found[key] = record(key, programs.ORCA_WHIRLPOOL, data)
    return found


def dlmm(**more: Any) -> dict[str, AccountRecord]:
    values = {
        "base_factor": 10_000,
        "bin_step": 10,
        "active_id": 3,
        "mint_x": key_bytes(A),
        "mint_y": key_bytes(B),
        "reserve_x": key_bytes(VAULT_A),
        "reserve_y": key_bytes(VAULT_B),
        "last_update_timestamp": SECONDS - 1000,
    }
    found = records(
        record(POOL, programs.METEORA_DLMM, meteora_dlmm.PAIR.pack(**(values | more))),
        mint(A),
        mint(B),
        *RESERVES,
    )
    for index, key in addresses.meteora_arrays_around(POOL, 3).items():
        bins = [{}, {}, {"amount_y": 5_000_000}, {"amount_x": 10**6, "amount_y": 10**6}]
        data = meteora_dlmm.BIN_ARRAY.pack(
            index=index, pair=key_bytes(POOL), bins=[*bins, {"amount_x": 5_000_000}]
        )
        found[key] = record(key, programs.METEORA_DLMM, data)
    return found


def build(group: dict[str, AccountRecord], **more: Any) -> Any:
    return build_pool(POOL, group, moment=NOW, **more)


@pytest.mark.real_data
def test_the_recorded_whirlpool_sells_what_the_facts_say(real_data: Path) -> None:
    group = {}
    for dump in iter_dumps(real_data / "accounts" / "orca_whirlpool"):
        assert not isinstance(dump, Exception)
        if dump.pubkey:
            group[dump.pubkey] = AccountRecord(
                dump.pubkey, dump.owner, dump.lamports, dump.data, dump.sha256, 1
            )
    pool = build_pool(
        "HJPjoWUrhoZzkNfRpHuieeFk9WcZWjwy6PBjZ81ngndJ",
        group,
        moment=datetime(2022, 8, 6, tzinfo=UTC),
    )
    assert float(pool.spot_price()) * 1000 == pytest.approx(40.362226, abs=5e-7)
    assert pool.quote_exact_in(programs.WRAPPED_SOL, 10**9).amount_out == 40_281_456
    assert pool.quote_exact_in(programs.WRAPPED_SOL, 10**12).amount_out == 40_236_681_588


def test_profit_still_to_be_taken_is_no_reserve() -> None:
    pool = build(amm_v4())
    assert isinstance(pool, ConstantProductPool)
    assert (pool.reserve_a, pool.reserve_b) == (999_999_000, 3_999_998_000)


def test_fees_in_the_vaults_are_no_reserve() -> None:
    pool = build(cp_swap())
    assert (pool.reserve_a, pool.reserve_b) == (999_999_940, 3_999_999_995)
    assert pool.fee_numerator == 2_500


@pytest.mark.parametrize(("epoch", "bps"), [(99, 10), (100, 50), (None, 50)])
def test_the_transfer_fee_of_the_epoch_counts(epoch: int | None, bps: int) -> None:
    pool = build(cp_swap(fee_mint(A, older=10, newer=50, epoch=100)), epoch=epoch)
    assert pool.transfer_fee_a.bps == bps
    assert pool.transfer_fee_b is None


@pytest.mark.parametrize("make", [clmm, orca])
def test_a_concentrated_pool_knows_its_ticks(make: Any) -> None:
    pool = build(make())
    assert isinstance(pool, ConcentratedPool)
    assert len(pool.ticks) == 2
    assert set(pool.nets) == {10**12, -(10**12)}
    quote = pool.quote_exact_in(A, 10**6)
    assert quote.amount_out == 999_498 or quote.amount_out == 999_499


def test_an_absent_tick_array_is_known_to_be_empty_and_an_unread_one_is_not() -> None:
    full, sparse = build(orca()), build(orca(absent=True))
    assert (sparse.lower_tick, sparse.upper_tick) == (full.lower_tick, full.upper_tick)
    group = orca()
    starts = addresses.whirlpool_arrays_around(POOL, 0, 8)
    del group[starts[704]]
    assert build(group).upper_tick == 703


def test_an_adaptive_fee_is_refused_by_name() -> None:
    pool = build(orca(fee_tier_index=1025))
    with pytest.raises(AdaptiveFeeUnsupported):
        pool.quote_exact_in(A, 10**6)


def test_a_dlmm_pool_knows_its_bins() -> None:
    pool = build(dlmm())
    assert isinstance(pool, DlmmPool)
    assert pool.active_id == 3
    assert pool.quote_exact_in(A, 1_000).amount_out > 0


@pytest.mark.parametrize(
    "group",
    [amm_v4(status=2), cp_swap(status=4), cp_swap(open_time=SECONDS + 1), clmm(status=16)],
    ids=["amm_v4", "cp_swap", "not_open_yet", "clmm"],
)
def test_a_pool_with_swaps_switched_off_does_not_quote(group: dict[str, AccountRecord]) -> None:
    with pytest.raises(PoolPaused):
        build(group).quote_exact_in(A, 1_000)


def without(group: dict[str, AccountRecord], key: str) -> dict[str, AccountRecord]:
    return {one: found for one, found in group.items() if one != key}


def changed(group: dict[str, AccountRecord], key: str, **fields: Any) -> dict[str, AccountRecord]:
    return group | {key: replace(group[key], **fields)}


FIRST_ARRAY = addresses.whirlpool_arrays_around(POOL, 0, 8)[0]


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        (without(amm_v4(), VAULT_A), "account_missing"),
        (without(amm_v4(), POOL), "account_missing"),
        (without(cp_swap(), CONFIG), "account_missing"),
        (without(cp_swap(), A), "account_missing"),
        (changed(amm_v4(), VAULT_B, data=b"short"), "account_unreadable"),
        (changed(amm_v4(), VAULT_B, owner=programs.SYSTEM), "account_unreadable"),
        (changed(amm_v4(), VAULT_B, slot=10), "snapshot_incoherent"),
        (changed(orca(), FIRST_ARRAY, data=b"short"), "account_unreadable"),
        (
            changed(orca(), FIRST_ARRAY, data=whirlpool.pack_dynamic_tick_array(88, bytes(32), {})),
            "account_unreadable",
        ),
        (amm_v4(need_take_pnl_base=2 * 10**9), "invalid_pool"),
        (amm_v4(quote_mint=key_bytes(A)), "invalid_pool"),
        (cp_swap(creator_fee_on=9), "invalid_pool"),
        (records(mint(POOL)), "not_a_pool"),
    ],
)
def test_what_a_quote_would_need_and_does_not_find_refuses_the_pool(
    group: dict[str, AccountRecord], reason: str
) -> None:
    with pytest.raises(PoolRefused) as raised:
        build(group)
    assert raised.value.reason == reason
    assert POOL in str(raised.value)


EMPTY_B = vault(VAULT_B, B, 0)


@pytest.mark.parametrize(
    ("group", "problem"),
    [
        (amm_v4() | {VAULT_B: EMPTY_B}, "zero_liquidity"),
        (cp_swap() | {VAULT_B: EMPTY_B}, "zero_liquidity"),
        (amm_v4(need_take_pnl_base=2 * 10**9), "zero_liquidity"),
        (clmm(liquidity=0), "zero_liquidity"),
        (orca(liquidity=0, fee_growth_global_a=1), "zero_liquidity"),
        (without(amm_v4(), VAULT_A), "vault_missing"),
        (without(amm_v4(), A), "decimals_unknown"),
        (amm_v4(status=2), "swap_off"),
        (clmm(fee_growth_global_0=0), "never_traded"),
    ],
)
def test_a_pool_without_a_market_gives_no_price_that_flows(
    group: dict[str, AccountRecord], problem: str
) -> None:
    pool = group[POOL].decode()
    assert isinstance(pool, Decoded)
    spot = pool_price(pool, group, group_decimals(group))
    assert spot is not None
    assert problem in spot.problems
    points = pool_points(group[POOL], pool, group, group_decimals(group), Universe(name="x", hub=B))
    (verdict,) = judge(points, GateSettings(), now=NOW, hub=B)
    assert verdict.verdict == "refused"
    assert problem in verdict.reasons


def test_both_sides_of_a_pool_are_priced_in_the_hub() -> None:
    group = amm_v4()
    pool = group[POOL].decode()
    assert isinstance(pool, Decoded)
    decimals = group_decimals(group)
    forward, backward = (
        judge(
            pool_points(group[POOL], pool, group, decimals, Universe(name="x", hub=hub)),
            GateSettings(min_depth=1),
            now=NOW,
            hub=hub,
        )[0]
        for hub in (B, A)
    )
    assert (forward.mint, backward.mint) == (A, B)
    assert forward.price == pytest.approx(1 / (backward.price or 0))
    assert forward.depth == pytest.approx(4 * (backward.depth or 0), rel=1e-4)
