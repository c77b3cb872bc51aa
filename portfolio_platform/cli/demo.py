"""`portfolio-platform demo`: the main job on the embedded default, then UI and API."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from portfolio_platform.cli import demo_results, services
from portfolio_platform.cli.progress import answers, console, step
from portfolio_platform.settings import Settings

UI_DEADLINE = 90.0


class DemoRunning(services.ServiceFailed):
    """Another demo holds this home."""


@dataclass(frozen=True)
class Served:
    """Addresses of the served parts."""

    ui: str
    api: str


@contextmanager
def only_demo(home: Path) -> Iterator[None]:
    """Hold this home's demo lock; the kernel releases it however we end."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "demo.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoRunning(
                f"another demo is running in {home}; stop it, or set PORTFOLIO_HOME"
            ) from None
        yield


def _interrupt(signum: int, frame: object) -> None:
    raise KeyboardInterrupt


def run_demo(settings: Settings, *, once: bool, as_json: bool) -> int:
    """Run the demo; returns the exit code."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, _interrupt)
    with only_demo(settings.home_path):
        try:
            with step("Embedded PostgreSQL and local chain") as shown:
                record = services.up(settings, shown.say, owned=True)
            os.environ.update(services.environment(record))
            _request_backtest(settings)
            outcome = _main_job(started)
            _show(settings, outcome)
            with step("Dagster UI and API"):
                served = _serve(settings, record)
            _addresses(settings, served)
            if as_json:
                demo_results.print_line(outcome)
            if not once:
                console.print("Ctrl-C stops everything.")
                signal.pause()
            return 0 if outcome["succeeded"] else 1
        except KeyboardInterrupt:
            console.print("\nstopping …")
            return 0
        finally:
            services.down(settings, lambda text: console.print(f"[dim]{text}[/dim]"))


def _request_backtest(settings: Settings) -> None:
    """Store the example request that the run will answer."""
    from portfolio_platform.store.database import connect
    from portfolio_platform.store.requests import open_request

    example = services.REPOSITORY / "examples" / "backtest.json"
    with connect(settings.resolve_database_url()) as conn:
        open_request(conn, "backtest_requests", json.loads(example.read_text()))


def _main_job(started: float) -> dict[str, Any]:
    """Materialise everything as one Dagster run of this process."""
    with step("Loading definitions"):
        from dagster import DagsterInstance

        from portfolio_platform.definitions import defs

        instance = DagsterInstance.get()
        job = defs.resolve_job_def("everything")
    with step("Materialising every asset") as shown:
        total = len(job.nodes)
        done = threading.Event()
        reader = threading.Thread(target=_watch, args=(instance, shown, total, done), daemon=True)
        reader.start()
        try:
            result = job.execute_in_process(
                instance=instance,
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
                tags={"portfolio_platform/demo": "true"},
            )
        finally:
            done.set()
            reader.join(5)
    seconds = time.monotonic() - started
    failures = {
        event.step_key: _root_cause(event.step_failure_data.error)
        for event in result.all_events
        if event.is_step_failure and event.step_failure_data.error
    }
    return {
        "succeeded": result.success,
        "run_id": result.run_id,
        "failures": failures,
        "seconds_to_weights": round(seconds, 2),
    }


def _root_cause(error: Any) -> str:
    """What first went wrong, in one line."""
    while error.cause is not None:
        error = error.cause
    return str(error.message).strip()


def _watch(instance: Any, shown: Any, total: int, done: threading.Event) -> None:
    """Show which step runs and how many are done."""
    while not done.wait(0.5):
        runs = instance.get_runs(limit=1)
        if not runs:
            continue
        stats = instance.get_run_step_stats(runs[0].run_id)
        finished = [one for one in stats if one.end_time is not None]
        running = [one.step_key for one in stats if one.end_time is None]
        shown.share(len(finished), total)
        shown.say(running[-1] if running else "")


def _show(settings: Settings, outcome: dict[str, Any]) -> None:
    outcome |= demo_results.read(settings)
    for name, message in outcome["failures"].items():
        console.print(f"[red]{name} failed[/red]: {message}", soft_wrap=True)
    demo_results.show(outcome)


def _free_port(preferred: int) -> int:
    for port in (preferred, 0):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise services.ServiceFailed("no free TCP port on 127.0.0.1")


def _serve(settings: Settings, record: dict[str, Any]) -> Served:
    """Start UI, daemon and API as children that end with this process; wait until both answer."""
    home = settings.home_path
    environment = dict(os.environ)
    ui_port, api_port = _free_port(settings.ui_port), _free_port(settings.api_port)
    workspace = str(services.REPOSITORY / "workspace.yaml")
    binaries = Path(sys.executable).parent
    commands = {
        "ui": [
            *(str(binaries / "dagster-webserver"), "-w", workspace),
            *("-h", "127.0.0.1", "-p", str(ui_port)),
        ],
        "daemon": [str(binaries / "dagster-daemon"), "run", "-w", workspace],
        "api": [str(binaries / "portfolio-platform"), "api", "--port", str(api_port)],
    }
    for name, command in commands.items():
        child = services.spawn(command, home / "logs" / f"{name}.log", environment, owned=True)
        record[name] = services.identify(child.pid)
    services.write_services(settings, record)
    served = Served(f"http://127.0.0.1:{ui_port}", f"http://127.0.0.1:{api_port}")
    for name, address in (("api", f"{served.api}/livez"), ("ui", f"{served.ui}/server_info")):
        _await(address, home / "logs" / f"{name}.log")
    return served


def _await(address: str, log: Path) -> None:
    deadline = time.monotonic() + UI_DEADLINE
    while True:
        try:
            if httpx.get(address, timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if time.monotonic() > deadline:
            raise services.ServiceFailed(f"{address} does not answer: {services.tail(log)}")
        time.sleep(0.1)


def _addresses(settings: Settings, served: Served) -> None:
    from portfolio_platform.api.local_keys import issue_token
    from portfolio_platform.cli.embedded_database import DEMO_USER

    token = issue_token(settings.home_path, str(DEMO_USER), expires_in=86_400)
    answers.print(f"Dagster UI  {served.ui}")
    answers.print(f"API         {served.api}/docs")
    answers.print("Try it:")
    sys.stdout.write(
        f"curl -s -H 'Authorization: Bearer {token}' "
        f"'{served.api}/v1/weights/latest?strategy=min-variance'\n"
    )
