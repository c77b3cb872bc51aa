"""Integer arithmetic shared by the pools."""

from __future__ import annotations

U64_MAX = 2**64 - 1
Q64 = 2**64
BPS = 10_000
PPM = 1_000_000


def ceil_div(numerator: int, denominator: int) -> int:
    """Return the quotient rounded up, for a positive denominator."""
    return -(-numerator // denominator)
