"""Raydium concentrated liquidity: pool, configuration, tick array."""

from portfolio_platform.solana.layouts.base import Layout, fields

TICKS_PER_ARRAY = 60

POOL = Layout(
    kind="raydium_clmm",
    length=1544,
    discriminator=bytes.fromhex("f7ede3f5d7c3de46"),
    fields=fields(
        bump=("u8", 8),
        config=("key", 9),
        owner=("key", 41),
        mint_0=("key", 73),
        mint_1=("key", 105),
        vault_0=("key", 137),
        vault_1=("key", 169),
        observation=("key", 201),
        decimals_0=("u8", 233),
        decimals_1=("u8", 234),
        tick_spacing=("u16", 235),
        liquidity=("u128", 237),
        sqrt_price=("u128", 253),
        tick_current=("i32", 269),
        fee_growth_global_0=("u128", 277),
        fee_growth_global_1=("u128", 293),
        status=("u8", 389),
        tick_array_bitmap=("u64", 904, 16),
    ),
)
STATUS_SWAP_OFF = 1 << 4

CONFIG = Layout(
    kind="raydium_clmm_config",
    length=117,
    discriminator=bytes.fromhex("daf42168cbcb2b6f"),
    fields=fields(
        bump=("u8", 8),
        index=("u16", 9),
        owner=("key", 11),
        protocol_fee_rate=("u32", 43),
        trade_fee_rate=("u32", 47),
        tick_spacing=("u16", 51),
        fund_fee_rate=("u32", 53),
        fund_owner=("key", 61),
    ),
)

TICK = Layout(
    kind="raydium_clmm_tick",
    length=168,
    fields=fields(
        tick=("i32", 0),
        liquidity_net=("i128", 4),
        liquidity_gross=("u128", 20),
    ),
)

TICK_ARRAY = Layout(
    kind="raydium_clmm_tick_array",
    length=10240,
    discriminator=bytes.fromhex("c09b55cd31f9812a"),
    fields=fields(
        pool=("key", 8),
        start_tick=("i32", 40),
        ticks=(TICK, 44, TICKS_PER_ARRAY),
        initialized_tick_count=("u8", 10124),
    ),
)
