"""What a pool answers to a trade."""

from __future__ import annotations

from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

from portfolio_platform.amm.integers import BPS

if TYPE_CHECKING:
    from portfolio_platform.amm.pool import AmmPool


class Swap(NamedTuple):
    """One pass over a curve, without transfer fees; amounts in base units."""

    gross_in: int
    out: int
    fee: int
    fee_out: int
    protocol_fee: int
    impact_num: int
    impact_den: int
    crossed: int
    state: tuple[Any, ...]


class Quote(NamedTuple):
    """Exact result of one trade against one pool state; amounts in base units.

    Attributes
    ----------
    amount_in, amount_out : int
        What the trader sends and receives, transfer fees of the mints included.
    fee, fee_out : int
        Pool fee taken of the input and, for pools that take one there, of the output.
    protocol_fee : int
        Part of `fee` + `fee_out` that leaves the pool (protocol, fund, creator); the rest stays
        with the liquidity providers. Zero when the pool state does not know the share.
    impact_num, impact_den : int
        Price impact without fees as a rational: shortfall of the average price against the spot
        price before the trade.
    crossed : int
        Initialised ticks or bins left behind.
    """

    pool: str
    kind: str
    mint_in: str
    mint_out: str
    amount_in: int
    amount_out: int
    exact_in: bool
    fee: int
    fee_out: int
    protocol_fee: int
    transfer_fee_in: int
    transfer_fee_out: int
    impact_num: int
    impact_den: int
    crossed: int
    source: AmmPool
    state: tuple[Any, ...]

    @property
    def impact(self) -> Fraction:
        """Price impact without fees, as an exact fraction of the spot price."""
        return Fraction(self.impact_num, self.impact_den)

    @property
    def impact_bps(self) -> float:
        """Price impact in basis points, for display only."""
        return self.impact_num * BPS / self.impact_den

    @property
    def net_in(self) -> int:
        """Amount that reaches the curve: sent, less transfer fee and pool fee."""
        return self.amount_in - self.transfer_fee_in - self.fee

    def within_impact(self, bps: int) -> bool:
        """Tell exactly whether the impact is at most `bps`."""
        return self.impact_num * BPS <= bps * self.impact_den

    def to_json(self) -> dict[str, Any]:
        """Return the quote as JSON; amounts are decimal strings."""
        return {
            "pool": self.pool,
            "kind": self.kind,
            "mint_in": self.mint_in,
            "mint_out": self.mint_out,
            "amount_in": str(self.amount_in),
            "amount_out": str(self.amount_out),
            "exact": "in" if self.exact_in else "out",
            "fee": str(self.fee),
            "fee_out": str(self.fee_out),
            "protocol_fee": str(self.protocol_fee),
            "transfer_fee_in": str(self.transfer_fee_in),
            "transfer_fee_out": str(self.transfer_fee_out),
            "impact_bps": f"{self.impact_bps:.6f}",
            "crossed": self.crossed,
        }
