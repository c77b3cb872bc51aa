"""Where the vectors come from: constants here, the whole golden file beside the recorded data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from portfolio_platform.amm import ConcentratedPool


def golden(real_data: Path) -> dict[str, Any]:
    path = real_data.parent / "facts" / "golden_amm.json"
    if not path.is_file():
        pytest.skip("facts/golden_amm.json not found beside the recorded data")
    return json.loads(path.read_text())


def three_positions() -> ConcentratedPool:
    """SOL/USDC at 150 with a tight, a wide and a full-range position."""
    return ConcentratedPool.of(
        address="golden",
        mint_a="SOL",
        mint_b="USDC",
        program="whirlpool",
        sqrt_price=7144393258922745604,
        tick=-18973,
        liquidity=5_200_000_000_000,
        fee_ppm=400,
        tick_spacing=64,
        liquidity_net={
            -443584: 200_000_000_000,
            -20288: 1_000_000_000_000,
            -19136: 4_000_000_000_000,
            -18816: -4_000_000_000_000,
            -17728: -1_000_000_000_000,
            443584: -200_000_000_000,
        },
    )


def staircase(liquidity: int) -> ConcentratedPool:
    """Price 1, every even tick of five arrays initialised, liquidity falling outwards."""
    return ConcentratedPool.of(
        address="staircase",
        mint_a="A",
        mint_b="B",
        program="whirlpool",
        sqrt_price=2**64,
        tick=0,
        liquidity=liquidity,
        fee_ppm=3000,
        tick_spacing=2,
        liquidity_net={tick: 1000 if tick < 0 else -1000 for tick in range(-352, 527, 2)},
        array_starts=(-352, -176, 0, 176, 352),
    )
