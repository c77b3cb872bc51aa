"""A local chain in its own process, and recorded accounts."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from portfolio_platform.solana.dumps import load_dump
from portfolio_platform.solana.rpc import PoolSettings
from portfolio_platform.solana.snapshot import AccountRecord
from portfolio_platform.solana.universe import Universe, load_universe


@dataclass(frozen=True)
class LocalChain:
    """Addresses of the running local chain."""

    rpc_url: str
    ws_url: str
    udf_url: str
    universe: Universe

    def endpoint(self, name: str) -> str:
        """The same chain behind another name, so that faults can strike one of several."""
        return f"{self.rpc_url}/rpc/{name}"

    def faults(
        self, *rules: dict[str, Any], queue: tuple[dict[str, Any], ...] = (), seed: int = 0
    ) -> None:
        """Replace the faults in force."""
        httpx.delete(f"{self.rpc_url}/faults").raise_for_status()
        if rules or queue:
            body = {"rules": list(rules), "queue": list(queue), "seed": seed}
            httpx.post(f"{self.rpc_url}/faults", json=body).raise_for_status()

    def calls(self) -> dict[str, int]:
        """How often each method was called since the faults were last replaced."""
        calls: dict[str, int] = httpx.get(f"{self.rpc_url}/faults").json()["calls"]
        return calls


@pytest.fixture(scope="session")
def chain_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalChain]:
    ready = tmp_path_factory.mktemp("localnet") / "ready.json"
    command = [sys.executable, "-m", "portfolio_platform.localnet", "--port", "0", "--seed", "7"]
    process = subprocess.Popen(
        [*command, "--ready-file", str(ready)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 60
        while not ready.exists() or not ready.read_text().strip():
            if process.poll() is not None or time.monotonic() > deadline:
                assert process.stderr is not None
                process.kill()
                pytest.fail(f"the local chain did not start: {process.stderr.read()!r}")
            time.sleep(0.05)
        found = json.loads(ready.read_text())
        universe = load_universe(httpx.get(found["universe"]).text)
        yield LocalChain(found["rpc_url"], found["ws_url"], found["udf_url"], universe)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def chain(chain_process: LocalChain) -> Iterator[LocalChain]:
    """The local chain without faults; faults of a test do not reach the next one."""
    chain_process.faults()
    yield chain_process
    chain_process.faults()


@pytest.fixture(scope="session")
def impatient() -> PoolSettings:
    """Short waits, so that a test of ten retries takes no second."""
    return PoolSettings(
        deadline_seconds=10,
        request_timeout_seconds=2,
        backoff_seconds=0.01,
        backoff_limit_seconds=0.05,
        hedge_after_seconds=None,
        requests_per_period=10_000,
        requests_per_method=10_000,
    )


def recorded(real_data: Path, name: str, slot: int = 1, owner: str | None = None) -> AccountRecord:
    """A recorded account as the network would have returned it."""
    dump = load_dump(real_data / "accounts" / name)
    return AccountRecord(
        pubkey=dump.pubkey or name,
        owner=dump.owner or owner,
        lamports=dump.lamports,
        data=dump.data,
        sha256=dump.sha256,
        slot=slot,
    )
