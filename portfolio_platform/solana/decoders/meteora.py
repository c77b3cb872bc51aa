"""Meteora DLMM pairs and bin arrays."""

import math

from portfolio_platform.solana.decoded import Decoded, Malformed
from portfolio_platform.solana.layouts import key_text, meteora_dlmm

_BASE_FEE_UNIT = 10
_FEE_DENOMINATOR = 10**9
_MAX_BASE_FEE_POWER = 9
_LARGEST_LOG_PRICE = 88.0  # 2**64 squared, what a Q64.64 price can hold with room


def bin_price_raw(bin_id: int, bin_step: int) -> float:
    """Base units of Y per base unit of X in a bin: ``(1 + step/1e4) ** id``.

    Raises
    ------
    Malformed
        When the price does not fit the program's Q64.64 number.
    """
    log_price = bin_id * math.log1p(bin_step / 10_000)
    if abs(log_price) > _LARGEST_LOG_PRICE:
        raise Malformed(f"bin {bin_id} at step {bin_step} has no representable price")
    return math.exp(log_price)


def decode_pair(data: bytes) -> Decoded:
    """A pair; its price is per base unit, because decimals stand in the mints."""
    raw = meteora_dlmm.PAIR.unpack(data)
    if not 0 < raw["bin_step"] <= 10_000:
        raise Malformed(f"bin step {raw['bin_step']}")
    if raw["base_fee_power_factor"] > _MAX_BASE_FEE_POWER:
        raise Malformed(f"base fee power {raw['base_fee_power_factor']}")
    for name in ("mint_x", "mint_y", "reserve_x", "reserve_y", "oracle"):
        raw[name] = key_text(raw[name])
    base_fee = (
        raw["base_factor"]
        * raw["bin_step"]
        * _BASE_FEE_UNIT
        * 10 ** raw["base_fee_power_factor"]
        / _FEE_DENOMINATOR
    )
    return Decoded(
        "meteora_dlmm",
        raw,
        {
            "price_raw": bin_price_raw(raw["active_id"], raw["bin_step"]),
            "base_fee": base_fee,
            "ever_traded": raw["last_update_timestamp"] != 0,
            "swap_enabled": raw["status"] == 0,
        },
    )


def decode_bin_array(data: bytes) -> Decoded:
    """A bin array; bins that hold a token, by bin id (``index · 70 + k``)."""
    layout = meteora_dlmm.BIN_ARRAY.fields
    index = layout["index"].read(data)
    if abs(index) > 2**31:
        raise Malformed(f"bin array index {index}")
    bins = []
    for k in range(meteora_dlmm.BINS_PER_ARRAY):
        one = meteora_dlmm.BIN.unpack(data, layout["bins"].offset + k * meteora_dlmm.BIN.length)
        if one["amount_x"] or one["amount_y"]:
            bins.append({"id": index * meteora_dlmm.BINS_PER_ARRAY + k, **one})
    return Decoded(
        "meteora_bin_array",
        {
            "index": index,
            "version": layout["version"].read(data),
            "pair": key_text(layout["pair"].read(data)),
            "bins": bins,
        },
        {
            "amount_x": sum(one["amount_x"] for one in bins),
            "amount_y": sum(one["amount_y"] for one in bins),
        },
    )
