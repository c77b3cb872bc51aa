"""What a dump on disk holds, in plain JSON: accounts by kind, transactions by their swaps."""

from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from portfolio_platform.solana.decode import decode
from portfolio_platform.solana.decoded import Decoded, depth_quote, q64_price, whole
from portfolio_platform.solana.dumps import (
    Dump,
    DumpError,
    NotAnAccount,
    account_from_json,
    load_dump,
    read_json,
)
from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.swaps import Swap, infer_swaps
from portfolio_platform.solana.transactions import NotATransaction, Transaction, parse_transaction

KNOWN_DECIMALS = {
    programs.WRAPPED_SOL: 9,
    programs.USDC: 6,
    "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB": 6,
}


def describe_file(path: Path | str) -> dict[str, Any]:
    """Owner, kind and values of a dump, or the reason why there are none. Never raises.

    Returns
    -------
    dict
        ``{"file", "owner", "kind", "values"}`` or ``{"file", "refused"}`` (with ``owner`` and
        ``kind`` where they are known). JSON-safe.
    """
    path = Path(path)
    shown: dict[str, Any] = {"file": str(path)}
    try:
        if path.suffix == ".json":
            return shown | _json_file(path)
        return shown | _account(load_dump(path))
    except (DumpError, NotATransaction) as error:
        reason = error.reason if isinstance(error, DumpError) else str(error)
        return shown | {"refused": reason}


def describe_files(paths: Iterable[Path | str]) -> list[dict[str, Any]]:
    """:func:`describe_file` of each."""
    return [describe_file(path) for path in paths]


def _json_file(path: Path) -> dict[str, Any]:
    try:
        body = path.read_bytes()
    except OSError as error:
        raise DumpError(path, f"cannot be read: {error.strerror or error}") from error
    parsed = read_json(path, body)
    try:
        return _account(account_from_json(path, parsed))
    except NotAnAccount:
        if not _resembles_ledger(parsed):
            raise
    inner = parsed.get("result", parsed) if isinstance(parsed, dict) else parsed
    if isinstance(inner, dict) and isinstance(inner.get("transactions"), list):
        return _block(inner)
    return _transaction(parse_transaction(parsed))


def _resembles_ledger(parsed: Any) -> bool:
    """Whether refusing it as a transaction or block says more than refusing it as an account."""
    if isinstance(parsed, dict):
        inner = parsed.get("result", parsed)
        return isinstance(inner, dict) and bool(
            {"transaction", "transactions", "meta", "preTokenBalances", "innerInstructions"}
            & inner.keys()
        )
    return isinstance(parsed, list | str)


def _account(dump: Dump) -> dict[str, Any]:
    answer = decode(dump.owner, dump.data)
    shown: dict[str, Any] = {"owner": dump.owner}
    if dump.pubkey is not None:
        shown["pubkey"] = dump.pubkey
    if not isinstance(answer, Decoded):
        if answer.kind is not None:
            shown["kind"] = answer.kind
        return shown | {"refused": answer.reason}
    values = dict(answer.values)
    for name, figure in answer.derived.items():
        # Where a figure shares its name with a raw integer (supply, price), the integer moves.
        if name in values:
            values[f"{name}_raw"] = values[name]
        values[name] = figure
    if dump.lamports is not None:
        values["lamports"] = dump.lamports
    if dump.slot is not None:
        values["slot"] = dump.slot
    return shown | {"kind": answer.kind, "values": values | _scaled(dump, answer)}


def _scaled(dump: Dump, answer: Decoded) -> dict[str, Any]:
    """Prices and balances in whole tokens, where the decimals of the mints are known.

    Pools and token accounts do not carry decimals; they come from a mint dump beside the file
    whose name holds the mint's address, or from a short list of mints whose decimals never move.
    """
    value = answer.values
    if answer.kind in ("spl_token_account", "token_2022_account"):
        decimals = _decimals(dump, value["mint"])
        return {} if decimals is None else {"amount_tokens": whole(value["amount"], decimals)}
    if answer.kind == "orca_whirlpool":
        a, b = _decimals(dump, value["mint_a"]), _decimals(dump, value["mint_b"])
        if a is None or b is None:
            return {"price": None, "price_undefined": "decimals stand in the mints"}
        by_tick = answer.derived["price_raw_by_tick"] * 10.0 ** (a - b)
        price = q64_price(value["sqrt_price"], a, b)
        return {"price": price, "price_by_tick": by_tick, **_depth(value, b)}
    if answer.kind == "raydium_clmm":
        return _depth(value, value["decimals_1"])
    if answer.kind == "meteora_dlmm":
        a, b = _decimals(dump, value["mint_x"]), _decimals(dump, value["mint_y"])
        if a is None or b is None:
            return {"price": None, "price_undefined": "decimals stand in the mints"}
        return {"price": answer.derived["price_raw"] * 10.0 ** (a - b)}
    return {}


def _depth(value: Mapping[str, Any], decimals_b: int) -> dict[str, float]:
    """What a price is worth: whole quote tokens that move it by one per cent."""
    raw = depth_quote(value["sqrt_price"], value["liquidity"])
    return {"depth_100bps": raw / 10**decimals_b}


def _decimals(dump: Dump, mint: str) -> int | None:
    if mint in KNOWN_DECIMALS:
        return KNOWN_DECIMALS[mint]
    return _neighbour_decimals(dump.path.parent, mint)


@lru_cache(maxsize=512)
def _neighbour_decimals(directory: Path, mint: str) -> int | None:
    for path in sorted(directory.glob(f"*{mint}*")):
        if path.suffix not in (".json", ".bin"):
            continue
        try:
            dump = load_dump(path)
        except DumpError:
            continue
        answer = decode(dump.owner, dump.data)
        if dump.pubkey == mint and isinstance(answer, Decoded) and "decimals" in answer.values:
            return int(answer.values["decimals"])
    return None


def _transaction(transaction: Transaction) -> dict[str, Any]:
    swaps = infer_swaps(transaction)
    return {
        "owner": None,
        "kind": "transaction",
        "values": {
            "signature": transaction.signature,
            "slot": transaction.slot,
            "block_time": transaction.block_time.isoformat() if transaction.block_time else None,
            "version": transaction.version,
            "error": transaction.error,
            "fee": transaction.fee,
            "swaps": [_swap(one) for one in swaps],
        },
    }


def _swap(one: Swap) -> dict[str, Any]:
    return {
        "program": one.program,
        "vaults": one.pool,
        "mint_in": one.mint_in,
        "mint_out": one.mint_out,
        "amount_in": one.amount_in,
        "amount_out": one.amount_out,
        "amount_in_tokens": whole(one.amount_in, one.decimals_in),
        "amount_out_tokens": whole(one.amount_out, one.decimals_out),
        "price": one.price,
    }


def _only(kind: type, value: Any) -> Any:
    """`value` where it is of its kind: what else stands there is nothing to print."""
    return value if type(value) is kind else None


def _block(block: dict[str, Any]) -> dict[str, Any]:
    read, swaps, unread = 0, 0, 0
    for entry in block["transactions"]:
        try:
            parsed = parse_transaction({"slot": block.get("parentSlot", 0), **entry})
        except (NotATransaction, TypeError):
            unread += 1
            continue
        read += 1
        swaps += len(infer_swaps(parsed))
    return {
        "owner": None,
        "kind": "block",
        "values": {
            "blockhash": _only(str, block.get("blockhash")),
            "parent_slot": _only(int, block.get("parentSlot")),
            "block_time": _only(int, block.get("blockTime")),
            "transactions": len(block["transactions"]),
            "transactions_read": read,
            "transactions_unread": unread,
            "swaps": swaps,
        },
    }
