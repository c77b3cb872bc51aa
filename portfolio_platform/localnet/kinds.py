"""What an account dump is, from its bytes: kind, usual owner, and the address it must have."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from solders.pubkey import Pubkey

from portfolio_platform.localnet.tokens import demo_key
from portfolio_platform.solana.layouts import (
    key_text,
    lending,
    meteora_dlmm,
    programs,
    pyth,
    raydium_amm,
    raydium_clmm,
    raydium_cp,
    spl_token,
    stake_pool,
    whirlpool,
)
from portfolio_platform.solana.layouts.addresses import (
    meteora_bin_array,
    raydium_tick_array,
    whirlpool_tick_array,
)
from portfolio_platform.solana.layouts.base import Layout


@dataclass(frozen=True)
class Kind:
    """An account layout, its program, and its role in a universe."""

    layout: Layout
    program: str
    role: str | None

    @property
    def kind(self) -> str:
        """Name of the layout."""
        return self.layout.kind

    def fits(self, data: bytes) -> bool:
        """Whether these bytes have the layout's length and discriminator."""
        head = self.layout.discriminator
        return len(data) == self.layout.length and data.startswith(head)


_KINDS = (
    Kind(whirlpool.POOL, programs.ORCA_WHIRLPOOL, "pool"),
    Kind(whirlpool.TICK_ARRAY, programs.ORCA_WHIRLPOOL, None),
    Kind(raydium_clmm.POOL, programs.RAYDIUM_CLMM, "pool"),
    Kind(raydium_clmm.CONFIG, programs.RAYDIUM_CLMM, None),
    Kind(raydium_clmm.TICK_ARRAY, programs.RAYDIUM_CLMM, None),
    Kind(raydium_amm.POOL, programs.RAYDIUM_AMM_V4, "pool"),
    Kind(raydium_cp.POOL, programs.RAYDIUM_CP_SWAP, "pool"),
    Kind(meteora_dlmm.PAIR, programs.METEORA_DLMM, "pool"),
    Kind(meteora_dlmm.BIN_ARRAY, programs.METEORA_DLMM, None),
    Kind(pyth.PRICE_UPDATE_V2, programs.PYTH_RECEIVER, "oracle"),
    Kind(pyth.PRICE_V2, programs.PYTH_V2, "oracle"),
    Kind(lending.MARGINFI_BANK, programs.MARGINFI, "reserve"),
    Kind(lending.KAMINO_RESERVE, programs.KAMINO_LEND, "reserve"),
    Kind(stake_pool.STAKE_POOL, programs.SPL_STAKE_POOL, "stake_pool"),
    Kind(stake_pool.MARINADE_STATE, programs.MARINADE, "stake_pool"),
    Kind(spl_token.MINT, programs.SPL_TOKEN, "mint"),
    Kind(spl_token.TOKEN_ACCOUNT, programs.SPL_TOKEN, None),
)
_TOKEN_PROGRAMS = (programs.SPL_TOKEN, programs.TOKEN_2022)


def _by_bytes(data: bytes) -> Kind | None:
    return next((kind for kind in _KINDS if kind.layout.discriminator and kind.fits(data)), None)


def recognise(owner: str, data: bytes) -> Kind | None:
    """The kind of an account, or None for one this chain does not know by its bytes.

    The owner decides only where the bytes cannot: AMM v4 pools, mints and token accounts.
    """
    if owner in _TOKEN_PROGRAMS:
        longer = len(data) > spl_token.TOKEN_ACCOUNT.length
        kind_byte = data[spl_token.ACCOUNT_TYPE_OFFSET] if longer else None
        if len(data) == spl_token.MINT.length or kind_byte == spl_token.ACCOUNT_TYPE_MINT:
            return Kind(spl_token.MINT, owner, "mint")
        return Kind(spl_token.TOKEN_ACCOUNT, owner, None)
    if owner == programs.RAYDIUM_AMM_V4 and len(data) == raydium_amm.POOL.length:
        return Kind(raydium_amm.POOL, owner, "pool")
    return _by_bytes(data)


def usual_owner(path: Path, data: bytes) -> str:
    """Owner of a dump that does not state one; a neutral address for unknown bytes."""
    kind = _by_bytes(data)
    if kind is not None:
        return kind.program
    if len(data) == spl_token.MINT.length or len(data) == spl_token.TOKEN_ACCOUNT.length:
        return programs.SPL_TOKEN
    if len(data) == raydium_amm.POOL.length:
        return programs.RAYDIUM_AMM_V4
    if len(data) > spl_token.TOKEN_ACCOUNT.length and (path.parent / "lb_pair.bin").is_file():
        if data[spl_token.ACCOUNT_TYPE_OFFSET] in (1, 2) and len(data) < 2000:
            return programs.TOKEN_2022
        return programs.METEORA_DLMM
    return str(demo_key("unknown owner"))


def derived_address(path: Path, data: bytes) -> str | None:
    """The address that the contents or the folder of a dump prove, if they do."""
    if whirlpool.TICK_ARRAY.length == len(data) and data.startswith(
        whirlpool.TICK_ARRAY.discriminator
    ):
        row = whirlpool.TICK_ARRAY.fields
        pool = key_text(row["whirlpool"].read(data))
        return whirlpool_tick_array(pool, row["start_tick"].read(data))
    if _fits(raydium_clmm.TICK_ARRAY, data):
        row = raydium_clmm.TICK_ARRAY.fields
        pool = key_text(row["pool"].read(data))
        return raydium_tick_array(pool, row["start_tick"].read(data))
    if _fits(meteora_dlmm.BIN_ARRAY, data):
        row = meteora_dlmm.BIN_ARRAY.fields
        return meteora_bin_array(key_text(row["pair"].read(data)), row["index"].read(data))
    return _part_of_pair(path)


def _fits(layout: Layout, data: bytes) -> bool:
    return len(data) == layout.length and data.startswith(layout.discriminator)


_PARTS = {
    "reserve_x": "reserve_x",
    "reserve_y": "reserve_y",
    "token_x_mint": "mint_x",
    "token_y_mint": "mint_y",
}


def _part_of_pair(path: Path) -> str | None:
    """Address of a file in a folder that is named after a DLMM pair."""
    pair = path.parent / "lb_pair.bin"
    if not pair.is_file():
        return None
    if path.name == "lb_pair.bin":
        try:
            return str(Pubkey.from_string(path.parent.name))
        except ValueError:
            return None
    field = _PARTS.get(path.stem)
    if field is None:
        return None
    return key_text(meteora_dlmm.PAIR.fields[field].read(pair.read_bytes()))
