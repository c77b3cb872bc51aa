"""What a decoder answers: values, or a typed refusal."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from fractions import Fraction
from typing import Any, Literal

RefusalCode = Literal[
    "empty",
    "invalid_owner",
    "unknown_owner",
    "unknown_discriminator",
    "wrong_length",
    "undecoded",
    "malformed",
]


@dataclass(frozen=True, slots=True)
class Decoded:
    """An account whose bytes are understood.

    Attributes
    ----------
    kind : str
        e.g. ``orca_whirlpool``, ``spl_mint``, ``pyth_price_update_v2``.
    values : dict
        Raw integers as they stand in the bytes; keys as base58 text.
    derived : dict
        Figures computed from them (float, exact int or None where undefined; never NaN).
    """

    kind: str
    values: dict[str, Any]
    derived: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Refused:
    """An account that is not decoded, and why. It goes to quarantine with its bytes."""

    reason: str
    code: RefusalCode
    kind: str | None = None


class Malformed(ValueError):
    """The bytes have the right shape but contents that the program could not have written."""


class Unverified(ValueError):
    """A recognised account of a kind whose layout is not read; the argument is the kind."""


MAX_DECIMALS = 38


def decimals_in_range(decimals: int) -> int:
    """``decimals`` itself; Malformed when no token could have them."""
    if not 0 <= decimals <= MAX_DECIMALS:
        raise Malformed(f"{decimals} decimals")
    return decimals


def whole(amount: int | Fraction, decimals: int) -> float:
    """Base units as whole tokens, rounded once."""
    return float(Fraction(amount) / 10**decimals)


def q64_price(sqrt_price: int, decimals_a: int = 0, decimals_b: int = 0) -> float:
    """Price of A in B from a Q64.64 square root, squared exactly and divided last."""
    return float(q64_price_exact(sqrt_price, decimals_a, decimals_b))


def q64_price_exact(sqrt_price: int, decimals_a: int = 0, decimals_b: int = 0) -> Fraction:
    """As :func:`q64_price`, exact."""
    return Fraction(sqrt_price * sqrt_price * 10**decimals_a, 10**decimals_b << 128)


def depth_quote(sqrt_price: int, liquidity: int, basis_points: int = 100) -> float:
    """Base units of B that move a concentrated pool's price up by ``basis_points``.

    Within the current range: ``L · (sqrt(1 + x) - 1) · sqrt(P)``.
    """
    return liquidity * ((1 + basis_points / 10_000) ** 0.5 - 1) * (sqrt_price / 2**64)


def utc_text(timestamp: int) -> str | None:
    """ISO 8601 of Unix seconds; None when it is outside years 1 to 9999."""
    try:
        return datetime.fromtimestamp(timestamp, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return None
