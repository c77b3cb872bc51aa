"""Many accounts of a program become columns; one bad entry has a name."""

import asyncio
import base64
import json
from typing import Any

import msgspec
import pytest

from portfolio_platform.solana.layouts import key_bytes, key_text, programs, spl_token, whirlpool
from portfolio_platform.solana.rpc import PoolSettings, RpcPool
from portfolio_platform.solana.rpc.replies import (
    BadBody,
    parse_accounts,
    parse_envelope,
    parse_socket_message,
)
from portfolio_platform.solana.scan import AccountColumns, parse_scan, scan_program
from portfolio_platform.solana.snapshot import fetch_snapshot
from portfolio_platform_tests.solana.conftest import LocalChain

RAW = spl_token.TOKEN_ACCOUNT.pack(mint=bytes(range(32)), amount=2**64 - 1, state=1)
TEXT = base64.b64encode(RAW).decode()


def test_the_pools_of_a_program_are_found_whole(chain: LocalChain, impatient: PoolSettings) -> None:
    async def main() -> tuple[AccountColumns, dict[str, bytes]]:
        async with RpcPool([chain.rpc_url], impatient) as pool:
            found = await scan_program(pool, programs.ORCA_WHIRLPOOL, whirlpool.POOL)
            snapshot = await fetch_snapshot(pool, found.pubkeys)
            return found, {one.pubkey: one.data for one in snapshot.accounts}

    found, data = asyncio.run(main())
    assert len(found) > 1
    listed = {one.pubkey for one in chain.universe.by_role("pool")}
    assert set(found.pubkeys) <= listed
    for key, row in zip(found.pubkeys, found.rows, strict=True):
        assert row.tobytes() == data[key]


def test_a_filter_narrows_a_scan(chain: LocalChain, impatient: PoolSettings) -> None:
    wallet = chain.universe.by_role("wallet")[0].pubkey

    async def main() -> AccountColumns:
        async with RpcPool([chain.rpc_url], impatient) as pool:
            return await scan_program(
                pool, programs.SPL_TOKEN, spl_token.TOKEN_ACCOUNT, equal={32: key_bytes(wallet)}
            )

    found = asyncio.run(main())
    assert len(found) > 1
    assert {key_text(row.tobytes()) for row in found.rows["owner"]} == {wallet}


def scan(*data: Any) -> bytes:
    value = [{"pubkey": "p", "account": {"data": one, "owner": "o"}} for one in data]
    return json.dumps({"context": {"slot": 3}, "value": value}).encode()


def test_amounts_of_64_bits_stay_exact() -> None:
    found = parse_scan(scan([TEXT, "base64"], [TEXT, "base64"]), spl_token.TOKEN_ACCOUNT)
    assert found.rows["amount"].tolist() == [2**64 - 1] * 2
    assert found.slot == 3
    assert len(parse_scan(scan(), spl_token.TOKEN_ACCOUNT)) == 0


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"{}",
        scan([TEXT[:-4], "base64"]),
        scan([TEXT, "base64"], [TEXT[:-1], "base64"]),
        scan([TEXT, "base58"]),
        scan(["%" * 220, "base64"]),
        scan(TEXT),
        scan([TEXT, "base64"])[:-5],
    ],
)
def test_a_scan_that_is_not_whole_is_refused(body: bytes) -> None:
    with pytest.raises(BadBody):
        parse_scan(body, spl_token.TOKEN_ACCOUNT)


def entry(**change: Any) -> dict[str, Any]:
    return {"data": [TEXT, "base64"], "owner": programs.SPL_TOKEN, "lamports": 1} | change


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ("text", "malformed account entry"),
        ({}, "malformed account entry"),
        (entry(data=[TEXT]), "malformed account entry"),
        (entry(data=[TEXT[:-1], "base64"]), "malformed account entry"),
        (entry(data=[TEXT, "base58"]), "encoded as 'base58'"),
        (entry(owner="nonsense"), "owner is not a public key"),
        (entry(lamports=-1), "-1 lamports"),
        (entry(lamports=2**64), "lamports"),
        (None, "does not exist"),
    ],
)
def test_one_bad_entry_leaves_the_others_readable(bad: Any, says: str) -> None:
    body = json.dumps({"context": {"slot": 5}, "value": [entry(), bad, entry()]}).encode()
    slot, (first, second, third) = parse_accounts(msgspec.Raw(body), 3)
    assert slot == 5
    assert first.data == third.data == RAW
    assert first.error is None
    assert says in (second.error or "")
    assert second.data == b""


@pytest.mark.parametrize(
    "body",
    [
        {"context": {"slot": 5}, "value": [entry()]},
        {"context": {"slot": -5}, "value": [entry(), entry()]},
        {"context": {}, "value": [entry(), entry()]},
        {"value": [entry(), entry()]},
        [],
        None,
    ],
)
def test_a_reply_of_another_shape_is_malformed_as_a_whole(body: Any) -> None:
    with pytest.raises(BadBody):
        parse_accounts(msgspec.Raw(json.dumps(body).encode()), 2)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "<html>",
        '{"jsonrpc":"2.0","id":"1"}',
        '{"jsonrpc":"2.0","id":"2","result":1}',
        '{"jsonrpc":"2.0","id":null,"result":1}',
        '{"jsonrpc":"1.0","id":"1","result":1}',
        '{"jsonrpc":"2.0","id":"1","result":1,"error":{"code":1}}',
        '{"jsonrpc":"2.0","id":"1","error":{"code":"x"}}',
        '{"jsonrpc":"2.0","id":"1","result":[1,2',
    ],
)
def test_a_body_that_is_no_answer_is_refused(body: str) -> None:
    with pytest.raises(BadBody):
        parse_envelope(body, "1")


def test_a_null_result_is_an_answer() -> None:
    found = parse_envelope('{"jsonrpc":"2.0","id":1,"result":null,"extra":[1]}', "1")
    assert bytes(found.result) == b"null"  # type: ignore[arg-type]


def test_a_socket_message_is_read_or_refused() -> None:
    assert parse_socket_message('{"jsonrpc":"2.0","result":7,"id":1}').result == 7
    for body in ("", "[]", "{", '{"params":{"subscription":"x"}}'):
        with pytest.raises(BadBody):
            parse_socket_message(body)
