"""`quote` on directories of account dumps: exact amounts, or a typed refusal."""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from portfolio_platform.cli import app
from portfolio_platform.cli.quotes import QuoteRefused, base_units

SOL = "So11111111111111111111111111111111111111112"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
SAMO = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
POOL = "HJPjoWUrhoZzkNfRpHuieeFk9WcZWjwy6PBjZ81ngndJ"


def run(folder: Path, sell: str, buy: str, amount: str, *more: str) -> tuple[int, str]:
    done = CliRunner().invoke(
        app,
        [
            *("quote", "--sell", sell, "--buy", buy, f"--amount={amount}"),
            *("--accounts", str(folder), *more),
        ],
    )
    if isinstance(done.exception, QuoteRefused):
        return 1, str(done.exception)
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done.exit_code, done.stdout


def quote(folder: Path, sell: str, buy: str, amount: str) -> dict[str, Any]:
    code, said = run(folder, sell, buy, amount, "--json")
    answer: dict[str, Any] = json.loads(said)
    assert code == int(answer["refused"] is not None)
    return answer


@pytest.fixture
def whirlpools(real_data: Path) -> Path:
    return real_data / "accounts" / "orca_whirlpool"


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("sell", "buy", "amount", "out", "crossed"),
    [
        (SOL, USDC, "1", 40_281_456, 0),
        ("SOL", "USDC", "1000", 40_236_681_588, 0),
        ("SAMO", "USDC", "500000", 7_518_430_278, 2),
        (USDC, SAMO, "1", 65_540_125_793, 0),
    ],
)
def test_recorded_whirlpools(
    whirlpools: Path, sell: str, buy: str, amount: str, out: int, crossed: int
) -> None:
    answer = quote(whirlpools, sell, buy, amount)
    assert int(answer["amount_out"]) == out
    assert answer["crossed"] == crossed
    assert answer["fee"] == {answer["mint_in"]: str(int(answer["amount_in"]) * 2 // 1000)} or (
        crossed
    )
    assert float(answer["impact_bps"]) > 0


@pytest.mark.real_data
def test_two_hops_and_what_leaves_the_fetched_arrays(whirlpools: Path) -> None:
    hops = quote(whirlpools, "SAMO", "SOL", "10000")
    assert [leg["mint_out"] for leg in hops["legs"]] == [USDC, SOL]
    assert set(hops["fee"]) == {SAMO, USDC}
    far = quote(whirlpools, "SOL", "USDC", "100000000")
    assert far["refused"] == "insufficient_liquidity"
    assert far["amount_out"] is None
    possible = f"{int(far['available_in']) / 1e9:.9f}"
    assert quote(whirlpools, "SOL", "USDC", possible)["crossed"] == far["crossed"]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("sell", "buy", "amount", "reason"),
    [
        ("SOL", "USDC", "0", "amount_out_of_range"),
        ("SOL", "USDC", "-1", "amount_out_of_range"),
        ("SOL", "USDC", "1e30", "amount_out_of_range"),
        ("SOL", "USDC", "1e400000000", "amount_out_of_range"),
        ("SOL", "USDC", "18446744073.709551616", "amount_out_of_range"),
        ("SOL", "USDC", "0.0000000001", "amount_invalid"),
        ("SOL", "USDC", "1e-400000000", "amount_invalid"),
        ("SOL", "USDC", "1.000000000000000000000000000000000001", "amount_invalid"),
        ("SOL", "USDC", "nan", "amount_invalid"),
        ("SOL", "USDC", "one", "amount_invalid"),
        ("USDC", "SAMO", "0.000000", "amount_out_of_range"),
        ("SAMO", "USDC", "0.000000001", "dust"),
        ("SOL", "SOL", "1", "same_mint"),
        ("SOL", "ORCA", "1", "no_pool"),
        ("SOL", "NOSUCH", "1", "unknown_token"),
        ("GoLDppdjB1vDTPSGxyMJFqdnj134yH6Prg9eqsGDiw6A", "USDC", "1", "unknown_token"),
    ],
)
def test_refusals_are_typed(
    whirlpools: Path, sell: str, buy: str, amount: str, reason: str
) -> None:
    answer = quote(whirlpools, sell, buy, amount)
    assert answer["refused"] == reason
    assert answer["amount_out"] is None


@pytest.mark.real_data
def test_what_a_person_reads(whirlpools: Path) -> None:
    code, said = run(whirlpools, "SOL", "USDC", "1")
    assert code == 0
    assert "get       40.281456 USDC  (40281456 base units)" in said
    assert f"{POOL}  concentrated, 0 ticks crossed" in said
    code, said = run(whirlpools, "SOL", "USDC", "100000000")
    assert code == 1
    assert "refused   insufficient_liquidity" in said
    assert run(whirlpools, "SOL", "USDC", "0")[1] == "amount 0 is not positive"


@pytest.mark.real_data
def test_raw_dumps_of_a_dlmm_pair_are_read(real_data: Path) -> None:
    folder = real_data / "accounts" / "meteora_dlmm"
    pair = next(folder.glob("9t3EyC*"))
    code, said = run(folder, "SOL", "USDC", "1", "--json")
    assert code == 1
    assert pair.name in json.loads(said)["detail"] or json.loads(said)["refused"] == "no_pool"


@pytest.mark.real_data
def test_dumps_of_different_slots_are_incoherent(whirlpools: Path, tmp_path: Path) -> None:
    for path in whirlpools.glob("*sol_usdc*"):
        dump = json.loads(path.read_text())
        dump["slot"] = 100 + ("vault_a" in path.name or "ta_n33792" in path.name)
        (tmp_path / path.name).write_text(json.dumps(dump))
    for path in whirlpools.glob("token_[nu]*"):
        shutil.copy(path, tmp_path)
    answer = quote(tmp_path, "SOL", "USDC", "1")
    assert answer["refused"] == "no_pool"
    assert answer["refused_pools"] == {POOL: "snapshot_incoherent"}


def test_a_directory_without_accounts(tmp_path: Path) -> None:
    assert quote(tmp_path, "SOL", "USDC", "1")["refused"] == "no_accounts"
    assert quote(tmp_path / "nowhere", "SOL", "USDC", "1")["refused"] == "no_accounts"
    (tmp_path / "mint.json").write_text(
        json.dumps({"pubkey": SOL, "owner": USDC, "data": base64.b64encode(b"x").decode()})
    )
    assert quote(tmp_path, "SOL", "USDC", "1")["refused"] == "no_pool"


def test_base_units_are_exact() -> None:
    assert base_units("1.5", 6) == 1_500_000
    assert base_units("18446744073.709551615", 9) == 2**64 - 1
    assert base_units("1.50000000000000000000000000000000000000", 1) == 15
    assert base_units("7", 0) == 7
