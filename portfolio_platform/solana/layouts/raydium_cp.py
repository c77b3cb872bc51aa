"""Raydium CP-Swap: pool and configuration (offsets from the published structs)."""

from portfolio_platform.solana.layouts.base import Layout, fields

POOL = Layout(
    kind="raydium_cp_swap",
    length=637,
    discriminator=bytes.fromhex("f7ede3f5d7c3de46"),
    fields=fields(
        config=("key", 8),
        creator=("key", 40),
        vault_0=("key", 72),
        vault_1=("key", 104),
        lp_mint=("key", 136),
        mint_0=("key", 168),
        mint_1=("key", 200),
        token_program_0=("key", 232),
        token_program_1=("key", 264),
        observation=("key", 296),
        bump=("u8", 328),
        status=("u8", 329),
        lp_decimals=("u8", 330),
        decimals_0=("u8", 331),
        decimals_1=("u8", 332),
        lp_supply=("u64", 333),
        protocol_fees_0=("u64", 341),
        protocol_fees_1=("u64", 349),
        fund_fees_0=("u64", 357),
        fund_fees_1=("u64", 365),
        open_time=("u64", 373),
        recent_epoch=("u64", 381),
        creator_fee_on=("u8", 389),
        enable_creator_fee=("u8", 390),
        creator_fees_0=("u64", 397),
        creator_fees_1=("u64", 405),
    ),
)
STATUS_SWAP_OFF = 1 << 2

CONFIG = Layout(
    kind="raydium_cp_config",
    length=236,
    discriminator=bytes.fromhex("daf42168cbcb2b6f"),
    fields=fields(
        bump=("u8", 8),
        disable_create_pool=("u8", 9),
        index=("u16", 10),
        trade_fee_rate=("u64", 12),
        protocol_fee_rate=("u64", 20),
        fund_fee_rate=("u64", 28),
        create_pool_fee=("u64", 36),
        protocol_owner=("key", 44),
        fund_owner=("key", 76),
        creator_fee_rate=("u64", 108),
    ),
)
