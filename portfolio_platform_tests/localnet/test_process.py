"""The local chain as a process: it starts fast, ends clean and never outlives its parent."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from portfolio_platform_tests.localnet.launch import LaunchError, launched

PARENT = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-m", "portfolio_platform.localnet", "--days", "10",
                          "--exit-with-parent", "--ready-file", sys.argv[1]],
                         stdout=subprocess.DEVNULL)
time.sleep(60)
"""


def wait_for(path: Path, seconds: float = 20) -> dict[str, object]:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, "not ready"
        time.sleep(0.02)
    return dict(json.loads(path.read_text()))


def gone(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        status = Path(f"/proc/{pid}/stat")
        if status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z":
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_it_cleanly_with_clients_connected(kind: signal.Signals) -> None:
    with launched(days=10) as running, httpx.Client(base_url=running.rpc_url) as client:
        assert client.get("/health").json() == "ok"
        running.process.send_signal(kind)
        assert running.process.wait(5) == 0


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    ready = tmp_path / "ready.json"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(ready)])
    try:
        child = int(str(wait_for(ready)["pid"]))
        assert not gone(child, 0.05)
    finally:
        parent.kill()
        parent.wait()
    assert gone(child, 5)


def test_a_taken_port_is_named() -> None:
    with launched(days=10) as running:
        port = int(running.rpc_url.rsplit(":", 1)[1])
        with pytest.raises(LaunchError, match=f"port {port}"), launched(port=port, days=10):
            pass


def test_the_clock_can_follow_real_time() -> None:
    with launched(tick_seconds=0.2, days=10) as running:
        first = httpx.get(f"{running.rpc_url}/clock").json()
        time.sleep(1.2)
        later = httpx.get(f"{running.rpc_url}/clock").json()
    assert 0.6 < later["time"] - first["time"] < 5
    assert later["slot"] > first["slot"]
    assert abs(later["time"] - time.time()) < 10


def test_the_package_imports_without_a_server() -> None:
    code = "import sys, portfolio_platform.localnet; print('uvicorn' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
