"""Derived addresses: where a program keeps the accounts that belong to a pool or a wallet.

The tick and bin arrays around the current price are found from the pool's own bytes with these
rules, so a universe lists only the pools.
"""

from functools import lru_cache

from solders.pubkey import Pubkey

from portfolio_platform.solana.layouts import meteora_dlmm, programs, raydium_clmm, whirlpool
from portfolio_platform.solana.layouts.keys import key_bytes


def _derive(program: str, *seeds: bytes) -> str:
    return str(Pubkey.find_program_address(list(seeds), Pubkey.from_string(program))[0])


def array_start(tick: int, tick_spacing: int, ticks_per_array: int) -> int:
    """First tick of the array that covers ``tick`` (floor, also below zero)."""
    span = tick_spacing * ticks_per_array
    return tick // span * span


@lru_cache(maxsize=16384)
def whirlpool_tick_array(pool: str, start_tick: int) -> str:
    """Address of the Whirlpool tick array that begins at ``start_tick``."""
    return _derive(
        programs.ORCA_WHIRLPOOL, b"tick_array", key_bytes(pool), str(start_tick).encode()
    )


@lru_cache(maxsize=4096)
def whirlpool_oracle(pool: str) -> str:
    """Address of the adaptive-fee oracle of a Whirlpool (it exists only for adaptive pools)."""
    return _derive(programs.ORCA_WHIRLPOOL, b"oracle", key_bytes(pool))


@lru_cache(maxsize=16384)
def raydium_tick_array(pool: str, start_tick: int) -> str:
    """Address of the Raydium CLMM tick array that begins at ``start_tick``."""
    seed = start_tick.to_bytes(4, "big", signed=True)
    return _derive(programs.RAYDIUM_CLMM, b"tick_array", key_bytes(pool), seed)


@lru_cache(maxsize=16384)
def meteora_bin_array(pair: str, index: int) -> str:
    """Address of the DLMM bin array with this index (bin id // 70)."""
    seed = index.to_bytes(8, "little", signed=True)
    return _derive(programs.METEORA_DLMM, b"bin_array", key_bytes(pair), seed)


def associated_token_account(
    wallet: str, mint: str, token_program: str = programs.SPL_TOKEN
) -> str:
    """Address of the associated token account of ``wallet`` for ``mint``."""
    return _derive(
        programs.ASSOCIATED_TOKEN, key_bytes(wallet), key_bytes(token_program), key_bytes(mint)
    )


def whirlpool_arrays_around(
    pool: str, tick: int, tick_spacing: int, reach: int = 3
) -> dict[int, str]:
    """Start tick → address of the array at the price and ``reach`` arrays on each side."""
    span = tick_spacing * whirlpool.TICKS_PER_ARRAY
    start = array_start(tick, tick_spacing, whirlpool.TICKS_PER_ARRAY)
    return {
        start + k * span: whirlpool_tick_array(pool, start + k * span)
        for k in range(-reach, reach + 1)
    }


def raydium_arrays_around(
    pool: str, tick: int, tick_spacing: int, reach: int = 3
) -> dict[int, str]:
    """Start tick → address of the array at the price and ``reach`` arrays on each side."""
    span = tick_spacing * raydium_clmm.TICKS_PER_ARRAY
    start = array_start(tick, tick_spacing, raydium_clmm.TICKS_PER_ARRAY)
    return {
        start + k * span: raydium_tick_array(pool, start + k * span)
        for k in range(-reach, reach + 1)
    }


def meteora_arrays_around(pair: str, active_id: int, reach: int = 2) -> dict[int, str]:
    """Array index → address of the array of the active bin and ``reach`` on each side."""
    index = active_id // meteora_dlmm.BINS_PER_ARRAY
    return {k: meteora_bin_array(pair, k) for k in range(index - reach, index + reach + 1)}
