"""Token-2022 transfer fee: the recipient gets less than the sender sends."""

from __future__ import annotations

from dataclasses import dataclass

from portfolio_platform.amm.errors import InvalidPool
from portfolio_platform.amm.integers import BPS, ceil_div


@dataclass(frozen=True)
class TransferFee:
    """Fee of a mint in the epoch of the snapshot.

    Parameters
    ----------
    bps : int
        Share of the amount sent, in basis points, 0 to 10,000.
    max : int
        Largest fee of one transfer, in base units.
    """

    bps: int
    max: int

    def __post_init__(self) -> None:
        if not 0 <= self.bps <= BPS or self.max < 0:
            raise InvalidPool(f"transfer fee of {self.bps} bps with a maximum of {self.max}")

    @property
    def charges(self) -> bool:
        """Whether anything is ever withheld."""
        return self.bps > 0 and self.max > 0

    def fee(self, sent: int) -> int:
        """Return what is withheld of `sent` base units (rounded up, capped)."""
        return min(ceil_div(sent * self.bps, BPS), self.max)

    def received(self, sent: int) -> int:
        """Return what arrives of `sent` base units."""
        return sent - self.fee(sent)

    def to_receive(self, received: int) -> int:
        """Return the smallest amount to send so that at least `received` arrives."""
        if received == 0:
            return 0
        capped = received + self.max
        if self.bps == BPS:
            return capped
        return min(ceil_div(received * BPS, BPS - self.bps), capped)

    def largest_for(self, received: int) -> int:
        """Return the largest amount to send of which no more than `received` arrives."""
        capped = received + self.max
        if self.bps == BPS:
            return capped
        return min(((received + 1) * BPS - 1) // (BPS - self.bps), capped)
