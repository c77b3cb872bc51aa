"""Account dumps of the shapes found in the wild, put on the chain under one address each."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from portfolio_platform.localnet.chain import Chain
from portfolio_platform.localnet.kinds import derived_address, recognise, usual_owner
from portfolio_platform.localnet.tokens import demo_key


class DumpError(ValueError):
    """A directory of dumps that cannot be served; the text names the file."""


@dataclass(frozen=True)
class Dump:
    """One account dump as its file states it; None for what the file does not say."""

    path: Path
    pubkey: str | None
    owner: str | None
    slot: int | None
    lamports: int
    executable: bool
    data: bytes


def _valid_key(text: Any) -> str | None:
    if not isinstance(text, str):
        return None
    try:
        return str(Pubkey.from_string(text))
    except ValueError:
        return None


def read_dump(path: Path) -> Dump | None:
    """Read one file; None when it is JSON that holds no account.

    Shapes: ``{pubkey, account: {data: [base64, "base64"], owner, ...}}``, ``{data: base64, owner,
    ...}`` without an address, the flat ``{pubkey, slot, owner, data, ...}``, and raw ``.bin``.
    """
    if path.suffix == ".bin":
        return Dump(path, _valid_key(path.stem), None, None, 0, False, path.read_bytes())
    try:
        body = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise DumpError(f"{path}: not valid JSON: {error}") from error
    account = body.get("account", body) if isinstance(body, dict) else None
    if not isinstance(account, dict) or "data" not in account or "owner" not in account:
        return None
    text = account["data"]
    if isinstance(text, list):
        if len(text) != 2 or text[1] != "base64":
            raise DumpError(f"{path}: data is encoded as {text[1:]!r}, expected base64")
        text = text[0]
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError, TypeError) as error:
        raise DumpError(f"{path}: data is not base64: {error}") from error
    owner = _valid_key(account["owner"])
    if owner is None:
        raise DumpError(f"{path}: owner {account['owner']!r} is not a public key")
    slot = body.get("slot")
    return Dump(
        path,
        _valid_key(body.get("pubkey")),
        owner,
        slot if isinstance(slot, int) else None,
        int(account.get("lamports", 0)),
        bool(account.get("executable", False)),
        data,
    )


def find_dumps(directory: Path) -> Iterator[Dump]:
    """Every dump below a directory, in path order."""
    if not directory.is_dir():
        raise DumpError(f"{directory} is not a directory")
    for path in sorted(directory.rglob("*")):
        if path.suffix in (".json", ".bin") and path.is_file():
            dump = read_dump(path)
            if dump is not None:
                yield dump


def load_dumps(chain: Chain, directories: list[Path]) -> list[dict[str, Any]]:
    """Write every dump to the chain and say where each file went.

    A file without an address gets the one that its contents or its folder prove (tick and bin
    arrays, the parts of a DLMM pair), otherwise one derived from its path. Where two files claim
    one address with different bytes, the first keeps it and the others get derived addresses, with
    `claims` naming what they said.
    """
    rows: list[dict[str, Any]] = []
    for directory in directories:
        for dump in find_dumps(directory):
            rows.append(_place(chain, directory, dump))
    return rows


def _place(chain: Chain, directory: Path, dump: Dump) -> dict[str, Any]:
    name = dump.path.relative_to(directory).as_posix()
    claimed = dump.pubkey or derived_address(dump.path, dump.data)
    owner = dump.owner or usual_owner(dump.path, dump.data)
    address = claimed or str(demo_key("dump", name))
    present = chain.read(address)
    taken = present is not None and bytes(present.data) != dump.data
    if taken:
        address = str(demo_key("dump", str(directory.name), name))
    chain.write(address, owner, dump.data, dump.lamports, dump.executable)
    kind = recognise(owner, dump.data)
    return {
        "file": name,
        "path": str(dump.path),
        "pubkey": address,
        "claims": claimed if taken else None,
        "stated": dump.pubkey is not None and not taken,
        "owner": owner,
        "owner_stated": dump.owner is not None,
        "slot": dump.slot,
        "length": len(dump.data),
        "kind": None if kind is None else kind.kind,
        "role": None if kind is None else kind.role,
    }
