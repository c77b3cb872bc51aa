"""Raydium AMM v4 (constant product). The account has no discriminator."""

from portfolio_platform.solana.layouts.base import Layout, fields

POOL = Layout(
    kind="raydium_amm_v4",
    length=752,
    fields=fields(
        status=("u64", 0),
        nonce=("u64", 8),
        base_decimals=("u64", 32),
        quote_decimals=("u64", 40),
        trade_fee_numerator=("u64", 144),
        trade_fee_denominator=("u64", 152),
        swap_fee_numerator=("u64", 176),
        swap_fee_denominator=("u64", 184),
        need_take_pnl_base=("u64", 192),
        need_take_pnl_quote=("u64", 200),
        pool_open_time=("u64", 224),
        base_vault=("key", 336),
        quote_vault=("key", 368),
        base_mint=("key", 400),
        quote_mint=("key", 432),
        lp_mint=("key", 464),
        open_orders=("key", 496),
        market=("key", 528),
    ),
)

STATUS_SWAP_ON = frozenset({1, 6, 7})
"""Initialized, swap only, waiting trade (the last once its open time has passed)."""
