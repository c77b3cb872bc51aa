"""Swaps, how far each pool's ledger has been followed, and what of it could not be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row, dict_row
from psycopg.types.json import Jsonb

from portfolio_platform.store import bulk

SWAP_COLUMNS = (
    "signature",
    "pool",
    "slot",
    "mint_a",
    "mint_b",
    "mint_in",
    "mint_out",
    "amount_in",
    "amount_out",
    "decimals_in",
    "decimals_out",
    "price",
    "volume_a",
    "volume_b",
    "fee",
    "failed",
    "observed_at",
)


@dataclass(frozen=True)
class LedgerCursor:
    """How far an address has been followed.

    Attributes
    ----------
    slot, signature : int, str
        Newest transaction that is stored.
    previous_slot : int
        Where the look before the last one began.
    followed_from : datetime or None
        Time of the oldest transaction read; None where the ledger was read from its beginning.
    followed_to : datetime or None
        Chain time up to which everything listed has been read.
    """

    slot: int
    signature: str
    previous_slot: int
    followed_from: datetime | None
    followed_to: datetime | None


@dataclass(frozen=True)
class StoredGap:
    """A listed transaction that no node serves; ``claims`` as (endpoint, claim)."""

    address: str
    signature: str
    slot: int
    state: str
    claims: Sequence[Sequence[str]]
    looks: int
    problem: str
    block_time: datetime | None


@contextmanager
def following(conn: Connection, address: str) -> Iterator[bool]:
    """Whether this session alone follows the address while the block runs."""
    row = conn.execute(
        "select pg_try_advisory_lock(hashtextextended(%s, 7302))", (address,)
    ).fetchone()
    assert row is not None
    try:
        yield bool(row[0])
    finally:
        if row[0]:
            conn.execute("select pg_advisory_unlock(hashtextextended(%s, 7302))", (address,))


def cursor_of(conn: Connection, address: str) -> LedgerCursor | None:
    """How far the address has been followed; None before its first look."""
    with conn.cursor(row_factory=class_row(LedgerCursor)) as cursor:
        return cursor.execute(
            "select slot, signature, previous_slot, followed_from, followed_to "
            "from chain.ledger_cursors where address = %s",
            (address,),
        ).fetchone()


def signatures_from(conn: Connection, address: str, slot: int) -> set[str]:
    """Signatures of the address at or above a slot that need not be asked for again.

    Those that are known as gaps are among them: gaps are revisited by themselves.
    """
    rows = conn.execute(
        """
        select signature from chain.ledger_transactions where address = %(address)s
            and slot >= %(slot)s
        union
        select signature from chain.ledger_gaps where address = %(address)s and slot >= %(slot)s
        """,
        {"address": address, "slot": slot},
    )
    return {row[0] for row in rows}


def save_look(
    conn: Connection,
    address: str,
    *,
    transactions: Sequence[Mapping[str, Any]],
    swaps: Sequence[Mapping[str, Any]],
    gaps: Sequence[StoredGap] = (),
    cursor: LedgerCursor | None = None,
) -> int:
    """Store transactions of an address, their swaps and gaps, and move its cursor: all or nothing.

    A transaction that is stored already is left as it is; the cursor never moves back.

    Parameters
    ----------
    transactions : sequence of mappings
        ``signature, slot, outcome, observed_at``.
    swaps : sequence of mappings
        `SWAP_COLUMNS`.
    gaps : sequence of StoredGap
        New or revisited ones.
    cursor : LedgerCursor, optional

    Returns
    -------
    int
        Swaps that are new.
    """
    with conn.transaction():
        bulk.upsert(
            conn,
            "chain.ledger_transactions",
            [{"address": address, **one} for one in transactions],
            conflict=("address", "signature"),
            update=("slot", "outcome", "observed_at"),
        )
        written = bulk.upsert(
            conn,
            "public.swaps",
            [{name: one[name] for name in SWAP_COLUMNS} for one in swaps],
            conflict=("signature", "pool"),
            update=SWAP_COLUMNS[2:],
        )
        _save_gaps(conn, gaps)
        conn.execute(
            """
            update chain.ledger_gaps set served_at = now(), last_seen = now()
            where address = %s and signature = any (%s) and served_at is null
            """,
            (address, [one["signature"] for one in transactions]),
        )
        if cursor is not None:
            _move(conn, address, cursor)
    return written.inserted


def _save_gaps(conn: Connection, gaps: Iterable[StoredGap]) -> None:
    for one in gaps:
        conn.execute(
            """
            insert into chain.ledger_gaps as g
                (address, signature, slot, state, claims, looks, problem, block_time)
            values (%s, %s, %s, %s, %s, %s, %s, %s)
            on conflict (address, signature) do update set
                state = excluded.state, claims = excluded.claims, looks = excluded.looks,
                problem = excluded.problem, last_seen = now()
            where g.served_at is null
            """,
            (
                one.address,
                one.signature,
                one.slot,
                one.state,
                Jsonb([list(claim) for claim in one.claims]),
                one.looks,
                one.problem,
                one.block_time,
            ),
        )


def _move(conn: Connection, address: str, cursor: LedgerCursor) -> None:
    conn.execute(
        """
        insert into chain.ledger_cursors as c
            (address, slot, signature, previous_slot, followed_from, followed_to)
        values (%s, %s, %s, %s, %s, %s)
        on conflict (address) do update set
            slot = excluded.slot, signature = excluded.signature,
            previous_slot = excluded.previous_slot,
            followed_to = greatest(c.followed_to, excluded.followed_to), updated_at = now()
        where (c.slot, c.signature) <= (excluded.slot, excluded.signature)
        """,
        (
            address,
            cursor.slot,
            cursor.signature,
            cursor.previous_slot,
            cursor.followed_from,
            cursor.followed_to,
        ),
    )


def open_gaps(conn: Connection, addresses: Iterable[str], limit: int) -> list[StoredGap]:
    """Gaps to ask for again, those first that were not looked at for longest."""
    with conn.cursor(row_factory=class_row(StoredGap)) as cursor:
        return cursor.execute(
            """
            select address, signature, slot, state, claims, looks, problem, block_time
            from chain.ledger_gaps
            where served_at is null and state <> 'skipped_confirmed' and address = any (%s)
            order by last_seen, slot, signature limit %s
            """,
            (sorted(addresses), limit),
        ).fetchall()


def gap_counts(conn: Connection) -> dict[str, int]:
    """Unserved gaps by state."""
    rows = conn.execute(
        "select state, count(*) from chain.ledger_gaps where served_at is null group by 1"
    )
    return dict(rows.fetchall())


def swaps_of(conn: Connection, pool: str, since: datetime | None = None) -> list[dict[str, Any]]:
    """Swaps of a pool whose block time is known, failed ones included, oldest first."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select * from public.swaps
            where pool = %(pool)s and (%(since)s::timestamptz is null or observed_at >= %(since)s)
            order by slot, signature
            """,
            {"pool": pool, "since": since},
        ).fetchall()


@dataclass(frozen=True)
class BarWindow:
    """Which bars of a pool are to be made (again).

    Attributes
    ----------
    start : datetime or None
        Block time of the oldest swap that no bar has seen, or where the last bars ended; None
        where nothing is new.
    followed_from, followed_to : datetime or None
        See `LedgerCursor`.
    """

    start: datetime | None
    followed_from: datetime | None
    followed_to: datetime | None


def bar_window(conn: Connection, pool: str) -> BarWindow | None:
    """What of a pool has changed since its bars were made; None where it is not followed.

    Swaps recorded up to an hour before the last bars count as new: their transaction may have
    been open while those were made.
    """
    with conn.cursor(row_factory=class_row(BarWindow)) as cursor:
        return cursor.execute(
            """
            select least(c.bars_to, (
                       select min(s.observed_at) from public.swaps as s
                       where s.pool = c.address and s.recorded_at
                           >= coalesce(c.bars_made_at - interval '1 hour', '-infinity'))
                   ) as start, c.followed_from, c.followed_to
            from chain.ledger_cursors as c where c.address = %s
            """,
            (pool,),
        ).fetchone()


def bars_made(conn: Connection, pool: str, until: datetime) -> None:
    """Note up to when bars were made; in the transaction that stores them."""
    conn.execute(
        "update chain.ledger_cursors set bars_to = %s, bars_made_at = now() where address = %s",
        (until, pool),
    )
