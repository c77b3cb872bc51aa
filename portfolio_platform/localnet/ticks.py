"""Ticks and amounts of the demo pools, by the tick table of each pool's program."""

from __future__ import annotations

from portfolio_platform.amm.ticks import MAX_TICK

Q64 = 1 << 64


def to_sqrt(price: float) -> int:
    """Q64.64 square root of a price in base units."""
    return int(price**0.5 * Q64)


def align(tick: int, spacing: int) -> int:
    """Nearest multiple of `spacing` at or below `tick`, inside the range of ticks."""
    limit = MAX_TICK // spacing * spacing
    return max(-limit, min(limit, tick // spacing * spacing))


def amounts(liquidity: int, lower: int, upper: int) -> tuple[int, int]:
    """Token A and B between two square-root prices, both rounded up."""
    if upper <= lower:
        return 0, 0
    width = liquidity * (upper - lower)
    return -(-(width << 64) // (upper * lower)), -(-width >> 64)
