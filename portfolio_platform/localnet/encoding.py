"""Accounts as the RPC writes them: encodings, slices, filters."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from solders.account import Account
from solders.pubkey import Pubkey

from portfolio_platform.localnet.errors import INVALID_REQUEST, RpcError, invalid
from portfolio_platform.localnet.records import base58

RENT_EPOCH = 2**64 - 1
_BASE58_LIMIT = 128
_ALPHABET = {
    c: i for i, c in enumerate("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")
}
ENCODINGS = ("base58", "base64", "base64+zstd")


def parse_key(value: Any) -> str:
    """A base58 public key, or the error that a node answers."""
    if not isinstance(value, str):
        raise invalid(f"expected a public key as text, got {type(value).__name__}")
    try:
        Pubkey.from_string(value)
    except ValueError as error:
        raise RpcError(-32602, f"Invalid param: {error}") from error
    return value


def from_base58(text: str) -> bytes:
    """Bytes of base58 text."""
    number = 0
    for c in text:
        if c not in _ALPHABET:
            raise invalid(f"{c!r} is not a base58 character")
        number = number * 58 + _ALPHABET[c]
    zeros = len(text) - len(text.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")


def from_base64(text: str) -> bytes:
    """Bytes of base64 text."""
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise invalid(f"base64 decoding failed: {error}") from error


def compress(raw: bytes) -> bytes:
    """Zstandard frame of `raw`, by whichever kept library is installed."""
    try:
        import pyarrow
    except ImportError as error:
        raise RpcError(
            INVALID_REQUEST, "base64+zstd needs pyarrow on the local chain; ask for base64"
        ) from error
    return bytes(pyarrow.Codec("zstd").compress(raw, asbytes=True))


def encode_data(raw: bytes, encoding: str | None) -> Any:
    """Account data in one encoding; `None` is the legacy bare base58 text."""
    if encoding == "base64":
        return [base64.b64encode(raw).decode(), "base64"]
    if encoding == "base64+zstd":
        return [base64.b64encode(compress(raw)).decode(), "base64+zstd"]
    if encoding in (None, "base58", "binary"):
        if len(raw) > _BASE58_LIMIT:
            raise RpcError(
                INVALID_REQUEST,
                "Encoded binary (base 58) data should be less than 128 bytes, "
                "please use Base64 encoding.",
            )
        return [base58(raw), "base58"] if encoding == "base58" else base58(raw)
    raise invalid(f"encoding {encoding!r} is not served by the local chain, use one of {ENCODINGS}")


def data_slice(config: Mapping[str, Any]) -> slice | None:
    """The part of the data that the caller wants."""
    wanted = config.get("dataSlice")
    if wanted is None:
        return None
    try:
        offset, length = int(wanted["offset"]), int(wanted["length"])
    except (TypeError, KeyError, ValueError) as error:
        raise invalid("dataSlice needs integers offset and length") from error
    if offset < 0 or length < 0:
        raise invalid("dataSlice offset and length must not be negative")
    return slice(offset, offset + length)


def account_json(account: Account, config: Mapping[str, Any]) -> dict[str, Any]:
    """One account as getAccountInfo answers it; `space` is the full length of the data."""
    raw = bytes(account.data)
    part = data_slice(config)
    return {
        "data": encode_data(raw if part is None else raw[part], config.get("encoding")),
        "executable": account.executable,
        "lamports": account.lamports,
        "owner": str(account.owner),
        "rentEpoch": RENT_EPOCH,
        "space": len(raw),
    }


def parse_filters(config: Mapping[str, Any]) -> list[tuple[int, bytes] | int]:
    """Filters of getProgramAccounts: a size, or an offset and the bytes to find there."""
    filters: list[tuple[int, bytes] | int] = []
    for one in config.get("filters") or []:
        if "dataSize" in one:
            filters.append(int(one["dataSize"]))
        elif "memcmp" in one:
            wanted = one["memcmp"]
            text = wanted.get("bytes", "")
            raw = from_base64(text) if wanted.get("encoding") == "base64" else from_base58(text)
            filters.append((int(wanted["offset"]), raw))
        else:
            raise invalid(f"unknown filter {sorted(one)}")
    return filters


def matches(raw: bytes, filters: list[tuple[int, bytes] | int]) -> bool:
    """Whether account data passes all filters."""
    for one in filters:
        if isinstance(one, int):
            if len(raw) != one:
                return False
        elif raw[one[0] : one[0] + len(one[1])] != one[1]:
            return False
    return True
