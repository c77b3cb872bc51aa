"""A local chain in a child process, for tests that talk to it over real sockets."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path


class LaunchError(RuntimeError):
    """The local chain did not come up; the text holds what it said."""


@dataclass(frozen=True)
class Launched:
    """A running local chain."""

    process: subprocess.Popen[bytes]
    rpc_url: str
    ws_url: str
    udf_url: str
    universe: str


@contextmanager
def launched(
    *,
    seed: int = 7,
    port: int = 0,
    accounts: Sequence[Path] = (),
    market: bool | None = None,
    now: datetime | None = None,
    slot: int | None = None,
    tick_seconds: float | None = None,
    days: int = 730,
    timeout: float = 30.0,
) -> Iterator[Launched]:
    """Run the local chain in a child process for the length of a `with` block.

    The child also ends when this process does. `market` defaults to True without `accounts`.

    Raises
    ------
    LaunchError
        When the child ends or stays silent for `timeout` seconds.
    """
    command = [sys.executable, "-m", "portfolio_platform.localnet", "--exit-with-parent"]
    command += ["--seed", str(seed), "--port", str(port), "--days", str(days)]
    for directory in accounts:
        command += ["--accounts", str(directory)]
    if market or (market is None and not accounts):
        command.append("--market")
    if now is not None:
        command += ["--now", now.isoformat()]
    if slot is not None:
        command += ["--slot", str(slot)]
    if tick_seconds is not None:
        command += ["--tick", str(tick_seconds)]
    with tempfile.TemporaryDirectory(prefix="localnet-") as folder:
        ready, said = Path(folder) / "ready.json", Path(folder) / "errors"
        command += ["--ready-file", str(ready)]
        with said.open("wb") as errors:
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors)
        try:
            _wait(process, ready, said, timeout)
            urls = json.loads(ready.read_text())
            yield Launched(
                process, urls["rpc_url"], urls["ws_url"], urls["udf_url"], urls["universe"]
            )
        finally:
            _stop(process)


def _wait(process: subprocess.Popen[bytes], ready: Path, said: Path, timeout: float) -> None:
    deadline = time.monotonic() + timeout
    while not ready.exists():
        if process.poll() is not None:
            text = said.read_text(errors="replace").strip()[-2000:]
            raise LaunchError(f"the local chain ended with code {process.returncode}: {text}")
        if time.monotonic() > deadline:
            raise LaunchError(f"the local chain was not ready within {timeout:g} s")
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
