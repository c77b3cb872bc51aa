"""Orca Whirlpool: pool, fixed and dynamic tick arrays, adaptive-fee oracle."""

from collections.abc import Mapping
from typing import Any

from portfolio_platform.solana.layouts.base import Layout, fields

TICKS_PER_ARRAY = 88

REWARD = Layout(
    kind="orca_whirlpool_reward",
    length=128,
    fields=fields(
        mint=("key", 0),
        vault=("key", 32),
        authority=("key", 64),
        emissions_per_second=("u128", 96),
        growth_global=("u128", 112),
    ),
)

POOL = Layout(
    kind="orca_whirlpool",
    length=653,
    discriminator=bytes.fromhex("3f95d10ce1806309"),
    fields=fields(
        config=("key", 8),
        bump=("u8", 40),
        tick_spacing=("u16", 41),
        fee_tier_index=("u16", 43),
        fee_rate=("u16", 45),
        protocol_fee_rate=("u16", 47),
        liquidity=("u128", 49),
        sqrt_price=("u128", 65),
        tick_current=("i32", 81),
        protocol_fee_owed_a=("u64", 85),
        protocol_fee_owed_b=("u64", 93),
        mint_a=("key", 101),
        vault_a=("key", 133),
        fee_growth_global_a=("u128", 165),
        mint_b=("key", 181),
        vault_b=("key", 213),
        fee_growth_global_b=("u128", 245),
        reward_last_updated=("u64", 261),
        rewards=(REWARD, 269, 3),
    ),
)

TICK = Layout(
    kind="orca_tick",
    length=113,
    fields=fields(
        initialized=("u8", 0),
        liquidity_net=("i128", 1),
        liquidity_gross=("u128", 17),
        fee_growth_outside_a=("u128", 33),
        fee_growth_outside_b=("u128", 49),
        reward_growths_outside=("u128", 65, 3),
    ),
)

TICK_ARRAY = Layout(
    kind="orca_tick_array",
    length=9988,
    discriminator=bytes.fromhex("4561bdbe6e0742bb"),
    fields=fields(
        start_tick=("i32", 8),
        ticks=(TICK, 12, TICKS_PER_ARRAY),
        whirlpool=("key", 9956),
    ),
)

# The head of a dynamic array; 88 tagged ticks of 1 or 113 bytes follow.
DYNAMIC_TICK_ARRAY = Layout(
    kind="orca_dynamic_tick_array",
    length=60,
    discriminator=bytes.fromhex("11d8f68ee1c7da38"),
    fields=fields(
        start_tick=("i32", 8),
        whirlpool=("key", 12),
        tick_bitmap=("u128", 44),
    ),
)
DYNAMIC_MIN_LENGTH = DYNAMIC_TICK_ARRAY.length + TICKS_PER_ARRAY
DYNAMIC_TICK_BYTES = TICK.length - 1
DYNAMIC_MAX_LENGTH = DYNAMIC_MIN_LENGTH + TICKS_PER_ARRAY * DYNAMIC_TICK_BYTES

ORACLE = Layout(
    kind="orca_adaptive_fee_oracle",
    length=254,
    discriminator=bytes.fromhex("8bc283b38cb3e5f4"),
    fields=fields(
        whirlpool=("key", 8),
        trade_enable_timestamp=("u64", 40),
        filter_period=("u16", 48),
        decay_period=("u16", 50),
        reduction_factor=("u16", 52),
        adaptive_fee_control_factor=("u32", 54),
        max_volatility_accumulator=("u32", 58),
        tick_group_size=("u16", 62),
        major_swap_threshold_ticks=("u16", 64),
        last_reference_update_timestamp=("u64", 82),
        last_major_swap_timestamp=("u64", 90),
        volatility_reference=("u32", 98),
        tick_group_index_reference=("i32", 102),
        volatility_accumulator=("u32", 106),
    ),
)


def unpack_dynamic_ticks(data: bytes) -> dict[int, dict[str, Any]]:
    """Initialised ticks of a dynamic array, keyed by their index 0..87 in it.

    Raises
    ------
    ValueError
        When a tag is neither 0 nor 1, or the ticks end after the account does.
    """
    at = DYNAMIC_TICK_ARRAY.length
    found: dict[int, dict[str, Any]] = {}
    for index in range(TICKS_PER_ARRAY):
        if at >= len(data):
            raise ValueError(f"tick {index} of a dynamic tick array lies after its end")
        tag = data[at]
        if tag == 0:
            at += 1
        elif tag == 1:
            found[index] = TICK.unpack(data, at)
            at += TICK.length
        else:
            raise ValueError(f"tick {index} of a dynamic tick array has tag {tag}")
    return found


def pack_dynamic_tick_array(
    start_tick: int, whirlpool: bytes, ticks: Mapping[int, Mapping[str, Any]]
) -> bytes:
    """A dynamic tick array whose initialised ticks are keyed by index 0..87."""
    out = bytearray(
        DYNAMIC_TICK_ARRAY.pack(
            start_tick=start_tick,
            whirlpool=whirlpool,
            tick_bitmap=sum(1 << index for index in ticks),
        )
    )
    for index in range(TICKS_PER_ARRAY):
        out += TICK.pack(**{**ticks[index], "initialized": 1}) if index in ticks else b"\0"
    return bytes(out)
