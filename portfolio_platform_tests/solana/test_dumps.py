"""Account dumps of every shape, and files that are none."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from portfolio_platform.solana.dumps import (
    DumpError,
    NotAnAccount,
    TruncatedDump,
    iter_dumps,
    load_dump,
)
from portfolio_platform.solana.inspect import describe_file
from portfolio_platform.solana.layouts import key_text, programs, spl_token

DATA = spl_token.MINT.pack(initialized=1, decimals=6, supply=12_345_678)
TEXT = base64.b64encode(DATA).decode()
KEY = key_text(bytes(range(32)))
OWNER = programs.SPL_TOKEN

SHAPES: dict[str, Any] = {
    "cli": {
        "pubkey": KEY,
        "account": {"data": [TEXT, "base64"], "owner": OWNER, "lamports": 7, "space": 82},
    },
    "bare": {"data": TEXT, "owner": OWNER, "rent_epoch": 2**64 - 1, "lamports": 7},
    "flat": {"pubkey": KEY, "slot": 5, "owner": OWNER, "lamports": 7, "data": TEXT},
    "reply": {
        "jsonrpc": "2.0",
        "id": 1,
        "result": {
            "context": {"slot": 5},
            "value": {"data": [TEXT, "base64"], "owner": OWNER, "lamports": 7},
        },
    },
}


def write(folder: Path, body: Any, name: str = "dump.json") -> Path:
    path = folder / name
    path.write_bytes(body if isinstance(body, bytes) else json.dumps(body).encode())
    return path


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_holds_the_same_account(tmp_path: Path, shape: str) -> None:
    path = write(tmp_path, SHAPES[shape])
    dump = load_dump(path)
    assert (dump.data, dump.owner, dump.lamports) == (DATA, OWNER, 7)
    assert dump.pubkey == (KEY if shape in ("cli", "flat") else None)
    assert dump.slot == (5 if shape in ("flat", "reply") else None)
    shown = describe_file(path)
    assert shown["kind"] == "spl_mint"
    assert shown["values"]["supply_raw"] == 12_345_678
    assert shown["values"]["supply"] == 12.345678
    json.dumps(shown)


def test_a_raw_file_is_named_by_its_key(tmp_path: Path) -> None:
    assert load_dump(write(tmp_path, DATA, f"{KEY}.bin")).pubkey == KEY
    assert load_dump(write(tmp_path, DATA, "mint.bin")).pubkey is None
    assert describe_file(tmp_path / "mint.bin")["kind"] == "spl_mint"


def account(**change: Any) -> Any:
    return {"pubkey": KEY, "account": SHAPES["cli"]["account"] | change}


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (b"", DumpError, "not valid JSON"),
        (b"{", DumpError, "not valid JSON"),
        (b"\xff\xfe", DumpError, "not valid JSON"),
        (b"[" * 100_000, DumpError, "not valid JSON"),
        (account(data=[TEXT[:-3], "base64"]), TruncatedDump, "not complete base64"),
        (account(data=[TEXT[:-4], "base64"]), TruncatedDump, "says 82 bytes"),
        (account(data=["%%%", "base64"]), TruncatedDump, "not complete base64"),
        (account(data=[TEXT, "base58"]), DumpError, "encoded as base58"),
        (account(data=[]), DumpError, "list of 0"),
        (account(data=5), DumpError, "not base64 text"),
        (account(owner="nonsense"), DumpError, "owner"),
        (account(lamports=-1), DumpError, "lamports"),
        (account(lamports="7"), DumpError, "lamports"),
        ({"pubkey": "O" * 44, "account": SHAPES["cli"]["account"]}, DumpError, "pubkey"),
        ({"hello": 1}, NotAnAccount, "no account data"),
        ("a string", NotAnAccount, "JSON str"),
        ({"result": {"value": None}}, NotAnAccount, "without an account"),
    ],
)
def test_what_is_no_account_says_why(
    tmp_path: Path, body: Any, error: type[DumpError], says: str
) -> None:
    path = write(tmp_path, body)
    with pytest.raises(error, match=says) as raised:
        load_dump(path)
    assert str(path) in str(raised.value)
    assert "refused" in describe_file(path)


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DumpError, match="cannot be read"):
        load_dump(tmp_path / "absent.json")
    assert "cannot be read" in describe_file(tmp_path / "absent.json")["refused"]
    assert "cannot be read" in describe_file(tmp_path / "absent.bin")["refused"]


def test_one_bad_file_does_not_hide_the_others(tmp_path: Path) -> None:
    write(tmp_path, SHAPES["cli"], "a.json")
    write(tmp_path, b"{", "b.json")
    write(tmp_path, DATA, "c.bin")
    write(tmp_path, b"text", "README.md")
    found = list(iter_dumps(tmp_path))
    assert [isinstance(one, DumpError) for one in found] == [False, True, False]


def test_a_token_account_is_scaled_by_the_mint_beside_it(tmp_path: Path) -> None:
    mint = bytes(range(32))
    write(tmp_path, SHAPES["cli"], f"token.{KEY}.json")
    vault = spl_token.TOKEN_ACCOUNT.pack(mint=mint, amount=2_500_000, state=1)
    path = write(tmp_path, vault, "vault.bin")
    assert describe_file(path)["values"]["amount_tokens"] == 2.5
