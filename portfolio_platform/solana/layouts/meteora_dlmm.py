"""Meteora DLMM: pair and bin array."""

from portfolio_platform.solana.layouts.base import Layout, fields

BINS_PER_ARRAY = 70

PAIR = Layout(
    kind="meteora_dlmm",
    length=904,
    discriminator=bytes.fromhex("210b3162b565b10d"),
    fields=fields(
        base_factor=("u16", 8),
        filter_period=("u16", 10),
        decay_period=("u16", 12),
        reduction_factor=("u16", 14),
        variable_fee_control=("u32", 16),
        max_volatility_accumulator=("u32", 20),
        min_bin_id=("i32", 24),
        max_bin_id=("i32", 28),
        protocol_share=("u16", 32),
        base_fee_power_factor=("u8", 34),
        volatility_accumulator=("u32", 40),
        volatility_reference=("u32", 44),
        index_reference=("i32", 48),
        last_update_timestamp=("i64", 56),
        pair_type=("u8", 75),
        active_id=("i32", 76),
        bin_step=("u16", 80),
        status=("u8", 82),
        mint_x=("key", 88),
        mint_y=("key", 120),
        reserve_x=("key", 152),
        reserve_y=("key", 184),
        protocol_fee_x=("u64", 216),
        protocol_fee_y=("u64", 224),
        oracle=("key", 552),
    ),
)

BIN = Layout(
    kind="meteora_bin",
    length=144,
    fields=fields(
        amount_x=("u64", 0),
        amount_y=("u64", 8),
        price=("u128", 16),
        liquidity_supply=("u128", 32),
    ),
)

BIN_ARRAY = Layout(
    kind="meteora_bin_array",
    length=10136,
    discriminator=bytes.fromhex("5c8e5cdc059446b5"),
    fields=fields(
        index=("i64", 8),
        version=("u8", 16),
        pair=("key", 24),
        bins=(BIN, 56, BINS_PER_ARRAY),
    ),
)
