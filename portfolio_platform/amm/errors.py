"""Refusals of a pool, each with a stable reason that plans and commands show."""

from __future__ import annotations

from typing import Any, ClassVar


class AmmError(ValueError):
    """A pool cannot answer; `reason` is stable, `details` holds what to show next to it."""

    reason: ClassVar[str] = "amm_error"

    def __init__(self, message: str, *, pool: str | None = None, **details: Any) -> None:
        super().__init__(message)
        self.pool = pool
        self.details = details


class InsufficientLiquidity(AmmError):
    """The pool (or the part of it that was fetched) ends before the amount is filled.

    `details["available"]` is the largest amount of the same side that could be filled, when known.
    """

    reason = "insufficient_liquidity"


class ZeroLiquidity(InsufficientLiquidity):
    """The pool holds nothing to trade against."""

    reason = "zero_liquidity"


class Dust(AmmError):
    """The amount is so small that the other side rounds to nothing."""

    reason = "dust"


class UnknownMint(AmmError):
    """The mint is not one of the two that the pool trades."""

    reason = "mint_not_in_pool"


class PoolPaused(AmmError):
    """Swapping is switched off in the pool."""

    reason = "pool_paused"


class AdaptiveFeeUnsupported(AmmError):
    """The fee of the pool moves with its oracle and is not priced as a constant."""

    reason = "adaptive_fee_unsupported"


class AmountOutOfRange(AmmError):
    """An amount is not an integer between 1 and 2**64 - 1."""

    reason = "amount_out_of_range"


class InvalidPool(AmmError):
    """The state itself contradicts the rules of its program."""

    reason = "invalid_pool"


class StaleQuote(AmmError):
    """A quote is applied to a state other than the one that it was made on."""

    reason = "stale_quote"
