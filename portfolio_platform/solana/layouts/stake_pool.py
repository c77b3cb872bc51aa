"""SPL stake pool and Marinade: exchange rates of liquid staking tokens."""

from portfolio_platform.solana.layouts.base import Layout, fields

ACCOUNT_TYPE_STAKE_POOL = 1

STAKE_POOL = Layout(
    kind="spl_stake_pool",
    length=611,
    discriminator=bytes([ACCOUNT_TYPE_STAKE_POOL]),
    fields=fields(
        account_type=("u8", 0),
        manager=("key", 1),
        reserve_stake=("key", 130),
        pool_mint=("key", 162),
        manager_fee_account=("key", 194),
        token_program=("key", 226),
        total_lamports=("u64", 258),
        pool_token_supply=("u64", 266),
        last_update_epoch=("u64", 274),
    ),
)

MARINADE_STATE = Layout(
    kind="marinade_state",
    length=2616,
    discriminator=bytes.fromhex("d8926b5e684bb6b1"),
    fields=fields(
        msol_mint=("key", 8),
        available_reserve=("u64", 496),
        msol_supply=("u64", 504),
        msol_price=("u64", 512),
    ),
)
MARINADE_PRICE_DENOMINATOR = 1 << 32
