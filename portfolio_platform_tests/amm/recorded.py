"""The recorded Whirlpools with their tick arrays, read at the published offsets."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from portfolio_platform.amm import ConcentratedPool

_TICKS_PER_ARRAY = 88
_TICK_SIZE = 113


def _account(path: Path) -> tuple[str, bytes]:
    dump = json.loads(path.read_text())
    return dump["pubkey"], base64.b64decode(dump["account"]["data"][0])


def _integer(data: bytes, offset: int, size: int, *, signed: bool = False) -> int:
    return int.from_bytes(data[offset : offset + size], "little", signed=signed)


def whirlpool(real_data: Path, name: str, *, without: int | None = None) -> ConcentratedPool:
    folder = real_data / "accounts" / "orca_whirlpool"
    (file,) = folder.glob(f"{name}_wp_whirlpool.*")
    address, pool = _account(file)
    spacing = _integer(pool, 41, 2)
    nets: dict[int, int] = {}
    starts: list[int] = []
    for array_file in folder.glob(f"{name}_wp_ta_*"):
        _, array = _account(array_file)
        start = _integer(array, 8, 4, signed=True)
        if start == without:
            continue
        starts.append(start)
        for k in range(_TICKS_PER_ARRAY):
            offset = 12 + k * _TICK_SIZE
            if array[offset]:
                nets[start + k * spacing] = _integer(array, offset + 1, 16, signed=True)
    return ConcentratedPool.of(
        address=address,
        mint_a=pool[101:133].hex(),
        mint_b=pool[181:213].hex(),
        program="whirlpool",
        sqrt_price=_integer(pool, 65, 16),
        tick=_integer(pool, 81, 4, signed=True),
        liquidity=_integer(pool, 49, 16),
        fee_ppm=_integer(pool, 45, 2),
        tick_spacing=spacing,
        liquidity_net=nets,
        array_starts=tuple(starts),
        protocol_share_bps=_integer(pool, 47, 2),
    )
