"""Account dumps: four shapes, one address each, a universe from what they are."""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from solders.pubkey import Pubkey

from portfolio_platform.localnet.dumps import DumpError
from portfolio_platform.localnet.server import LocalnetOptions, build_node
from portfolio_platform.localnet.tokens import USDC_MINT, demo_key
from portfolio_platform.solana.layouts import key_bytes, programs
from portfolio_platform.solana.layouts.addresses import whirlpool_tick_array
from portfolio_platform.solana.layouts.lending import KAMINO_RESERVE
from portfolio_platform.solana.layouts.pyth import PRICE_UPDATE_V2
from portfolio_platform.solana.layouts.spl_token import MINT
from portfolio_platform.solana.layouts.whirlpool import POOL, TICK_ARRAY
from portfolio_platform_tests.localnet.launch import LaunchError, launched

NOW = datetime(2025, 11, 3, 20, 30, tzinfo=UTC)
MINT_KEY = str(demo_key("test mint"))
POOL_KEY = str(demo_key("test pool"))
SOL_FEED = bytes.fromhex("ef0d8b6fda2ceba41da15d4095d1da392a0d2f8ed0c6c7bc0f4cfac8c280b56d")


def text(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    mint = MINT.pack(decimals=6, initialized=1, supply=10**12)
    pool = POOL.pack(tick_spacing=64, mint_a=key_bytes(MINT_KEY), mint_b=key_bytes(USDC_MINT))
    ticks = TICK_ARRAY.pack(start_tick=-5632, whirlpool=key_bytes(POOL_KEY))
    reserve = KAMINO_RESERVE.pack(mint=key_bytes(USDC_MINT), available=5)
    oracle = PRICE_UPDATE_V2.pack(verification=1, feed_id=SOL_FEED, price=150)
    unknown = b"nothing that anyone knows"
    files: dict[str, Any] = {
        "a.json": {
            "pubkey": MINT_KEY,
            "account": {"data": [text(mint), "base64"], "owner": programs.SPL_TOKEN, "lamports": 7},
        },
        "b.json": {"data": text(ticks), "owner": programs.ORCA_WHIRLPOOL, "rent_epoch": 2**64 - 1},
        "c.json": {
            "pubkey": POOL_KEY,
            "slot": 377_723_091,
            "owner": programs.ORCA_WHIRLPOOL,
            "lamports": 0,
            "data": text(pool),
        },
        "list.json": [1, 2],
        "other.json": {"jsonrpc": "2.0", "result": None},
    }
    for name, body in files.items():
        (tmp_path / name).write_text(json.dumps(body))
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / f"{demo_key('oracle file')}.bin").write_bytes(oracle)
    (tmp_path / "nested" / "reserve.bin").write_bytes(reserve)
    (tmp_path / "nested" / "odd.bin").write_bytes(unknown)
    (tmp_path / "PROVENANCE.md").write_text("not an account")
    return tmp_path


def test_the_four_shapes(folder: Path) -> None:
    node = build_node(LocalnetOptions(market=False, accounts=(folder,), now=NOW))
    rows = {row["file"]: row for row in node.dumps}
    assert set(rows) == {
        "a.json",
        "b.json",
        "c.json",
        f"nested/{demo_key('oracle file')}.bin",
        "nested/reserve.bin",
        "nested/odd.bin",
    }
    assert rows["a.json"]["pubkey"] == MINT_KEY
    assert rows["b.json"]["pubkey"] == whirlpool_tick_array(POOL_KEY, -5632)
    assert rows["c.json"]["slot"] == node.chain.slot == 377_723_091
    oracle = rows[f"nested/{demo_key('oracle file')}.bin"]
    assert oracle["pubkey"] == str(demo_key("oracle file"))
    assert (oracle["owner"], oracle["owner_stated"]) == (programs.PYTH_RECEIVER, False)
    assert rows["nested/reserve.bin"]["owner"] == programs.KAMINO_LEND
    assert rows["nested/odd.bin"]["kind"] is None
    Pubkey.from_string(rows["nested/odd.bin"]["pubkey"])
    for row in rows.values():
        assert len(node.chain.data(row["pubkey"])) == row["length"]
    account = node.chain.read(POOL_KEY)
    assert account is not None
    assert account.lamports > 0
    again = build_node(LocalnetOptions(market=False, accounts=(folder,), now=NOW))
    assert [row["pubkey"] for row in again.dumps] == [row["pubkey"] for row in node.dumps]


def test_the_universe_of_the_dumps(folder: Path) -> None:
    node = build_node(LocalnetOptions(market=False, accounts=(folder,), now=NOW))
    found = {(one["role"], one["mint"]) for one in node.universe["accounts"]}
    assert found == {
        ("mint", MINT_KEY),
        ("pool", None),
        ("oracle", "So11111111111111111111111111111111111111112"),
        ("reserve", USDC_MINT),
    }
    assert [token["decimals"] for token in node.universe["tokens"]] == [6]


def test_dumps_beside_the_market_never_replace_it(folder: Path) -> None:
    body = {"pubkey": USDC_MINT, "owner": programs.SPL_TOKEN, "data": text(MINT.pack(decimals=2))}
    (folder / "usdc.json").write_text(json.dumps(body))
    node = build_node(LocalnetOptions(days=20, accounts=(folder,), now=NOW))
    row = next(row for row in node.dumps if row["file"] == "usdc.json")
    assert row["claims"] == USDC_MINT
    assert row["pubkey"] != USDC_MINT
    assert MINT.unpack(node.chain.data(USDC_MINT))["decimals"] == 6
    assert MINT.unpack(node.chain.data(row["pubkey"]))["decimals"] == 2
    symbols = [token["symbol"] for token in node.universe["tokens"]]
    assert len(symbols) == len(set(symbols)) == 13


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ("{", "not valid JSON"),
        ('{"owner": "x", "data": "AAAA"}', "public key"),
        (f'{{"owner": "{programs.SPL_TOKEN}", "data": "AAA"}}', "base64"),
        (f'{{"owner": "{programs.SPL_TOKEN}", "data": ["AAAA", "base58"]}}', "base58"),
    ],
)
def test_a_broken_dump_is_named(tmp_path: Path, body: str, word: str) -> None:
    (tmp_path / "broken.json").write_text(body)
    with pytest.raises(DumpError, match=word) as caught:
        build_node(LocalnetOptions(market=False, accounts=(tmp_path,)))
    assert "broken.json" in str(caught.value)
    with pytest.raises(LaunchError, match=r"broken\.json"), launched(accounts=[tmp_path]):
        pass


@pytest.mark.real_data
def test_every_recorded_account_is_served(real_data: Path) -> None:
    directory = real_data / "accounts"
    with launched(accounts=[directory], now=NOW) as running:
        rows = httpx.get(f"{running.rpc_url}/dumps").json()
        universe = httpx.get(running.universe).json()

        def fetch(keys: list[str]) -> dict[str, Any]:
            call = {"jsonrpc": "2.0", "id": 1, "method": "getMultipleAccounts"}
            params = [keys, {"encoding": "base64"}]
            return dict(httpx.post(running.rpc_url, json={**call, "params": params}).json())

        served: list[Any] = []
        for at in range(0, len(rows), 100):
            reply = fetch([row["pubkey"] for row in rows[at : at + 100]])["result"]
            assert reply["context"]["slot"] == 433_179_580
            served += reply["value"]
        history = httpx.get(f"{running.udf_url}/history")
    assert history.status_code == 404
    assert len(rows) > 130
    for row, account in zip(rows, served, strict=True):
        path = Path(row["path"])
        raw = base64.b64decode(account["data"][0])
        assert account["owner"] == row["owner"]
        if path.suffix == ".bin":
            assert raw == path.read_bytes()
        else:
            body = json.loads(path.read_text())
            data = body.get("account", body)["data"]
            assert text(raw) == (data[0] if isinstance(data, list) else data)
    by_file = {row["file"]: row for row in rows}
    pair = "9t3EyC9FweyL7PBWvKz3mrXg8B9fwFc9SK3QxM4ENqhd"
    assert by_file[f"meteora_dlmm/{pair}/lb_pair.bin"]["pubkey"] == pair
    tick_file = (
        "orca_whirlpool/sol_usdc_wp_ta_n28160.A2W6hiA2nf16iqtbZt9vX8FJbiXjv3DBUG3DgTja61HT.json"
    )
    assert by_file[tick_file]["pubkey"] == whirlpool_tick_array(
        "HJPjoWUrhoZzkNfRpHuieeFk9WcZWjwy6PBjZ81ngndJ", -28160
    )
    # Two files state the SOL feed account at different times: one keeps the address.
    claims = [row for row in rows if row["claims"] or row["pubkey"].startswith("7UVi")]
    assert sum(row["pubkey"].startswith("7UVi") for row in claims) == 1
    roles = {one["role"] for one in universe["accounts"]}
    assert roles == {"mint", "pool", "oracle", "reserve", "stake_pool", "wallet"}
    symbols = {token["symbol"] for token in universe["tokens"]}
    assert {"SOL", "USDC", "ORCA", "SAMO", "mSOL", "jitoSOL", "stSOL", "PYUSD"} <= symbols
