"""Rows of one commit of a pool's ledger."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

from portfolio_platform.defs.solana.swap_pools import FollowedPool
from portfolio_platform.solana.ledger import Gap, SignatureRow
from portfolio_platform.solana.swaps import Swap, pool_swap
from portfolio_platform.solana.transactions import Transaction
from portfolio_platform.store.swaps import StoredGap


@dataclass
class Followed:
    """What one look at a pool's ledger gave.

    ``left`` are listed transactions that the time did not suffice for; the next look begins there.
    """

    pool: str
    listed: int = 0
    swaps: int = 0
    failed: int = 0
    other: int = 0
    gaps: int = 0
    left: int = 0
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As a row of metadata."""
        return asdict(self)


def swap_row(pool: FollowedPool, swap: Swap) -> dict[str, Any]:
    """A swap as the table holds it."""
    return {
        "signature": swap.signature,
        "pool": swap.pool,
        "slot": swap.slot,
        "mint_a": pool.vaults.mint_a,
        "mint_b": pool.vaults.mint_b,
        "mint_in": swap.mint_in,
        "mint_out": swap.mint_out,
        "amount_in": swap.amount_in,
        "amount_out": swap.amount_out,
        "decimals_in": swap.decimals_in,
        "decimals_out": swap.decimals_out,
        "price": swap.price,
        "volume_a": swap.volume_a,
        "volume_b": swap.volume_b,
        "fee": swap.fee,
        "failed": swap.failed,
        "observed_at": swap.block_time,
    }


@dataclass
class Batch:
    """Rows of one commit."""

    transactions: list[dict[str, Any]] = field(default_factory=list)
    swaps: list[dict[str, Any]] = field(default_factory=list)
    gaps: list[StoredGap] = field(default_factory=list)

    def take(self, pool: FollowedPool, transaction: Transaction, counts: Followed) -> None:
        """Add a transaction of the pool, and its swap where it has one."""
        swap = pool_swap(transaction, pool.vaults)
        if swap is None:
            outcome = "other"
            counts.other += 1
        else:
            outcome = "swap" if swap.failed is None else "failed"
            counts.swaps += swap.failed is None
            counts.failed += swap.failed is not None
            self.swaps.append(swap_row(pool, swap))
        self.transactions.append(
            {
                "signature": transaction.signature,
                "slot": transaction.slot,
                "outcome": outcome,
                "observed_at": transaction.block_time,
            }
        )


def gap_row(address: str, row: SignatureRow, gap: Gap, problem: str) -> StoredGap:
    """A gap as the table holds it."""
    return StoredGap(
        address,
        row.signature,
        row.slot,
        gap.state.value,
        sorted((endpoint, claim.value) for endpoint, claim in gap.claims),
        gap.looks,
        problem,
        moment(row),
    )


def moment(row: SignatureRow) -> datetime | None:
    """Block time of a listed transaction, where the node says it."""
    return None if row.block_time is None else datetime.fromtimestamp(row.block_time, UTC)
