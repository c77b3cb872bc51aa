"""How fast account bytes and bodies become columns, as ratios to peers on the same data.

python benchmarks/ingestion.py [--accounts N] [--json FILE] [--no-chain]
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import gc
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from portfolio_platform.solana.layouts import (
    key_bytes,
    key_text,
    programs,
    pyth,
    raydium_amm,
    spl_token,
)
from portfolio_platform.solana.price_points import collect
from portfolio_platform.solana.prices import GateSettings, judge
from portfolio_platform.solana.rpc import PoolSettings, RpcPool
from portfolio_platform.solana.scan import parse_scan
from portfolio_platform.solana.snapshot import fetch_snapshot
from portfolio_platform.solana.universe import Token, Universe, WatchedAccount

REPEATS = 5
POOLS = 100


def best_of(work: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Seconds of the fastest run: the others measure the neighbours."""
    seconds = []
    for _ in range(repeats):
        gc.collect()
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def token_accounts(count: int) -> list[bytes]:
    """Token accounts of five mints with random owners and amounts."""
    draw = random.Random(7)
    mints = [draw.randbytes(32) for _ in range(5)]
    return [
        spl_token.TOKEN_ACCOUNT.pack(
            mint=draw.choice(mints), owner=draw.randbytes(32), amount=draw.getrandbits(40), state=1
        )
        for _ in range(count)
    ]


def construct_layout() -> Any:
    """The same account in the construct library."""
    from construct import Bytes, Int8ul, Int32ul, Int64ul, Struct

    return Struct(
        "mint" / Bytes(32),
        "owner" / Bytes(32),
        "amount" / Int64ul,
        "delegate_option" / Int32ul,
        "delegate" / Bytes(32),
        "state" / Int8ul,
        "native_option" / Int32ul,
        "native_rent" / Int64ul,
        "delegated_amount" / Int64ul,
        "close_authority_option" / Int32ul,
        "close_authority" / Bytes(32),
    )


def bench_bytes(accounts: list[bytes]) -> dict[str, Any]:
    """Bytes to three columns: mint, owner, amount."""
    from solders.token.state import TokenAccount

    layout = construct_layout()
    names = ("mint", "owner", "amount")

    def ours() -> tuple[np.ndarray, ...]:
        rows = spl_token.TOKEN_ACCOUNT.columns(accounts)
        return tuple(np.ascontiguousarray(rows[name]) for name in names)

    def solders() -> tuple[np.ndarray, ...]:
        parsed = [TokenAccount.from_bytes(raw) for raw in accounts]
        return (
            np.array([bytes(one.mint) for one in parsed], dtype="V32"),
            np.array([bytes(one.owner) for one in parsed], dtype="V32"),
            np.array([one.amount for one in parsed], dtype=np.uint64),
        )

    def solders_amounts() -> np.ndarray:
        amounts = (TokenAccount.from_bytes(raw).amount for raw in accounts)
        return np.fromiter(amounts, np.uint64, len(accounts))

    few = accounts[: max(len(accounts) // 10, 1)]

    def construct() -> tuple[np.ndarray, ...]:
        parsed = [layout.parse(raw) for raw in few]
        return (
            np.array([one.mint for one in parsed], dtype="V32"),
            np.array([one.owner for one in parsed], dtype="V32"),
            np.array([one.amount for one in parsed], dtype=np.uint64),
        )

    for mine, theirs in zip(ours(), solders(), strict=True):
        assert mine.tobytes() == theirs.tobytes()
    seconds = best_of(ours)
    return {
        "accounts": len(accounts),
        "columns_seconds": seconds,
        "solders_ratio": best_of(solders, 3) / seconds,
        # One column only: the peer builds an integer each, we still build all columns.
        "solders_one_column_ratio": best_of(solders_amounts, 3) / seconds,
        # Measured on a tenth, because it takes so long.
        "construct_ratio": best_of(construct, 2) * len(accounts) / len(few) / seconds,
    }


def scan_body(accounts: list[bytes]) -> bytes:
    """The result of getProgramAccounts over these accounts."""
    draw = random.Random(8)
    entries = [
        {
            "pubkey": key_text(draw.randbytes(32)),
            "account": {
                "data": [base64.b64encode(raw).decode(), "base64"],
                "executable": False,
                "lamports": 2_039_280,
                "owner": programs.SPL_TOKEN,
                "rentEpoch": 2**64 - 1,
                "space": 165,
            },
        }
        for raw in accounts
    ]
    return json.dumps({"context": {"apiVersion": "2.3.0", "slot": 1}, "value": entries}).encode()


def bench_body(accounts: list[bytes]) -> dict[str, Any]:
    """One JSON body to columns."""
    body = scan_body(accounts)
    dtype = spl_token.TOKEN_ACCOUNT.dtype

    def ours() -> Any:
        return parse_scan(body, spl_token.TOKEN_ACCOUNT).rows

    def plain() -> Any:
        value = json.loads(body)["value"]
        raws = [base64.b64decode(one["account"]["data"][0]) for one in value]
        return np.frombuffer(b"".join(raws), dtype=dtype)

    assert np.array_equal(ours()["amount"], plain()["amount"])
    seconds = best_of(ours)
    return {
        "body_megabytes": len(body) / 1e6,
        "columns_seconds": seconds,
        "json_loads_ratio": best_of(plain) / seconds,
    }


def write_universe(folder: Path, pools: int = POOLS) -> Universe:
    """A universe of constant-product pools with mints, vaults and oracles: five accounts each."""
    draw = random.Random(9)
    tokens, watched = [], []

    def dump(pubkey: str, owner: str, data: bytes) -> None:
        account = {"data": [base64.b64encode(data).decode(), "base64"], "owner": owner}
        account |= {"lamports": 10_000_000, "executable": False, "rentEpoch": 0}
        (folder / f"{pubkey}.json").write_text(json.dumps({"pubkey": pubkey, "account": account}))

    def mint(pubkey: str) -> None:
        data = spl_token.MINT.pack(initialized=1, decimals=6, supply=10**15)
        dump(pubkey, programs.SPL_TOKEN, data)

    def vault(pubkey: str, of: str, amount: int) -> None:
        data = spl_token.TOKEN_ACCOUNT.pack(mint=key_bytes(of), amount=amount, state=1)
        dump(pubkey, programs.SPL_TOKEN, data)

    mint(programs.USDC)
    tokens.append(Token(mint=programs.USDC, symbol="USDC", decimals=6, stable=True))
    now = int(time.time())
    for index in range(pools):
        token, base, quote, pool, oracle = (key_text(draw.randbytes(32)) for _ in range(5))
        mint(token)
        price = draw.randrange(1, 500)
        vault(base, token, 10**12)
        vault(quote, programs.USDC, price * 10**12)
        dump(
            pool,
            programs.RAYDIUM_AMM_V4,
            raydium_amm.POOL.pack(
                status=6,
                base_decimals=6,
                quote_decimals=6,
                swap_fee_numerator=25,
                swap_fee_denominator=10_000,
                base_mint=key_bytes(token),
                quote_mint=key_bytes(programs.USDC),
                base_vault=key_bytes(base),
                quote_vault=key_bytes(quote),
            ),
        )
        dump(
            oracle,
            programs.PYTH_RECEIVER,
            pyth.PRICE_UPDATE_V2.pack(
                verification=1,
                price=price * 10**8,
                confidence=10**5,
                exponent=-8,
                publish_time=now,
                posted_slot=1,
            ),
        )
        tokens.append(Token(mint=token, symbol=f"T{index}", decimals=6))
        watched.append(WatchedAccount(pubkey=pool, role="pool"))
        watched.append(WatchedAccount(pubkey=oracle, role="oracle", mint=token))
    return Universe(name="bench", tokens=tuple(tokens), accounts=tuple(watched))


def bench_snapshot() -> dict[str, Any]:
    """One snapshot of about 500 accounts from the local chain into judged prices."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory) / "accounts"
        folder.mkdir()
        universe = write_universe(folder)
        ready = Path(directory) / "ready.json"
        command = [sys.executable, "-m", "portfolio_platform.localnet", "--port", "0"]
        command += ["--accounts", str(folder), "--slot", "300", "--ready-file", str(ready)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while not (ready.exists() and ready.read_text().strip()):
                if process.poll() is not None:
                    raise RuntimeError("the local chain did not start")
                time.sleep(0.05)
            return asyncio.run(_snapshots(json.loads(ready.read_text())["rpc_url"], universe))
        finally:
            process.terminate()
            process.wait(10)


async def _snapshots(url: str, universe: Universe) -> dict[str, Any]:
    seconds, accepted, accounts, sent = [], 0, 0, 0
    settings = PoolSettings(requests_per_period=10_000, requests_per_method=10_000)
    gates = GateSettings(max_age_seconds=1e9, max_age_slots=10**9, max_future_seconds=1e9)
    for _ in range(REPEATS):
        async with RpcPool([url], settings) as pool:
            began = time.perf_counter()
            snapshot = await fetch_snapshot(pool, universe)
            verdicts = judge(collect(snapshot, universe), gates, now=snapshot.block_time)
            seconds.append(time.perf_counter() - began)
            accepted = sum(one.verdict == "accepted" for one in verdicts)
            accounts = len({one.pubkey for one in snapshot.accounts})
            sent = pool.metrics()[0]["requests"]
    return {
        "accounts": accounts,
        "requests": sent,
        "accepted_prices": accepted,
        "first_seconds": seconds[0],
        "best_seconds": min(seconds),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    parser.add_argument("--json", type=Path, default=None, help="write the figures to FILE")
    parser.add_argument("--no-chain", action="store_true", help="leave the local chain out")
    options = parser.parse_args()
    accounts = token_accounts(options.accounts)
    figures: dict[str, Any] = {"bytes": bench_bytes(accounts), "body": bench_body(accounts)}
    if not options.no_chain:
        figures["snapshot"] = bench_snapshot()
    for name, group in figures.items():
        shown = ", ".join(f"{key} {value:.4g}" for key, value in group.items())
        sys.stdout.write(f"{name}: {shown}\n")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
