"""Bad input at the command line: one line that names the thing and the remedy, and no trace."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from portfolio_platform.cli.bars import mint_pairs
from portfolio_platform.cli.errors import domain_errors
from portfolio_platform_tests.end_to_end.commands import Home


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def _refused(home: Home, *arguments: str) -> str:
    done = home.platform(*arguments, check=False)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr, done.stderr
    return " ".join((done.stdout + done.stderr).split())


def test_nothing_runs_and_nothing_is_configured(home: Home) -> None:
    said = _refused(home, "explain", "00000000-0000-4000-8000-000000000000")
    assert "DATABASE_URL" in said
    assert "portfolio-platform up" in said


def test_doctor_says_what_is_missing(home: Home) -> None:
    said = _refused(home, "doctor", "--json")
    assert '"subject": "database", "state": "wrong"' in said
    assert "DATABASE_URL is not set" in said


def test_an_unreachable_database_is_named_without_its_password(home: Home) -> None:
    home.environment["DATABASE_URL"] = "postgresql://me:secret-word@127.0.0.1:1/nowhere"
    said = _refused(home, "explain", "00000000-0000-4000-8000-000000000000")
    assert "127.0.0.1:1/nowhere" in said
    assert "secret-word" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain", "nonsense"),
        ("token", "--user", "nonsense"),
        ("channels", "--user", "nonsense"),
    ],
)
def test_an_id_that_is_none_is_refused(home: Home, arguments: tuple[str, ...]) -> None:
    assert "Input should be a valid UUID" in _refused(home, *arguments)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SOLANA_RPC_URLS", "http://127.0.0.1:1,api.example?key=secret-word"),
        ("SOLANA_RPC_URLS", ",,"),
        ("SOLANA_RPC_URLS", "ftp://secret-word"),
        ("SOLANA_RPC_URLS", "http://secret-word:99999"),
        ("SOLANA_WS_URL", "https://secret-word"),
        ("PORTFOLIO_HISTORY_BASE_URL", "history/secret-word"),
        ("SUPABASE_URL", "secret-word"),
        ("PORTFOLIO_API_PORT", "secret-word"),
    ],
)
def test_a_setting_that_is_none_is_named(home: Home, variable: str, value: str) -> None:
    home.environment[variable] = value
    said = _refused(home, "doctor")
    assert f"error {variable}: " in said
    assert "secret-word" not in said


@pytest.mark.parametrize(("content", "named"), [(None, "No such file"), ("{", "is not JSON")])
def test_a_spec_file_that_is_none_is_named(
    home: Home, tmp_path: Path, content: str | None, named: str
) -> None:
    spec = tmp_path / "spec.json"
    if content is not None:
        spec.write_text(content)
    said = _refused(home, "backtest", str(spec))
    assert str(spec) in said
    assert named in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\xfe", "is not JSON"),
        (b"[1]", "holds list, not an object"),
        (b'{"strategies": ["x"], "costs": {"fee_bps": -1}}', "costs.fee_bps"),
    ],
)
def test_a_backtest_spec_that_is_none_is_named(
    tmp_path: Path,
    content: bytes,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Refused before anything is looked for, in one line."""
    from portfolio_platform import cli

    file = tmp_path / "spec.json"
    file.write_bytes(content)
    monkeypatch.setattr("sys.argv", ["portfolio-platform", "backtest", str(file)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


SOL = "So11111111111111111111111111111111111111112"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["SOL=abc"], "'abc' is not a Solana public key"),
        (["SOL="], "not a Solana public key"),
        (["SOL"], "neither SYMBOL=MINT nor `match`"),
        ([f"={SOL}"], "neither SYMBOL=MINT nor `match`"),
        ([f"SOL={SOL}", f"SOL={USDC}"], "two mints for SOL"),
    ],
)
def test_a_mint_option_that_says_nothing_is_refused(options: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        mint_pairs(options)
    assert isinstance(caught.value, domain_errors())
    assert mint_pairs(["match", f"SOL={SOL}"]) == {"SOL": SOL}


def test_a_contradictory_backtest_is_refused_with_the_path_of_the_field(
    home: Home, tmp_path: Path
) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps({"strategies": ["hrp"], "costs": {"fee_bps": -1}}))
    said = _refused(home, "backtest", str(spec), "--json")
    assert "costs.fee_bps" in said


def test_decode_answers_for_every_file(home: Home, tmp_path: Path) -> None:
    broken = tmp_path / "broken.json"
    broken.write_text('{"pubkey": "x", "account": {"data": ["AAA", "base64"]')
    done = home.platform("decode", str(broken), str(tmp_path / "missing.json"))
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(answers) == 2
    assert all(answer["refused"] for answer in answers)


@pytest.mark.real_data
def test_decode_prints_kind_and_values_of_a_recorded_account(home: Home, real_data: Path) -> None:
    pool = next((real_data / "accounts" / "orca_whirlpool").glob("sol_usdc_wp_whirlpool*"))
    answer = json.loads(home.platform("decode", str(pool)).stdout)
    assert answer["kind"] == "orca_whirlpool"
    assert answer["values"]["sqrt_price"] > 2**60


@pytest.mark.real_data
def test_quote_from_recorded_accounts_is_exact(home: Home, real_data: Path) -> None:
    accounts = str(real_data / "accounts" / "orca_whirlpool")
    pair = ("--sell", SOL, "--buy", USDC, "--accounts", accounts, "--json")
    one = json.loads(home.platform("quote", *pair, "--amount", "1").stdout)
    assert one["amount_out"] == "40281456"
    many = json.loads(home.platform("quote", *pair, "--amount", "1000").stdout)
    assert many["amount_out"] == "40236681588"
    beyond = home.platform("quote", *pair, "--amount", "10000000", check=False)
    assert beyond.returncode == 1
    assert json.loads(beyond.stdout)["refused"] == "insufficient_liquidity"
