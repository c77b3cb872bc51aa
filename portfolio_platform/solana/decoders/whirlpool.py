"""Orca Whirlpool pools, tick arrays and adaptive-fee oracles."""

from typing import Any

from portfolio_platform.solana.decoded import Decoded, Malformed, q64_price
from portfolio_platform.solana.layouts import key_text, whirlpool

MIN_SQRT_PRICE, MAX_SQRT_PRICE = 4295048016, 79226673515401279992447579055
MAX_TICK = 443636


def tick_in_range(tick: int) -> int:
    """``tick`` itself; Malformed outside what any concentrated pool allows."""
    if abs(tick) > MAX_TICK:
        raise Malformed(f"tick {tick} is outside ±{MAX_TICK}")
    return tick


def decode_pool(data: bytes) -> Decoded:
    """A pool; its prices are per base unit, because decimals stand in the mints."""
    raw = whirlpool.POOL.unpack(data)
    if not MIN_SQRT_PRICE <= raw["sqrt_price"] <= MAX_SQRT_PRICE:
        raise Malformed(f"square root price {raw['sqrt_price']} is outside the program's range")
    tick_in_range(raw["tick_current"])
    if raw["tick_spacing"] == 0:
        raise Malformed("tick spacing 0")
    for name in ("config", "mint_a", "vault_a", "mint_b", "vault_b"):
        raw[name] = key_text(raw[name])
    rewards = raw.pop("rewards")
    raw["reward_mints"] = [key_text(one["mint"]) for one in rewards if any(one["mint"])]
    traded = bool(raw["fee_growth_global_a"] or raw["fee_growth_global_b"])
    return Decoded(
        "orca_whirlpool",
        raw,
        {
            "price_raw": q64_price(raw["sqrt_price"]),
            "price_raw_by_tick": 1.0001 ** raw["tick_current"],
            "fee": raw["fee_rate"] / 1e6,
            "adaptive_fee": raw["fee_tier_index"] != raw["tick_spacing"],
            "ever_traded": traded,
        },
    )


def _tick(index: int, tick: dict[str, Any]) -> dict[str, int]:
    return {
        "index": index,
        "liquidity_net": tick["liquidity_net"],
        "liquidity_gross": tick["liquidity_gross"],
    }


def decode_tick_array(data: bytes) -> Decoded:
    """A fixed tick array; only initialised ticks are listed, by index 0..87."""
    first = whirlpool.TICK_ARRAY.fields["ticks"].offset
    ticks = []
    for index in range(whirlpool.TICKS_PER_ARRAY):
        at = first + index * whirlpool.TICK.length
        if data[at] > 1:
            raise Malformed(f"tick {index} has initialised flag {data[at]}")
        if data[at]:
            ticks.append(_tick(index, whirlpool.TICK.unpack(data, at)))
    head = whirlpool.TICK_ARRAY.fields
    return Decoded(
        "orca_tick_array",
        {
            "start_tick": tick_in_range_of_array(head["start_tick"].read(data)),
            "whirlpool": key_text(head["whirlpool"].read(data)),
            "ticks": ticks,
        },
    )


def tick_in_range_of_array(start: int) -> int:
    """``start`` itself; an array may begin below the lowest tick, never far outside."""
    if abs(start) > MAX_TICK + 88 * 2**16:
        raise Malformed(f"tick array begins at {start}")
    return start


def decode_dynamic_tick_array(data: bytes) -> Decoded:
    """A dynamic tick array, in the same form as a fixed one."""
    raw = whirlpool.DYNAMIC_TICK_ARRAY.unpack(data)
    try:
        ticks = whirlpool.unpack_dynamic_ticks(data)
    except ValueError as error:
        raise Malformed(str(error)) from error
    return Decoded(
        "orca_dynamic_tick_array",
        {
            "start_tick": tick_in_range_of_array(raw["start_tick"]),
            "whirlpool": key_text(raw["whirlpool"]),
            "tick_bitmap": raw["tick_bitmap"],
            "ticks": [_tick(index, tick) for index, tick in ticks.items()],
        },
    )


def decode_oracle(data: bytes) -> Decoded:
    """The state of an adaptive fee."""
    raw = whirlpool.ORACLE.unpack(data)
    raw["whirlpool"] = key_text(raw["whirlpool"])
    return Decoded("orca_adaptive_fee_oracle", raw)
