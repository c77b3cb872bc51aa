"""The embedded services: PostgreSQL and the local chain, started, found again and stopped."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psutil

from portfolio_platform.settings import SERVICES_FILE, Settings
from portfolio_platform.store.secrets import keep_key

Say = Callable[[str], None]
REPOSITORY = Path(__file__).resolve().parents[2]
LOCALNET_DEADLINE = 60.0


class ServiceFailed(RuntimeError):
    """An embedded service did not start; the message carries the end of its log."""


def _alive(entry: dict[str, Any] | None) -> bool:
    """Whether the process recorded in `entry` still runs (same pid and same start time)."""
    if not entry:
        return False
    try:
        process = psutil.Process(entry["pid"])
        return (
            abs(process.create_time() - entry["started"]) < 2
            and process.status() != psutil.STATUS_ZOMBIE
        )
    except psutil.NoSuchProcess:
        return False


def identify(pid: int) -> dict[str, Any]:
    """Pid and start time: together they name one process for good."""
    return {"pid": pid, "started": psutil.Process(pid).create_time()}


def terminate(entry: dict[str, Any] | None, timeout: float = 10.0) -> None:
    """End a process that we started and what it started: SIGTERM, then SIGKILL.

    Dagster's daemon and webserver leave code servers behind when they are stopped while those are
    still loading, so the whole tree is looked at before its root goes.
    """
    if not _alive(entry):
        return
    assert entry is not None
    root = psutil.Process(entry["pid"])
    tree = [root, *root.children(recursive=True)]
    for process in tree:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, left = psutil.wait_procs(tree, timeout)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, 5)


def tail(path: Path, lines: int = 8) -> str:
    """End of a log file."""
    if not path.exists():
        return "no log"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _die_with_parent() -> None:
    """Ask the kernel (Linux) to end this child when its parent dies, in whatever way."""
    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def spawn(
    command: list[str], log: Path, environment: dict[str, str], *, owned: bool = False
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, its output in `log`.

    Parameters
    ----------
    owned : bool
        The child ends with this process, also when this one is killed.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
            preexec_fn=_die_with_parent if owned and sys.platform == "linux" else None,
        )


def genesis(settings: Settings) -> datetime:
    """When the demo market of this home began: kept, so that its past stays the same past."""
    path = settings.home_path / "localnet-genesis"
    if not path.exists():
        path.write_text(datetime.now(UTC).replace(microsecond=0).isoformat())
    return datetime.fromisoformat(path.read_text())


def start_localnet(
    settings: Settings, say: Say, *, accounts: list[Path], owned: bool
) -> dict[str, Any]:
    """Start the local chain in the background and wait until it listens.

    The demo market always starts at the genesis of this home and is advanced to the present, so
    that a restart continues the same history; afterwards it moves with real time.
    """
    home = settings.home_path
    ready = home / "localnet.json"
    ready.unlink(missing_ok=True)
    log = home / "logs" / "localnet.log"
    command = [sys.executable, "-m", "portfolio_platform.localnet", "--port", "0"]
    command += ["--seed", str(settings.demo_seed), "--ready-file", str(ready)]
    for directory in accounts:
        command += ["--accounts", str(directory)]
    began = genesis(settings)
    if not accounts:
        command += ["--now", began.isoformat(), "--tick", "2"]
        command += ["--days", str(settings.history_days_daily)]
    child = spawn(command, log, dict(os.environ), owned=owned)
    deadline = time.monotonic() + LOCALNET_DEADLINE
    while not ready.exists():
        if child.poll() is not None or time.monotonic() > deadline:
            raise ServiceFailed(f"the local chain did not start: {tail(log)}")
        time.sleep(0.05)
    addresses = json.loads(ready.read_text())
    if not accounts:
        behind = (datetime.now(UTC) - began).total_seconds()
        if behind > 0:
            httpx.post(
                f"{addresses['rpc_url']}/advance", json={"seconds": behind}, timeout=120
            ).raise_for_status()
    say(f"local chain at {addresses['rpc_url']}")
    return {**addresses, **identify(child.pid)}


def write_services(settings: Settings, services: dict[str, Any]) -> None:
    """Write the services file whole, readable by its owner alone (it holds passwords)."""
    path = settings.home_path / SERVICES_FILE
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(json.dumps(services, indent=1))
    partial.replace(path)


def dagster_home(settings: Settings) -> Path:
    """Directory for Dagster's artifacts, with the repository's dagster.yaml in it."""
    directory = settings.home_path / "dagster"
    directory.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(REPOSITORY / "dagster.yaml", directory / "dagster.yaml")
    return directory


def up(
    settings: Settings, say: Say, *, owned: bool = False, accounts: list[Path] | None = None
) -> dict[str, Any]:
    """Start what is not configured and not running yet, and record where it is.

    Parameters
    ----------
    owned : bool
        The services end with this process (`demo`), instead of staying until `down`.
    accounts : list of Path, optional
        Serve these account dumps from the local chain instead of the demo market.

    Returns
    -------
    dict
        Environment variables (upper case) and the state of what was started (lower case).
    """
    home = settings.home_path
    home.mkdir(parents=True, exist_ok=True)
    services = settings.services()
    if settings.database_url is None:
        from portfolio_platform.cli.embedded_database import start_database

        services |= start_database(home, say, daemon=not owned)
    else:
        from portfolio_platform.cli.embedded_database import migrate_external

        services |= migrate_external(settings, say)
    if settings.rpc_urls is None and not _alive(services.get("localnet")):
        localnet = start_localnet(settings, say, accounts=accounts or [], owned=owned)
        services["localnet"] = localnet
        services["SOLANA_RPC_URLS"] = localnet["rpc_url"]
        services["SOLANA_WS_URL"] = localnet["ws_url"]
        services["PORTFOLIO_HISTORY_BASE_URL"] = localnet["udf_url"]
        services["PORTFOLIO_UNIVERSE"] = localnet["universe"]
        if settings.database_url is None:
            open_demo_portfolio(services["DATABASE_URL"], localnet["universe"])
    if settings.secret_key is None:
        keep_key(home)
    services["DAGSTER_HOME"] = str(dagster_home(settings))
    services["PORTFOLIO_HOME"] = str(home)
    write_services(settings, services)
    return services


def open_demo_portfolio(database_url: str, universe_url: str) -> None:
    """Give the demo user a portfolio of each wallet that the local chain knows."""
    from portfolio_platform.cli.embedded_database import DEMO_USER
    from portfolio_platform.store.database import connect
    from portfolio_platform.store.requests import save_portfolio, strategy

    universe = httpx.get(universe_url, timeout=30).raise_for_status().json()
    wallets = [one["pubkey"] for one in universe["accounts"] if one["role"] == "wallet"]
    with connect(database_url) as conn:
        for wallet in wallets:
            save_portfolio(
                conn,
                user_id=DEMO_USER,
                name="Demo treasury",
                wallet=wallet,
                hub_mint=universe["hub"],
                strategy_id=strategy(conn, "min-variance").strategy_id,
                settings={
                    "sol_fee_reserve": 50_000_000,
                    "min_notional": 1_000_000,
                    "cash_buffer": 500_000_000,
                    "max_slot_spread": 8,
                },
            )


def down(settings: Settings, say: Say) -> None:
    """Stop what `up` started, and nothing else."""
    services = settings.services()
    for name in ("api", "ui", "daemon", "localnet"):
        if _alive(services.get(name)):
            terminate(services[name])
            say(f"{name} stopped")
    from portfolio_platform.cli.embedded_database import stop_database

    if stop_database(settings.home_path):
        say("PostgreSQL stopped")
    (settings.home_path / SERVICES_FILE).unlink(missing_ok=True)


def environment(services: dict[str, Any]) -> dict[str, str]:
    """The part of the services record that is environment variables."""
    return {key: str(value) for key, value in services.items() if key.isupper()}
