"""Recorded mainnet accounts and recorded bars through every room, by the product's own commands."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from portfolio_platform.solana.dumps import load_dump
from portfolio_platform_tests.end_to_end.commands import BIN, REPOSITORY, Home

SOL = "So11111111111111111111111111111111111111112"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
WHIRLPOOL = "HJPjoWUrhoZzkNfRpHuieeFk9WcZWjwy6PBjZ81ngndJ"
STALE_ORACLE = "H6ARHf6YXhGYeQfUzQNGk6rDNnLBQKrenN712K4AQJEG"
TOKENS = ["SOL", "BTC", "ETH", "BNB", "XRP", "ADA", "DOGE", "LTC", "LINK", "AVAX", "DOT", "ORCA"]
TOKENS += ["1000BONK", "JUP", "USDC"]

pytestmark = pytest.mark.real_data


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, real_data: Path) -> Iterator[Home]:
    """Services on the recorded accounts, recorded bars imported, every asset materialised."""
    home = Home(tmp_path_factory.mktemp("recorded"))
    try:
        home.platform("up", "--accounts", str(real_data / "accounts"))
        home.platform(
            *("import-bars", str(real_data / "market" / "bybit_linear_perp_daily.parquet")),
            *(
                "--venue",
                "bybit",
                "--instrument",
                "perp",
                "--mint",
                f"SOL={SOL}",
                "--mint",
                f"USDC={USDC}",
            ),
            *("--symbols", ",".join(f"{token}USDT" for token in TOKENS)),
        )
        home.run(
            "dagster",
            "asset",
            "materialize",
            "--select",
            "*",
            "-m",
            "portfolio_platform.definitions",
        )
        yield home
    finally:
        home.platform("down", check=False)


@pytest.fixture(scope="module")
def conn(home: Home) -> Iterator[psycopg.Connection]:
    with psycopg.connect(home.services()["DATABASE_URL"], autocommit=True) as connection:
        yield connection


def test_the_recorded_whirlpool_prices_sol(conn: psycopg.Connection) -> None:
    price, verdict = conn.execute(
        "select price, verdict from token_prices where pubkey = %s", (WHIRLPOOL,)
    ).fetchone()
    assert price == pytest.approx(40.362, abs=0.01)
    assert verdict == "accepted"


@pytest.mark.parametrize(
    ("pubkey", "price"),
    [
        ("7UVimffxr9ow1uXYxsr4LHAcV58mLzhmwaeKvJ1pjLiE", (140.615937, 135.426693)),
        ("5CKzb9j4ChgLUt8Gfm5CNGLN6khXKiqMbnGAW4cgXgxK", (161.973027,)),
        ("Gnt27xtC473ZT2Mw5u8wZ68Z3gULkSTb5DuxJy7eJotD", (1.0000075,)),
        (STALE_ORACLE, (119.23378,)),
    ],
)
def test_recorded_oracles_hold_the_known_prices(
    conn: psycopg.Connection, pubkey: str, price: tuple[float, ...]
) -> None:
    found = conn.execute("select price from token_prices where pubkey = %s", (pubkey,)).fetchone()
    assert any(found[0] == pytest.approx(one, abs=1e-5) for one in price)


def test_the_stale_oracle_is_refused_and_quarantined_with_the_reason(
    conn: psycopg.Connection,
) -> None:
    verdict, reasons = conn.execute(
        "select verdict, reasons from token_prices where pubkey = %s", (STALE_ORACLE,)
    ).fetchone()
    assert verdict == "refused"
    assert "oracle_not_trading" in reasons
    (why,) = conn.execute(
        "select reason from chain.quarantine where pubkey = %s", (STALE_ORACLE,)
    ).fetchone()
    assert "oracle_not_trading" in why


@pytest.mark.parametrize(
    ("symbol", "day", "close"),
    [
        ("SOLUSDT", "2021-11-06", 258.37),
        ("SOLUSDT", "2022-12-29", 9.61),
        ("SOLUSDT", "2022-11-09", 10.61),
        ("BTCUSDT", "2022-11-21", 15765.5),
        ("BTCUSDT", "2024-12-31", 93530.0),
        ("ETHUSDT", "2024-12-31", 3335.61),
    ],
)
def test_clean_closes_are_the_known_ones(
    conn: psycopg.Connection, symbol: str, day: str, close: float
) -> None:
    found = conn.execute(
        "select close, state from market_bars join bar_series using (series_id) "
        "where symbol = %s and observed_at = %s::timestamptz",
        (symbol, f"{day} 00:00+00"),
    ).fetchall()
    assert found == [(close, "clean")]


def test_every_shipped_strategy_has_weights_that_sum_to_one(conn: psycopg.Connection) -> None:
    sums = conn.execute(
        "select v.subject, sum(w.weight) from versions v join weights w using (version) group by 1"
    ).fetchall()
    shipped = {row[0] for row in conn.execute("select slug from strategies where user_id is null")}
    assert {subject for subject, _ in sums} == shipped
    assert all(abs(total - 1) <= 1e-9 for _, total in sums)


def test_every_plan_is_one_of_three_outcomes_with_its_reason(conn: psycopg.Connection) -> None:
    plans = conn.execute("select outcome, reasons from reallocation_plans").fetchall()
    assert plans
    for outcome, reasons in plans:
        assert outcome in ("reallocation", "no_reallocation_needed", "failed")
        assert reasons


def _file_sha256(real_data: Path, pubkey: str) -> str:
    found = [
        path
        for path in (real_data / "accounts").rglob("*.json")
        if f'"{pubkey}"' in path.read_text()[:400]
    ]
    assert len(found) == 1
    return hashlib.sha256(load_dump(found[0]).data).hexdigest()


def test_lineage_of_the_weights_reaches_the_bytes_of_the_file(
    home: Home, conn: psycopg.Connection, real_data: Path
) -> None:
    (version,) = conn.execute(
        "select version::text from versions where kind = 'weights' and subject = 'min-variance'"
    ).fetchone()
    rows: list[dict[str, Any]] = json.loads(home.platform("explain", version, "--json").stdout)
    accounts = {row["detail"]["pubkey"]: row["sha256"] for row in rows if row["kind"] == "account"}
    assert accounts[WHIRLPOOL] == _file_sha256(real_data, WHIRLPOOL)
    assert any(row["kind"] == "batch" for row in rows)


def test_rest_serves_the_weights_to_a_signed_in_user(home: Home) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = home.platform("token").stdout.strip()
    server = subprocess.Popen(
        [str(BIN / "portfolio-platform"), "api", "--port", str(port)],
        cwd=REPOSITORY,
        env=home.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with httpx.Client(
            base_url=f"http://127.0.0.1:{port}",
            transport=httpx.HTTPTransport(retries=0),
            timeout=10,
        ) as client:
            for _ in range(300):
                try:
                    if client.get("/livez").status_code == 200:
                        break
                except httpx.TransportError:
                    time.sleep(0.1)
                assert server.poll() is None
            refused = client.get("/v1/weights/latest", params={"strategy": "min-variance"})
            assert refused.status_code == 401
            assert refused.headers["content-type"] == "application/problem+json"
            signed = {"Authorization": f"Bearer {token}"}
            answer = client.get(
                "/v1/weights/latest", params={"strategy": "min-variance"}, headers=signed
            )
            assert answer.status_code == 200, answer.text
            weights = answer.json()["weights"]
            assert sum(one["weight"] for one in weights) == pytest.approx(1, abs=1e-9)
            assert answer.json()["stale"] is True
            for path in sorted((REPOSITORY / "examples" / "strategies").glob("*.json")):
                one = client.get(
                    "/v1/weights/latest", params={"strategy": path.stem}, headers=signed
                )
                assert one.status_code == 200, one.text
                total = sum(row["weight"] for row in one.json()["weights"])
                assert total == pytest.approx(1, abs=1e-9), path.stem
            lineage = client.get(answer.json()["lineage"], headers=signed)
            assert WHIRLPOOL in lineage.text
            metrics = client.get(f"/v1/metrics/{SOL}", headers=signed)
            assert metrics.status_code == 200, metrics.text
    finally:
        server.terminate()
        server.wait(20)
