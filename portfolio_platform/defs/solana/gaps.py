"""Listed transactions that no node served: asked for again until they are served or settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import Connection

from portfolio_platform.defs.solana.ledger_rows import Batch, Followed, gap_row
from portfolio_platform.defs.solana.swap_pools import FollowedPool
from portfolio_platform.solana.backfill import revisit
from portfolio_platform.solana.follow import fetch_transactions
from portfolio_platform.solana.ledger import Claim, Gap, GapState, SignatureRow, observe
from portfolio_platform.solana.rpc import PermanentFailure, RpcPool, SlotSkipped
from portfolio_platform.solana.transactions import (
    NotATransaction,
    Transaction,
    parse_transaction,
)
from portfolio_platform.store import swaps as store

GAPS_PER_RUN = 20


async def revisit_gaps(conn: Connection, rpc: RpcPool, pools: Sequence[FollowedPool]) -> int:
    """Ask again for some gaps; how many were served.

    A transaction that is not served by its signature is looked for in its block. Where there is
    no block, the slot was skipped once two witnesses say so.

    Raises
    ------
    RpcError
        The network as a whole gives no answer.
    """
    by_address = {pool.address: pool for pool in pools}
    served = 0
    for gap in store.open_gaps(conn, by_address, GAPS_PER_RUN):
        pool = by_address[gap.address]
        row = SignatureRow(
            gap.signature,
            gap.slot,
            None if gap.block_time is None else int(gap.block_time.timestamp()),
        )
        answer = await _by_signature(rpc, row)
        found = await _by_block(rpc, row, gap, answer) if isinstance(answer, str) else answer
        batch = Batch()
        if isinstance(found, Transaction):
            batch.take(pool, found, Followed(gap.address))
            served += 1
        else:
            batch.gaps.append(found)
        store.save_look(
            conn,
            gap.address,
            transactions=batch.transactions,
            swaps=batch.swaps,
            gaps=batch.gaps,
        )
    return served


async def _by_signature(rpc: RpcPool, row: SignatureRow) -> Transaction | str:
    """The transaction, or why it is not served."""
    try:
        async for fetched in fetch_transactions(rpc, [row]):
            return fetched.transaction or fetched.problem or "it was not served"
    except (PermanentFailure, SlotSkipped) as error:
        return str(error)
    raise AssertionError("one row gives one transaction")


async def _by_block(
    rpc: RpcPool, row: SignatureRow, stored: store.StoredGap, problem: str
) -> Transaction | store.StoredGap:
    """The transaction out of its block, or the gap after this look."""
    gap = Gap(
        stored.slot,
        GapState(stored.state),
        frozenset((endpoint, Claim(claim)) for endpoint, claim in stored.claims),
        stored.looks,
    )
    settled = await revisit(rpc, {row.slot: gap}, details="full")
    block = settled.blocks.get(row.slot)
    if block is None:
        return gap_row(stored.address, row, settled.gaps[row.slot], problem)
    raw = _in_block(block, row.signature)
    if raw is None:
        problem = f"block {row.slot} does not hold it"
    else:
        try:
            return parse_transaction({"slot": row.slot, "blockTime": block.get("blockTime"), **raw})
        except NotATransaction as error:
            problem = str(error)
    after = observe(gap, "block", Claim.FAILED)
    assert after is not None
    return gap_row(stored.address, row, after, problem)


def _in_block(block: Mapping[str, Any], signature: str) -> dict[str, Any] | None:
    for one in block.get("transactions") or ():
        envelope = one.get("transaction") if isinstance(one, dict) else None
        signatures = envelope.get("signatures") if isinstance(envelope, dict) else None
        if signatures and signatures[0] == signature:
            return dict(one)
    return None
