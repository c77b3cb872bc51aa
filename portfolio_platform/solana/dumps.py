"""Account dumps on disk, in the shapes that tools write them.

- ``{"pubkey", "account": {"data": [b64, "base64"], "owner", "lamports", …}}`` (Solana CLI)
- ``{"data": b64, "owner", "rent_epoch", …}`` without a key
- ``{"pubkey", "slot", "owner", "lamports", "data": b64}``
- a raw file of the data alone (``.bin``), whose stem may be the key
- the JSON-RPC reply of getAccountInfo
"""

import base64
import binascii
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from portfolio_platform.solana.layouts import InvalidPubkey, is_key, key_bytes

MAX_ACCOUNT_BYTES = 10 * 1024 * 1024


class DumpError(ValueError):
    """A file that does not hold an account; the text names the file and what is wrong."""

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class NotAnAccount(DumpError):
    """Valid JSON of something other than an account."""


class TruncatedDump(DumpError):
    """The data ends before the account does."""


@dataclass(frozen=True, slots=True)
class Dump:
    """One account as a file holds it; what the file does not say is None."""

    path: Path
    pubkey: str | None
    owner: str | None
    lamports: int | None
    slot: int | None
    data: bytes

    @property
    def sha256(self) -> str:
        """Hex digest of the account's bytes."""
        return hashlib.sha256(self.data).hexdigest()


def load_dump(path: Path | str) -> Dump:
    """Read one account dump of any known shape.

    Raises
    ------
    DumpError
        Unreadable file, bad JSON, bad or truncated base64, not an account, invalid keys.
    """
    path = Path(path)
    try:
        body = path.read_bytes()
    except OSError as error:
        raise DumpError(path, f"cannot be read: {error.strerror or error}") from error
    if path.suffix != ".json":
        key = path.stem.split(".")[-1]
        return Dump(path, key if is_key(key) else None, None, None, None, body)
    return account_from_json(path, read_json(path, body))


def read_json(path: Path, body: bytes) -> Any:
    """Parsed JSON of a dump; DumpError says where it breaks."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DumpError(path, f"is not valid JSON: {error}") from error


def account_from_json(path: Path, parsed: Any) -> Dump:
    """The account in parsed JSON; DumpError for anything else."""
    slot = None
    if isinstance(parsed, dict) and isinstance(parsed.get("result"), dict):
        result = parsed["result"]
        if not isinstance(result.get("value"), dict) or "data" not in result["value"]:
            raise NotAnAccount(path, "is a JSON-RPC reply without an account in it")
        context = result.get("context")
        slot = context.get("slot") if isinstance(context, dict) else None
        parsed = result["value"]
    if not isinstance(parsed, dict):
        raise NotAnAccount(path, f"holds a JSON {type(parsed).__name__}, not an account")
    account = parsed.get("account", parsed)
    if not isinstance(account, dict) or "data" not in account:
        raise NotAnAccount(path, "has no account data")
    data = _data(path, account["data"])
    space = account.get("space")
    if isinstance(space, int) and not isinstance(space, bool) and space != len(data):
        raise TruncatedDump(path, f"says {space} bytes of data but holds {len(data)}")
    return Dump(
        path=path,
        pubkey=_key(path, parsed.get("pubkey"), "pubkey"),
        owner=_key(path, account.get("owner"), "owner"),
        lamports=_count(path, account.get("lamports"), "lamports"),
        slot=_count(path, parsed.get("slot", slot), "slot"),
        data=data,
    )


def _data(path: Path, field: Any) -> bytes:
    encoding = "base64"
    if isinstance(field, list):
        if not 1 <= len(field) <= 2:
            raise DumpError(path, f"account data is a list of {len(field)} items")
        if len(field) == 2:
            encoding = str(field[1])
        field = field[0]
    if not isinstance(field, str):
        raise DumpError(path, f"account data is a JSON {type(field).__name__}, not base64 text")
    if encoding != "base64":
        raise DumpError(path, f"account data is encoded as {encoding}, expected base64")
    try:
        data = base64.b64decode(field, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TruncatedDump(path, f"account data is not complete base64: {error}") from error
    if len(data) > MAX_ACCOUNT_BYTES:
        raise DumpError(path, f"{len(data)} bytes exceed the largest possible account")
    return data


def _key(path: Path, value: Any, what: str) -> str | None:
    if value is None:
        return None
    try:
        key_bytes(value)
    except InvalidPubkey as error:
        raise DumpError(path, f"{what}: {error}") from error
    return str(value)


def _count(path: Path, value: Any, what: str) -> int | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**64:
        raise DumpError(path, f"{what} is {value!r}, expected an unsigned 64-bit integer")
    return value


def iter_dumps(directory: Path | str) -> Iterator[Dump | DumpError]:
    """Every ``.json`` and ``.bin`` below ``directory``, in name order; errors are yielded."""
    for path in sorted(Path(directory).rglob("*")):
        if path.suffix in (".json", ".bin") and path.is_file():
            try:
                yield load_dump(path)
            except DumpError as error:
                yield error
