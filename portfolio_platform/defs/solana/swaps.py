"""Following the ledgers of pools: what was listed is read, stored, and only then passed."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from portfolio_platform.defs.solana.gaps import revisit_gaps
from portfolio_platform.defs.solana.ledger_rows import Batch, Followed, gap_row, moment
from portfolio_platform.defs.solana.snapshots import open_pool, time_near
from portfolio_platform.defs.solana.swap_pools import FollowedPool
from portfolio_platform.settings import Settings
from portfolio_platform.solana.follow import FetchedTransaction, fetch_transactions, look_at
from portfolio_platform.solana.ledger import (
    CLAIM_OF_CODE,
    DEFAULT_OVERLAP_SLOTS,
    Claim,
    Cursor,
    Gap,
    Look,
    SignatureRow,
    observe,
)
from portfolio_platform.solana.rpc import PermanentFailure, RpcError, RpcPool, SlotSkipped
from portfolio_platform.solana.transactions import Transaction
from portfolio_platform.store import rpc_counters
from portfolio_platform.store import swaps as store
from portfolio_platform.store.database import connect

TRANSACTIONS_PER_COMMIT = 50
REMEMBERED_TRANSACTIONS = 2_000
POOLS_AT_ONCE = 8


@dataclass
class Budget:
    """When to stop asking: what is left is followed by the next run."""

    seconds: float
    _until: float | None = field(default=None, init=False)

    def spent(self) -> bool:
        """Whether the time is over."""
        now = asyncio.get_running_loop().time()
        if self._until is None:
            self._until = now + self.seconds
        return now >= self._until


class _Transactions:
    """Transactions of this run by signature: a route through three pools is asked for once."""

    def __init__(self, pool: RpcPool) -> None:
        self._pool = pool
        self._kept: OrderedDict[str, FetchedTransaction] = OrderedDict()

    async def get(self, row: SignatureRow) -> FetchedTransaction:
        known = self._kept.get(row.signature)
        if known is not None:
            return known
        async for fetched in fetch_transactions(self._pool, [row]):
            if fetched.transaction is not None:
                self._kept[row.signature] = fetched
                if len(self._kept) > REMEMBERED_TRANSACTIONS:
                    self._kept.popitem(last=False)
            return fetched
        raise AssertionError("one row gives one transaction")


async def _read(
    transactions: _Transactions, address: str, row: SignatureRow
) -> Transaction | store.StoredGap:
    """One listed transaction, or the gap that it leaves.

    Raises
    ------
    RpcError
        The network as a whole gives no answer: nothing is known about this transaction.
    """
    try:
        fetched = await transactions.get(row)
    except (PermanentFailure, SlotSkipped) as error:
        # Every node has answered, and none serves it: waiting here would stop the ledger for ever.
        claim = CLAIM_OF_CODE.get(error.code or 0, Claim.FAILED)
        gap = observe(Gap(row.slot), error.endpoint, claim)
        assert gap is not None
        return gap_row(address, row, gap, str(error))
    if fetched.transaction is not None:
        return fetched.transaction
    gap = observe(Gap(row.slot), "pool", Claim.NOT_AVAILABLE)
    assert gap is not None
    return gap_row(address, row, gap, fetched.problem or "it was not served")


async def follow(
    conn: Connection,
    rpc: RpcPool,
    pool: FollowedPool,
    *,
    budget: Budget,
    first_look: int,
    now: datetime,
    transactions: _Transactions,
) -> Followed:
    """Read what is new in a pool's ledger, oldest first, committing as it goes.

    Parameters
    ----------
    conn : Connection
        In autocommit mode: each commit holds some transactions and the cursor behind them.
    first_look : int
        A pool that was never followed is followed from about so many transactions back.
    now : datetime
        Chain time before the look: whatever is older was listed, if the node told the truth.
    """
    counts = Followed(pool.address)
    stored = store.cursor_of(conn, pool.address)
    cursor = None if stored is None else Cursor(stored.slot, stored.signature)
    overlap = DEFAULT_OVERLAP_SLOTS
    if stored is not None:
        overlap = max(overlap, stored.slot - stored.previous_slot)
    look = await look_at(
        rpc,
        pool.address,
        cursor,
        lambda slot: store.signatures_from(conn, pool.address, slot),
        overlap=overlap,
        page=1000 if cursor is not None else min(1000, first_look),
        limit=None if cursor is not None else first_look,
    )
    counts.listed = len(look.new)
    since = _followed_from(look, first_look) if stored is None else stored.followed_from
    done = 0
    for start in range(0, len(look.new), TRANSACTIONS_PER_COMMIT):
        if budget.spent():
            break
        rows = look.new[start : start + TRANSACTIONS_PER_COMMIT]
        batch = Batch()
        for row in rows:
            answer = await _read(transactions, pool.address, row)
            if isinstance(answer, store.StoredGap):
                batch.gaps.append(answer)
            else:
                batch.take(pool, answer, counts)
        done += len(rows)
        last = done == len(look.new)
        at = max(Cursor(rows[-1].slot, rows[-1].signature), cursor or Cursor(0))
        store.save_look(
            conn,
            pool.address,
            transactions=batch.transactions,
            swaps=batch.swaps,
            gaps=batch.gaps,
            cursor=store.LedgerCursor(
                at.slot,
                at.signature,
                look.new[0].slot if stored is None else stored.slot,
                since,
                now if last else moment(rows[-1]),
            ),
        )
        counts.gaps += len(batch.gaps)
    if not look.new and stored is not None:
        store.save_look(
            conn,
            pool.address,
            transactions=[],
            swaps=[],
            cursor=store.LedgerCursor(
                stored.slot, stored.signature, stored.slot, stored.followed_from, now
            ),
        )
    counts.left = len(look.new) - done
    return counts


def _followed_from(look: Look, first_look: int) -> datetime | None:
    """Where a ledger's reading begins; None where the first look saw all of it."""
    if len(look.new) + look.repeated < first_look:
        return None
    times = [one.block_time for one in look.new if one.block_time is not None]
    return datetime.fromtimestamp(min(times), UTC) if times else None


async def _follow_safely(
    conn: Connection, rpc: RpcPool, pool: FollowedPool, limit: asyncio.Semaphore, **how: Any
) -> Followed:
    async with limit:
        with store.following(conn, pool.address) as alone:
            if not alone:
                return Followed(pool.address, error="another run follows it")
            try:
                return await follow(conn, rpc, pool, **how)
            except RpcError as error:
                return Followed(pool.address, error=str(error))


@dataclass(frozen=True)
class Looked:
    """What one run of looks at the ledgers found.

    Attributes
    ----------
    found : list of Followed
    served : int
        Gaps of earlier looks that were served now.
    gaps : dict of state to int
        Gaps that remain.
    endpoints : list of dict
        Counters per endpoint, as :meth:`RpcPool.metrics` gives them.
    """

    found: list[Followed]
    served: int
    gaps: dict[str, int]
    endpoints: list[dict[str, Any]]


async def _follow_all(
    conn: Connection, settings: Settings, pools: Sequence[FollowedPool]
) -> tuple[list[Followed], int, list[dict[str, Any]]]:
    async with open_pool(settings) as rpc:
        try:
            slot = await rpc.get_slot()
            seconds = await time_near(rpc, slot)
            if seconds is None:
                raise RpcError(f"the network does not say when slot {slot} was")
            transactions = _Transactions(rpc)
            budget = Budget(settings.swap_seconds)
            limit = asyncio.Semaphore(POOLS_AT_ONCE)
            found = await asyncio.gather(
                *(
                    _follow_safely(
                        conn,
                        rpc,
                        pool,
                        limit,
                        budget=budget,
                        first_look=settings.swap_first_look,
                        now=datetime.fromtimestamp(seconds, UTC),
                        transactions=transactions,
                    )
                    for pool in pools
                )
            )
            served = 0 if budget.spent() else await revisit_gaps(conn, rpc, pools)
            return list(found), served, rpc.metrics()
        finally:
            rpc_counters.add(settings.resolve_database_url(), rpc.metrics())


def follow_pools(settings: Settings, pools: Sequence[FollowedPool]) -> Looked:
    """Follow every pool for as long as the settings allow.

    A pool whose ledger cannot be read now is reported and does not stop the others.
    """
    with connect(settings.resolve_database_url(), autocommit=True) as conn:
        found, served, endpoints = asyncio.run(_follow_all(conn, settings, pools))
        return Looked(found, served, store.gap_counts(conn), endpoints)
