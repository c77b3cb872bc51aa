"""Lending reserves: marginfi banks and Kamino reserves."""

from portfolio_platform.solana.layouts.base import Layout, fields

I80F48_ONE = 1 << 48
SCALED_FRACTION_ONE = 1 << 60

MARGINFI_BANK = Layout(
    kind="marginfi_bank",
    length=1864,
    discriminator=bytes.fromhex("8e31a6f2324261bc"),
    fields=fields(
        mint=("key", 8),
        decimals=("u8", 40),
        group=("key", 41),
        asset_share_value=("i128", 80),
        liability_share_value=("i128", 96),
        liquidity_vault=("key", 112),
        total_liability_shares=("i128", 256),
        total_asset_shares=("i128", 272),
        last_update=("i64", 288),
        optimal_utilization_rate=("i128", 368),
        plateau_interest_rate=("i128", 384),
        max_interest_rate=("i128", 400),
        insurance_fee_fixed_apr=("i128", 416),
        insurance_ir_fee=("i128", 432),
        protocol_fixed_fee_apr=("i128", 448),
        protocol_ir_fee=("i128", 464),
    ),
)

KAMINO_CURVE_POINT = Layout(
    kind="kamino_curve_point",
    length=8,
    fields=fields(utilization_bps=("u32", 0), borrow_rate_bps=("u32", 4)),
)

KAMINO_RESERVE = Layout(
    kind="kamino_reserve",
    length=8624,
    discriminator=bytes.fromhex("2bf2ccca1af73b7f"),
    fields=fields(
        version=("u64", 8),
        update_slot=("u64", 16),
        stale=("u8", 24),
        market=("key", 32),
        mint=("key", 128),
        supply_vault=("key", 160),
        fee_vault=("key", 192),
        available=("u64", 224),
        borrowed_sf=("u128", 232),
        price_sf=("u128", 248),
        price_timestamp=("u64", 264),
        decimals=("u64", 272),
        protocol_fees_sf=("u128", 344),
        referrer_fees_sf=("u128", 360),
        pending_referrer_fees_sf=("u128", 376),
        host_fixed_interest_rate_bps=("u16", 4858),
        protocol_take_rate_pct=("u8", 4866),
        borrow_rate_curve=(KAMINO_CURVE_POINT, 4920, 11),
    ),
)
