"""Raydium: concentrated liquidity, AMM v4, CP-Swap."""

from portfolio_platform.solana.decoded import Decoded, Malformed, decimals_in_range, q64_price
from portfolio_platform.solana.decoders.whirlpool import tick_in_range, tick_in_range_of_array
from portfolio_platform.solana.layouts import key_text, raydium_amm, raydium_clmm, raydium_cp

# The ends of the program's own tick table (it differs from Orca's at the upper end).
MIN_SQRT_PRICE, MAX_SQRT_PRICE = 4295048016, 79226673521066979257578248091


def decode_clmm(data: bytes) -> Decoded:
    """A CLMM pool; ``derived.price`` is whole token 1 per whole token 0."""
    raw = raydium_clmm.POOL.unpack(data)
    if not MIN_SQRT_PRICE <= raw["sqrt_price"] <= MAX_SQRT_PRICE:
        raise Malformed(f"square root price {raw['sqrt_price']} is outside the program's range")
    tick_in_range(raw["tick_current"])
    if raw["tick_spacing"] == 0:
        raise Malformed("tick spacing 0")
    for name in ("config", "owner", "mint_0", "mint_1", "vault_0", "vault_1", "observation"):
        raw[name] = key_text(raw[name])
    del raw["tick_array_bitmap"]
    d0, d1 = decimals_in_range(raw["decimals_0"]), decimals_in_range(raw["decimals_1"])
    return Decoded(
        "raydium_clmm",
        raw,
        {
            "price": q64_price(raw["sqrt_price"], d0, d1),
            "price_raw": q64_price(raw["sqrt_price"]),
            "price_by_tick": 1.0001 ** raw["tick_current"] * 10.0 ** (d0 - d1),
            "swap_enabled": not raw["status"] & raydium_clmm.STATUS_SWAP_OFF,
            "ever_traded": bool(raw["fee_growth_global_0"] or raw["fee_growth_global_1"]),
        },
    )


def decode_clmm_config(data: bytes) -> Decoded:
    """The fee configuration of CLMM pools (rates in 1e-6)."""
    raw = raydium_clmm.CONFIG.unpack(data)
    if raw["trade_fee_rate"] >= 1_000_000:
        raise Malformed(f"trade fee rate {raw['trade_fee_rate']} of 1,000,000")
    raw["owner"], raw["fund_owner"] = key_text(raw["owner"]), key_text(raw["fund_owner"])
    return Decoded("raydium_clmm_config", raw, {"fee": raw["trade_fee_rate"] / 1e6})


def decode_clmm_tick_array(data: bytes) -> Decoded:
    """A CLMM tick array; ticks with liquidity, by their own tick number."""
    layout = raydium_clmm.TICK_ARRAY.fields
    ticks = []
    for index in range(raydium_clmm.TICKS_PER_ARRAY):
        tick = raydium_clmm.TICK.unpack(
            data, layout["ticks"].offset + index * raydium_clmm.TICK.length
        )
        if tick["liquidity_gross"]:
            tick_in_range(tick["tick"])
            ticks.append(tick)
    return Decoded(
        "raydium_clmm_tick_array",
        {
            "pool": key_text(layout["pool"].read(data)),
            "start_tick": tick_in_range_of_array(layout["start_tick"].read(data)),
            "initialized_tick_count": layout["initialized_tick_count"].read(data),
            "ticks": ticks,
        },
    )


def decode_amm_v4(data: bytes) -> Decoded:
    """An AMM v4 pool; it has no price without both vaults of the same slot."""
    raw = raydium_amm.POOL.unpack(data)
    decimals_in_range(raw["base_decimals"])
    decimals_in_range(raw["quote_decimals"])
    numerator, denominator = raw["swap_fee_numerator"], raw["swap_fee_denominator"]
    if denominator == 0 or numerator >= denominator:
        raise Malformed(f"swap fee {numerator}/{denominator}")
    for name in (
        "base_vault",
        "quote_vault",
        "base_mint",
        "quote_mint",
        "lp_mint",
        "open_orders",
        "market",
    ):
        raw[name] = key_text(raw[name])
    return Decoded(
        "raydium_amm_v4",
        raw,
        {
            "fee": numerator / denominator,
            "swap_enabled": raw["status"] in raydium_amm.STATUS_SWAP_ON,
            "price": None,
            "price_undefined": "needs both vault accounts of the same slot",
        },
    )


def decode_cp_swap(data: bytes) -> Decoded:
    """A CP-Swap pool; fees that lie in the vaults are not reserves."""
    raw = raydium_cp.POOL.unpack(data)
    for name in ("decimals_0", "decimals_1", "lp_decimals"):
        decimals_in_range(raw[name])
    for name in (
        "config",
        "creator",
        "vault_0",
        "vault_1",
        "lp_mint",
        "mint_0",
        "mint_1",
        "token_program_0",
        "token_program_1",
        "observation",
    ):
        raw[name] = key_text(raw[name])
    owed = {
        f"fees_in_vault_{side}": raw[f"protocol_fees_{side}"]
        + raw[f"fund_fees_{side}"]
        + raw[f"creator_fees_{side}"]
        for side in ("0", "1")
    }
    return Decoded(
        "raydium_cp_swap",
        raw,
        {
            **owed,
            "swap_enabled": not raw["status"] & raydium_cp.STATUS_SWAP_OFF,
            "price": None,
            "price_undefined": "needs both vault accounts of the same slot",
        },
    )


def decode_cp_config(data: bytes) -> Decoded:
    """The fee configuration of CP-Swap pools (rates in 1e-6)."""
    raw = raydium_cp.CONFIG.unpack(data)
    if raw["trade_fee_rate"] >= 1_000_000 or raw["creator_fee_rate"] >= 1_000_000:
        raise Malformed("a fee rate of the configuration reaches 100 %")
    raw["protocol_owner"], raw["fund_owner"] = (
        key_text(raw["protocol_owner"]),
        key_text(raw["fund_owner"]),
    )
    return Decoded("raydium_cp_config", raw, {"fee": raw["trade_fee_rate"] / 1e6})
