"""Confirmed transactions as getTransaction returns them, reduced to what moved."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from portfolio_platform.solana.base58 import b58decode, is_signature
from portfolio_platform.solana.decoded import MAX_DECIMALS
from portfolio_platform.solana.layouts import is_key

_YEAR_9999 = 253_402_300_800
# A transaction has 1,232 bytes and an inner instruction at most 10 KiB; base58 is slow beyond.
_LONGEST_DATA = 14_336


class NotATransaction(ValueError):
    """Something else than a getTransaction result; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class TokenChange:
    """A token account's balance before and after, in base units."""

    account: str
    mint: str
    owner: str | None
    decimals: int
    before: int
    after: int

    @property
    def delta(self) -> int:
        """Base units gained (positive) or lost."""
        return self.after - self.before


@dataclass(frozen=True, slots=True)
class Instruction:
    """A top-level or inner instruction."""

    program: str
    accounts: tuple[str, ...]
    data: bytes
    depth: int


@dataclass(frozen=True, slots=True)
class Transaction:
    """What one transaction did to balances.

    Attributes
    ----------
    error : str or None
        The ledger's error; such a transaction moved nothing but its fee.
    tokens : mapping of token account to TokenChange
    lamports : mapping of account to (before, after)
    instructions : tuple of Instruction
        In execution order, inner ones after their parent with a greater depth.
    """

    signature: str
    slot: int
    block_time: datetime | None
    version: str
    error: str | None
    fee: int
    signers: frozenset[str]
    tokens: Mapping[str, TokenChange]
    lamports: Mapping[str, tuple[int, int]]
    instructions: tuple[Instruction, ...]


def parse_transaction(raw: Any) -> Transaction:
    """Read a getTransaction result (``encoding=json`` or ``jsonParsed``), v0 or legacy.

    Accepts the bare result, a JSON-RPC envelope around it, or a list of one.

    Raises
    ------
    NotATransaction
    """
    if isinstance(raw, list):
        if len(raw) != 1:
            raise NotATransaction(f"not a transaction: a list of {len(raw)} items")
        raw = raw[0]
    if isinstance(raw, dict) and "result" in raw and "transaction" not in raw:
        raw = raw["result"]
    if not isinstance(raw, dict):
        raise NotATransaction(f"not a transaction: a JSON {type(raw).__name__}")
    for name in ("slot", "meta", "transaction"):
        if name not in raw:
            raise NotATransaction(f"not a transaction: it has no {name!r}")
    meta, envelope = raw["meta"], raw["transaction"]
    if isinstance(envelope, list):
        raise NotATransaction("the transaction is encoded as bytes; ask for encoding=json")
    if not isinstance(meta, dict):
        raise NotATransaction("the node kept no metadata of this transaction")
    try:
        return _parse(raw, meta, envelope)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise NotATransaction(f"not a transaction: malformed at {error}") from error


def _parse(raw: dict[str, Any], meta: dict[str, Any], envelope: dict[str, Any]) -> Transaction:
    message = envelope["message"]
    signatures = envelope["signatures"]
    if not signatures or not is_signature(signatures[0]):
        raise NotATransaction("not a transaction: its signature is not base58 of 64 bytes")
    keys, signers = _keys(message, meta)
    error = meta.get("err")
    return Transaction(
        signature=signatures[0],
        slot=_count(raw["slot"], "slot"),
        block_time=_moment(raw.get("blockTime")),
        version=str(raw.get("version", "legacy")),
        error=None if error is None else _error_text(error),
        fee=_count(meta.get("fee", 0), "fee"),
        signers=frozenset(signers),
        tokens=_token_changes(meta, keys),
        lamports={
            key: (_count(before, "balance"), _count(after, "balance"))
            for key, before, after in zip(
                keys, meta.get("preBalances") or (), meta.get("postBalances") or (), strict=False
            )
        },
        instructions=tuple(_instructions(message, meta, keys)),
    )


def _error_text(error: Any) -> str:
    return error if isinstance(error, str) else str(error)[:200]


def _count(value: Any, what: str, limit: int = 2**64) -> int:
    """An unsigned integer of the ledger; nothing here is negative or wider than 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < limit:
        raise NotATransaction(f"not a transaction: {what} is {str(value)[:50]!r}")
    return value


def _key_at(keys: Sequence[str], index: Any, what: str) -> str:
    """The key of an index. A negative one would count from the end and name another account."""
    return keys[_count(index, what, len(keys))]


def _moment(seconds: Any) -> datetime | None:
    if not seconds:
        return None
    return datetime.fromtimestamp(_count(seconds, "blockTime", _YEAR_9999), UTC)


def _keys(message: Mapping[str, Any], meta: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """All account keys in index order (looked-up ones last), and the signers."""
    keys: list[str] = []
    signers: list[str] = []
    from_tables = False
    for entry in message["accountKeys"]:
        if isinstance(entry, str):
            keys.append(entry)
        else:
            keys.append(entry["pubkey"])
            from_tables = from_tables or entry.get("source") == "lookupTable"
            if entry.get("signer"):
                signers.append(entry["pubkey"])
    if not signers:
        signers = keys[: _count(message["header"]["numRequiredSignatures"], "signatures")]
    if not from_tables:
        loaded = meta.get("loadedAddresses") or {}
        keys += [*loaded.get("writable", ()), *loaded.get("readonly", ())]
    for key in keys:
        _key(key, "account key")
    return keys, signers


def _amount(entry: Mapping[str, Any]) -> int:
    text = entry["uiTokenAmount"]["amount"]
    if not isinstance(text, str) or not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise NotATransaction(f"not a transaction: token amount {str(text)[:50]!r}")
    return _count(int(text), "token amount")


def _key(value: Any, what: str) -> str:
    if not is_key(value):
        raise NotATransaction(f"not a transaction: {what} {str(value)[:50]!r}")
    return str(value)


def _token_changes(meta: Mapping[str, Any], keys: Sequence[str]) -> dict[str, TokenChange]:
    before = {entry["accountIndex"]: entry for entry in meta.get("preTokenBalances") or ()}
    after = {entry["accountIndex"]: entry for entry in meta.get("postTokenBalances") or ()}
    changes = {}
    for index in sorted(before.keys() | after.keys()):
        entry = after.get(index) or before[index]
        account, owner = _key_at(keys, index, "accountIndex"), entry.get("owner")
        changes[account] = TokenChange(
            account=account,
            mint=_key(entry["mint"], "mint"),
            owner=None if owner is None else _key(owner, "owner"),
            decimals=_count(entry["uiTokenAmount"]["decimals"], "decimals", MAX_DECIMALS + 1),
            before=_amount(before[index]) if index in before else 0,
            after=_amount(after[index]) if index in after else 0,
        )
    return changes


def _instructions(
    message: Mapping[str, Any], meta: Mapping[str, Any], keys: Sequence[str]
) -> list[Instruction]:
    inner = {group["index"]: group["instructions"] for group in meta.get("innerInstructions") or ()}
    found = []
    for index, entry in enumerate(message["instructions"]):
        found.append(_instruction(entry, keys, 1))
        found += [
            _instruction(one, keys, _count(one.get("stackHeight") or 2, "stackHeight"))
            for one in inner.get(index, ())
        ]
    return found


def _instruction(entry: Mapping[str, Any], keys: Sequence[str], depth: int) -> Instruction:
    if "programIdIndex" not in entry:  # jsonParsed: accounts are keys, or were parsed away
        accounts = tuple(str(key) for key in entry.get("accounts", ()))
        return Instruction(str(entry["programId"]), accounts, _data(entry), depth)
    return Instruction(
        program=_key_at(keys, entry["programIdIndex"], "programIdIndex"),
        accounts=tuple(_key_at(keys, account, "account") for account in entry["accounts"]),
        data=_data(entry),
        depth=depth,
    )


def _data(entry: Mapping[str, Any]) -> bytes:
    # Some nodes leave the data out; that must not lose the whole transaction.
    text = entry.get("data") or ""
    if len(text) > _LONGEST_DATA:
        return b""
    try:
        return b58decode(text)
    except (ValueError, TypeError):
        return b""
