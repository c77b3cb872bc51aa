"""The demo as a newcomer runs it: once, again, and after everything was killed in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from portfolio_platform.store.embedded import EmbeddedServer
from portfolio_platform_tests.end_to_end.commands import BIN, REPOSITORY, Home

STRATEGIES = {path.stem for path in (REPOSITORY / "examples" / "strategies").glob("*.json")}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("demo"))


def processes_of(home: Path) -> list[str]:
    """Command lines of living processes that name the home or have it in their environment."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        try:
            named = " ".join(process.info["cmdline"] or [])
            environment = process.environ().get("PORTFOLIO_HOME", "")
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        if process.info["status"] == psutil.STATUS_ZOMBIE:
            continue
        if str(home) in named or environment == str(home):
            found.append(named)
    return found


def _await_nothing_left(home: Path) -> None:
    deadline = time.monotonic() + 20
    while left := processes_of(home):
        assert time.monotonic() < deadline, left
        time.sleep(0.2)


def _check(line: str) -> dict:
    answer = json.loads(line)
    assert set(answer["weights"]) == STRATEGIES
    for weights in answer["weights"].values():
        assert sum(weights.values()) == pytest.approx(1, abs=1e-9)
    assert answer["reallocation"]["outcome"] in (
        "reallocation",
        "no_reallocation_needed",
        "failed",
    )
    assert answer["reallocation"]["reason"]
    assert answer["backtest"]["outcome"] in ("complete", "partial")
    assert answer["seconds_to_weights"] > 0
    return answer


def test_once_prints_the_answer_and_leaves_nothing_running(home: Home) -> None:
    done = home.platform("demo", "--once", "--json")
    answer = _check(done.stdout.splitlines()[-1])
    assert "curl -s -H 'Authorization: Bearer " in done.stdout
    table = [line.rstrip() for line in done.stdout.splitlines()[:20]]
    header = next(line.split() for line in table if line.lstrip().startswith("strategy"))
    shown = {line.split()[0]: line.split()[1:] for line in table if line.split()[:1]}
    for name, weights in answer["weights"].items():
        cells = dict(zip(header[1:], shown[name], strict=True))
        for symbol, weight in weights.items():
            if weight > 0.0005:
                assert float(cells[symbol]) == pytest.approx(weight * 100, abs=0.0501)
    assert answer["reallocation"]["outcome"] in done.stdout
    _await_nothing_left(home.path)


def test_again_continues_the_same_history(home: Home) -> None:
    done = home.platform("demo", "--once", "--json")
    again = _check(done.stdout.splitlines()[-1])
    try:
        home.platform("up")
        with psycopg.connect(home.services()["DATABASE_URL"]) as conn:
            (corrected,) = conn.execute(
                "select count(*) from (select 1 from price_bars "
                "group by series_id, bar_interval, observed_at having count(*) > 1) as twice"
            ).fetchone()
            runs = {
                run for (run,) in conn.execute("select run_id from versions where kind = 'plan'")
            }
    finally:
        home.platform("down")
    assert corrected == 0
    # The daemon may have planned in between: what matters is that this run came on top.
    assert again["run_id"] in runs
    assert len(runs) >= 2
    _await_nothing_left(home.path)


def test_after_kill_9_every_committed_row_is_there(tmp_path: Path) -> None:
    home = Home(tmp_path / "killed")
    log = (tmp_path / "demo.log").open("w")
    demo = subprocess.Popen(
        [str(BIN / "portfolio-platform"), "demo"],
        cwd=REPOSITORY,
        env=home.environment,
        stdout=log,
        stderr=log,
    )
    try:
        rows = _await_rows(home, demo)
        server = EmbeddedServer.attach(home.path)
        assert server is not None
        postmaster = server.pid
        assert postmaster is not None
        os.kill(demo.pid, signal.SIGKILL)
        os.kill(postmaster, signal.SIGKILL)
        demo.wait(20)
    finally:
        if demo.poll() is None:
            demo.kill()
            demo.wait(20)
        log.close()
    done = home.platform("demo", "--once", "--json")
    _check(done.stdout.splitlines()[-1])
    try:
        home.platform("up")
        with psycopg.connect(home.services()["DATABASE_URL"]) as conn:
            (now,) = conn.execute("select count(*) from price_bars").fetchone()
            (twice,) = conn.execute(
                "select count(*) from (select 1 from price_bars "
                "group by series_id, bar_interval, observed_at having count(*) > 1) as twice"
            ).fetchone()
    finally:
        home.platform("down")
    assert now >= rows
    assert twice == 0
    _await_nothing_left(home.path)


def _await_rows(home: Home, demo: subprocess.Popen[bytes]) -> int:
    """Wait until bars are being committed, in the middle of the run."""
    deadline = time.monotonic() + 90
    while True:
        assert demo.poll() is None, "the demo ended before it could be killed"
        assert time.monotonic() < deadline
        try:
            with psycopg.connect(home.services()["DATABASE_URL"], connect_timeout=2) as conn:
                (rows,) = conn.execute("select count(*) from price_bars").fetchone()
        except (FileNotFoundError, psycopg.Error, json.JSONDecodeError):
            rows = 0
        if rows > 0:
            return rows
        time.sleep(0.05)
