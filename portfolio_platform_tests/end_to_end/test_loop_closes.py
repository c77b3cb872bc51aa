"""Plan, execute on the local chain, ingest again: the next plan needs nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from portfolio_platform_tests.end_to_end.commands import Home

MATERIALISE = ("dagster", "asset", "materialize", "-m", "portfolio_platform.definitions")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("loop"))
    try:
        home.platform("up")
        home.run(*MATERIALISE, "--select", "*")
        yield home
    finally:
        home.platform("down", check=False)


def _newest_plan(home: Home) -> tuple[str, str, list[str], dict]:
    with psycopg.connect(home.services()["DATABASE_URL"]) as conn:
        return conn.execute(
            "select p.version::text, p.outcome, p.reasons, p.plan from reallocation_plans as p "
            "join versions as v using (version) order by v.recorded_at desc limit 1"
        ).fetchone()


def test_the_loop_closes(home: Home) -> None:
    version, outcome, reasons, plan = _newest_plan(home)
    assert outcome == "reallocation", (reasons, plan["failures"])
    assert reasons
    assert plan["summary"]["performance"]["after"]["volatility"] > 0

    replayed = json.loads(home.platform("replay", version, "--json").stdout)
    assert replayed["equal"] is True

    executed = json.loads(home.platform("localnet", "execute", version).stdout)
    assert len(executed["steps"]) == len(plan["steps"])

    home.run(*MATERIALISE, "--select", "account_snapshots*")
    after, outcome, reasons, plan = _newest_plan(home)
    assert after != version
    assert outcome == "no_reallocation_needed", (reasons, plan["failures"])
    assert reasons == ["within_band"]
    assert plan["before"]["assets"], "the current portfolio is shown with every outcome"


def test_a_streamed_minute_and_a_quote_answer_from_the_live_chain(home: Home) -> None:
    counters = json.loads(home.platform("stream", "--seconds", "4").stdout.splitlines()[-1])
    assert counters["polls"] >= 1
    assert counters["connections"] == 1
    quoted = json.loads(
        home.platform("quote", "--sell", "SOL", "--buy", "USDC", "--amount", "10", "--json").stdout
    )
    assert int(quoted["amount_out"]) > 0
    assert quoted["pools"]
    refused = home.platform(
        *("quote", "--sell", "SOL", "--buy", "USDC", "--amount", "0.0000000001"), check=False
    )
    assert refused.returncode == 1
    assert "at most 9 decimals" in " ".join(refused.stderr.split())


def test_a_bar_file_with_a_missing_column_names_file_and_column(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "bars.csv"
    file.write_text("date,open,high,low,volume,symbol\n2024-01-01,1,2,1,5,SOLUSDT\n")
    refused = home.platform(
        "import-bars", str(file), "--venue", "x", "--instrument", "spot", check=False
    )
    assert refused.returncode == 1
    assert "bars.csv, column 'close'" in " ".join(refused.stderr.split())


def test_the_planted_look_ahead_is_caught(home: Home, tmp_path: Path) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(
        json.dumps(
            {
                "strategies": ["equal-weight"],
                "rebalance": {"rule": "calendar", "every": "monthly"},
            }
        )
    )
    clean = home.platform("backtest", str(spec), "--check-lookahead", "--json")
    assert json.loads(clean.stdout)["clean"] is True
    caught = home.platform(
        *("backtest", str(spec), "--check-lookahead", "--json"),
        *("--step", "portfolio_platform_tests.end_to_end.peeking:decide_with_tomorrow"),
        check=False,
    )
    assert caught.returncode == 1
    assert json.loads(caught.stdout)["leaks"]
