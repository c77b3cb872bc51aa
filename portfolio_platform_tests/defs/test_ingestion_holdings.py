"""Balances of wallets: both token programs, native SOL, staked tokens, and what mints say."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from pathlib import Path

import pytest

from portfolio_platform.amm import TransferFee
from portfolio_platform.defs.portfolio import plans
from portfolio_platform.defs.solana import assets
from portfolio_platform.solana.layouts import programs, spl_token
from portfolio_platform.solana.layouts.spl_token import Extension
from portfolio_platform.store import latest
from portfolio_platform_tests.defs.ingestion_dumps import SLOT, Dumps, key
from portfolio_platform_tests.defs.ingestion_world import (
    World,
    chain_process,
    metadata,
    serving,
    world,
)

__all__ = ["chain_process", "world"]

NOW = datetime(2025, 6, 1, 12, 0, tzinfo=UTC)
EPOCH = SLOT // 432_000
SOL, USDC = programs.WRAPPED_SOL, programs.USDC
WALLET, STAKED = key("wallet"), key("staked sol")
IMMUTABLE_OWNER = Extension(7, b"")
TAXED, INTEREST, SCALED = key("taxed"), key("interest"), key("scaled")


def transfer_fee(older: tuple[int, int], newer: tuple[int, int], newer_epoch: int) -> Extension:
    value = spl_token.TRANSFER_FEE_CONFIG.pack(
        older_epoch=0,
        older_basis_points=older[0],
        older_maximum_fee=older[1],
        newer_epoch=newer_epoch,
        newer_basis_points=newer[0],
        newer_maximum_fee=newer[1],
    )
    return Extension(1, value)


def interest(rate_bps: int) -> Extension:
    value = bytearray(spl_token.INTEREST_BEARING_CONFIG.length)
    at = spl_token.INTEREST_CURRENT_RATE_OFFSET
    value[at : at + 2] = rate_bps.to_bytes(2, "little", signed=True)
    return Extension(10, bytes(value))


@pytest.fixture
def treasury(tmp_path: Path) -> Dumps:
    """A wallet with every kind of balance."""
    dumps = Dumps(tmp_path, NOW)
    dumps.token(SOL)
    dumps.token(STAKED, "stSOL", 9)
    dumps.oracle(SOL, 150.0)
    dumps.oracle(USDC, 1.0)
    dumps.stake_pool(STAKED, 1_200 * 10**9, 1_000 * 10**9, EPOCH)
    dumps.mint_2022(TAXED, 9, transfer_fee((10, 7), (50, 5_000), EPOCH))
    dumps.mint_2022(INTEREST, 6, interest(550))
    dumps.mint_2022(SCALED, 6, Extension(25, bytes(32) + struct.pack("<dqd", 2.5, 0, 2.5)))
    dumps.write(WALLET, programs.SYSTEM, b"", 3 * 10**9)
    dumps.watch(WALLET, "wallet")
    dumps.balance(WALLET, USDC, 2_500_000, frozen=True)
    dumps.balance(WALLET, STAKED, 10 * 10**9)
    dumps.balance(WALLET, SOL, 10**9)
    for mint in (TAXED, INTEREST, SCALED):
        dumps.balance(WALLET, mint, 10**9, extensions=[IMMUTABLE_OWNER])
    return dumps


def test_every_balance_is_read_and_staked_tokens_are_worth_their_rate(
    world: World, treasury: Dumps
) -> None:
    with serving(world, treasury):
        result = world.materialise(assets.ASSETS[:6])
    held = world.rows(
        "select mint, token_account = wallet, amount, frozen from wallet_holdings order by 1, 2"
    )
    assert sorted(held) == sorted(
        [
            (SOL, False, 10**9, False),
            (SOL, True, 3 * 10**9, False),
            (USDC, False, 2_500_000, True),
            (STAKED, False, 10 * 10**9, False),
            (TAXED, False, 10**9, False),
            (INTEREST, False, 10**9, False),
            (SCALED, False, 10**9, False),
        ]
    )
    shown = metadata(result, "wallet_holdings")
    # 4 SOL at 150, 2.5 USDC, 10 staked SOL at 1.2; nothing prices the other three.
    assert shown["value"] == pytest.approx(4 * 150 + 2.5 + 10 * 1.2 * 150)
    assert shown["without_price"] == 3
    assert "spl_stake_pool" in shown["holdings"]
    rate = world.value("select rate from stake_pool_rates where mint = %s", STAKED)
    assert rate == 1.2


def test_extensions_of_token_2022_reach_the_planner(world: World, treasury: Dumps) -> None:
    with serving(world, treasury):
        result = world.materialise(assets.ASSETS[:6])
    with world.connect() as connection:
        tokens = latest.tokens(connection)
    assert tokens[TAXED]["extensions"]["transfer_fee"] == {"bps": 50, "max": 5_000}
    planned = plans._token(tokens[TAXED])
    assert planned.transfer_fee == TransferFee(50, 5_000)
    assert plans._token(tokens[INTEREST]).transfer_fee is None
    assert tokens[INTEREST]["extensions"]["interest_bearing"] == {"rate_bps": 550}
    assert tokens[SCALED]["extensions"]["scaled_ui_amount"]["multiplier"] == 2.5
    assert {tokens[mint]["decimals"] for mint in (TAXED, INTEREST, SCALED)} == {9, 6}
    programs_ = dict(world.rows("select mint, token_program from tokens"))
    assert programs_[TAXED] == "token_2022"
    assert programs_[USDC] == "spl"
    for word in ("transfer_fee", "interest_bearing", "scaled_ui_amount"):
        assert word in metadata(result, "wallet_holdings")["unusual_tokens"]


def test_the_fee_of_the_present_epoch_holds_and_a_second_look_changes_nothing(
    world: World, treasury: Dumps
) -> None:
    treasury.mint_2022(TAXED, 9, transfer_fee((10, 7), (50, 5_000), EPOCH + 1))
    with serving(world, treasury):
        world.materialise(assets.ASSETS[:6])
        fee = world.value("select extensions -> 'transfer_fee' from tokens where mint = %s", TAXED)
        events = world.value("select count(*) from ops.change_log where relname = 'tokens'")
        world.materialise(assets.ASSETS[:6])
        after = world.value("select count(*) from ops.change_log where relname = 'tokens'")
    assert fee == {"bps": 10, "max": 7}
    assert after == events


def test_the_mint_itself_decides_about_decimals(world: World, treasury: Dumps) -> None:
    treasury.list_token(STAKED, "stSOL", 6)
    with serving(world, treasury):
        result = world.materialise(assets.ASSETS[:6])
        assert world.value("select decimals from tokens where mint = %s", STAKED) == 9
        world.materialise(assets.ASSETS[:6])
        assert world.value("select decimals from tokens where mint = %s", STAKED) == 9
    assert metadata(result, "wallet_holdings")["value"] == pytest.approx(4 * 150 + 2.5 + 1800)
