"""Reading an address's transactions from the network, page by page, up to the cursor."""

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from portfolio_platform.solana.base58 import is_signature
from portfolio_platform.solana.layouts import key_bytes
from portfolio_platform.solana.ledger import (
    DEFAULT_OVERLAP_SLOTS,
    Cursor,
    Look,
    SignatureRow,
    merge_look,
)
from portfolio_platform.solana.rpc import RpcPool, Unavailable
from portfolio_platform.solana.transactions import NotATransaction, Transaction, parse_transaction

SIGNATURES_PER_PAGE = 1000
_EMPTY_PAGES_TO_STOP = 2


@dataclass(frozen=True, slots=True)
class FetchedTransaction:
    """One transaction of a look; ``problem`` says why it could not be read."""

    row: SignatureRow
    transaction: Transaction | None
    problem: str | None = None


async def look_at(
    pool: RpcPool,
    address: str,
    cursor: Cursor | None,
    stored: Callable[[int], Collection[str]],
    *,
    overlap: int = DEFAULT_OVERLAP_SLOTS,
    page: int = SIGNATURES_PER_PAGE,
    limit: int | None = None,
) -> Look:
    """Signatures of ``address`` newer than the cursor, with an overlap.

    Pages are followed backwards until they reach below the overlap, or until two empty pages in
    a row: a single short or empty page is not the end. ``until`` is not used, nodes answer it
    wrongly.

    Parameters
    ----------
    stored : callable
        Given a slot, the signatures of this address that are stored at or above it.
    limit : int, optional
        End the first look at a busy address after about so many rows; what is older is not
        followed. Looks with a cursor always reach down to it.
    """
    key_bytes(address)
    floor = cursor.floor(overlap) if cursor is not None else 0
    rows: list[SignatureRow] = []
    before: str | None = None
    seen: set[str] = set()
    empty = 0
    while empty < _EMPTY_PAGES_TO_STOP:
        options: dict[str, Any] = {"limit": page, "commitment": pool.settings.commitment}
        if before is not None:
            options["before"] = before
        answer = await pool.call("getSignaturesForAddress", [address, options])
        found = _rows(answer)
        rows += found
        fresh = {one.signature for one in found} - seen
        seen |= fresh
        # A node that ignores `before` repeats its page for ever.
        if not fresh:
            empty += 1
            continue
        empty = 0
        lowest = min(found, key=lambda one: one.slot)
        if lowest.slot < floor:
            break
        # Later looks are never cut short: that would leave a hole below the new cursor.
        if cursor is None and limit is not None and len(rows) >= limit:
            break
        before = found[-1].signature
    wanted = [one for one in rows if one.slot >= floor]
    return merge_look(wanted, stored(floor), cursor)


def _rows(answer: Any) -> list[SignatureRow]:
    if not isinstance(answer, list):
        raise Unavailable("answered no list", method="getSignaturesForAddress")
    rows = []
    for entry in answer:
        if not isinstance(entry, dict):
            raise Unavailable("a row is no object", method="getSignaturesForAddress")
        signature, slot = entry.get("signature"), entry.get("slot")
        if not is_signature(signature) or isinstance(slot, bool) or not isinstance(slot, int):
            raise Unavailable(
                f"a row names {str(signature)[:20]!r} at {slot!r}", method="getSignaturesForAddress"
            )
        error = entry.get("err")
        moment = entry.get("blockTime")
        rows.append(
            SignatureRow(
                str(signature),
                slot,
                moment if isinstance(moment, int) else None,
                None if error is None else str(error)[:200],
            )
        )
    return rows


async def fetch_transactions(
    pool: RpcPool, rows: Sequence[SignatureRow]
) -> AsyncIterator[FetchedTransaction]:
    """The transactions of a look, oldest first; an unreadable one is handed out with its reason.

    Keep the signature of an unreadable one among those to ask for again: once it lies below the
    overlap, no later look brings it back.
    """
    for row in rows:
        raw = await pool.call(
            "getTransaction",
            [
                row.signature,
                {
                    "encoding": "json",
                    "commitment": pool.settings.commitment,
                    # Without it, every v0 transaction is an error.
                    "maxSupportedTransactionVersion": 0,
                },
            ],
        )
        if raw is None:
            yield FetchedTransaction(row, None, "the node does not have it")
            continue
        try:
            transaction = parse_transaction(raw)
        except NotATransaction as error:
            yield FetchedTransaction(row, None, str(error))
            continue
        if transaction.signature != row.signature:
            yield FetchedTransaction(row, None, "the node answered with another transaction")
            continue
        yield FetchedTransaction(row, transaction)
