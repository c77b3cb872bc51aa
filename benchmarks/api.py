"""Read API against its peers: one data set, one machine, one load generator.

    python benchmarks/api.py [--seconds 5] [--requests 200000] [--json FILE]

`GET /v1/weights/latest` with a JWT and row security, ours against a plain FastAPI + SQLAlchemy-ORM
endpoint of the same query (same JWT, same role and claims) and, where npm can install it, real
PostgREST on the same tables. Everything runs on loopback with the load generator beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httptools
import httpx
import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import api_peers
from portfolio_platform.api import local_keys
from portfolio_platform.store import bootstrap

CONNECTIONS = 16
ROUNDS = 3  # the fastest counts: the machine may be shared
GOALS = {
    "ratio_to_orm": 3.0,
    "ratio_to_postgrest": 1.0,
    "ratio_304_to_orm": 6.0,
    "ratio_304_to_postgrest": 2.0,
    "ratio_304_to_200": 2.0,
    "p99_milliseconds_at_half_rate": 25.0,
    "memory_growth_percent": 5.0,
}


@dataclass
class Measured:
    """One load: requests per second, and latencies in milliseconds."""

    requests: int
    seconds: float
    statuses: dict[int, int]
    latencies: list[float] = field(repr=False, default_factory=list)

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds

    def percentile(self, q: float) -> float:
        """Latency in milliseconds below which a share `q` of the requests stayed."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


class Connection(asyncio.Protocol):
    """One keep-alive connection that has one request on the way at a time."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._parser = httptools.HttpResponseParser(self)
        self._done: asyncio.Future[int] | None = None
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        self._parser = httptools.HttpResponseParser(self)
        if self._done is not None and not self._done.done():
            self._done.set_result(status)

    def connection_lost(self, error: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error or ConnectionError("closed by the server"))

    async def ask(self) -> int:
        """Send the request once and return the status of its answer."""
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(self._request)
        return await self._done

    def close(self) -> None:
        """Hang up."""
        self._transport.close()


def request_bytes(url: str, headers: dict[str, str]) -> bytes:
    """A GET request, ready to be written."""
    parsed = httpx.URL(url)
    lines = [f"GET {parsed.raw_path.decode()} HTTP/1.1", f"Host: {parsed.host}:{parsed.port}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


async def _connect(url: str, request: bytes, n: int) -> list[Connection]:
    loop = asyncio.get_running_loop()
    parsed = httpx.URL(url)
    return [
        (await loop.create_connection(lambda: Connection(request), parsed.host, parsed.port))[1]
        for _ in range(n)
    ]


async def closed_loop(
    url: str, request: bytes, *, seconds: float | None = None, requests: int | None = None
) -> Measured:
    """As fast as the answers come, for a time or a number of requests."""
    connections = await _connect(url, request, CONNECTIONS)
    statuses: dict[int, int] = {}
    left = requests
    started = time.perf_counter()

    async def run(connection: Connection) -> None:
        nonlocal left
        while left is None or left > 0:
            if seconds is not None and time.perf_counter() - started > seconds:
                return
            if left is not None:
                left -= 1
            status = await connection.ask()
            statuses[status] = statuses.get(status, 0) + 1

    await asyncio.gather(*(run(connection) for connection in connections))
    took = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return Measured(sum(statuses.values()), took, statuses)


async def open_loop(url: str, request: bytes, rate: float, seconds: float) -> Measured:
    """At a fixed rate; a latency counts from when the request was due, not from when it left."""
    connections = await _connect(url, request, CONNECTIONS * 2)
    free: asyncio.Queue[Connection] = asyncio.Queue()
    for connection in connections:
        free.put_nowait(connection)
    latencies: list[float] = []
    statuses: dict[int, int] = {}

    async def one(due: float) -> None:
        connection = await free.get()
        status = await connection.ask()
        free.put_nowait(connection)
        latencies.append((time.perf_counter() - due) * 1000)
        statuses[status] = statuses.get(status, 0) + 1

    started = time.perf_counter()
    tasks = []
    for n in range(int(rate * seconds)):
        due = started + n / rate
        pause = due - time.perf_counter()
        if pause > 0:
            await asyncio.sleep(pause)
        tasks.append(asyncio.create_task(one(due)))
    await asyncio.gather(*tasks)
    took = time.perf_counter() - started
    for connection in connections:
        connection.close()
    return Measured(len(latencies), took, statuses, latencies)


@contextlib.contextmanager
def ours(database_url: str, home: Path) -> Iterator[tuple[str, int]]:
    """The API as a process of its own; its address and pid."""
    environment = os.environ | {
        "PORTFOLIO_API_DATABASE_URL": database_url,
        "PORTFOLIO_API_JWKS": str(local_keys.jwks_path(home)),
        "PORTFOLIO_API_ISSUER": local_keys.ISSUER,
        "PORTFOLIO_API_PORT": "0",
        "PORTFOLIO_API_RATE_PER_SECOND": "0",
        "PORTFOLIO_API_LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "portfolio_platform.api"],
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().split()[2].rstrip(","), process.pid
    finally:
        process.terminate()
        process.wait(20)


def run(seconds: float, requests: int) -> dict[str, Any]:
    """All measurements as one JSON-safe document."""
    report: dict[str, Any] = {"cores": os.cpu_count(), "connections": CONNECTIONS}
    with tempfile.TemporaryDirectory(prefix="pp-bench-", dir="/tmp") as scratch:
        home = Path(scratch)
        home.chmod(0o755)
        store = bootstrap.prepare_embedded(home, sync=False)
        assert store.server is not None
        try:
            user = api_peers.seed(store)
            token = local_keys.issue_token(home, user, expires_in=86_400)
            headers = {"Authorization": f"Bearer {token}"}
            login = store.server.url("postgres", None, "portfolio_api", transport="socket")
            postgres = store.server.pid
            assert postgres is not None
            report |= _ours(login, home, headers, seconds, requests, postgres)
            with api_peers.orm(login, home) as (url, pid):
                address = f"{url}/weights/latest?strategy=bench"
                report["orm"] = _rate(address, headers, seconds, (pid, postgres))
            with api_peers.postgrest(store, home) as peer:
                if peer is not None:
                    address = f"{peer[0]}{api_peers.POSTGREST_QUERY}"
                    report["postgrest"] = _rate(address, headers, seconds, (peer[1], postgres))
        finally:
            store.server.stop(remove=True)
    report["ratios"] = _ratios(report)
    return report


def _ours(
    login: str,
    home: Path,
    headers: dict[str, str],
    seconds: float,
    requests: int,
    postgres: int,
) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with ours(login, home) as (base, pid):
        url = f"{base}/v1/weights/latest?strategy=bench"
        tag = httpx.get(url, headers=headers).headers["etag"]
        found["ours"] = _rate(url, headers, seconds, (pid, postgres))
        held = headers | {"If-None-Match": tag}
        found["ours_304"] = _rate(url, held, seconds, (pid, postgres))
        half = found["ours"]["rate"] / 2
        request = request_bytes(url, headers)
        steady = [uvloop.run(open_loop(url, request, half, seconds)) for _ in range(ROUNDS)]
        found["half_rate"] = {
            "rate": half,
            "p50": [round(statistics.median(one.latencies), 2) for one in steady],
            "p99": [round(one.percentile(0.99), 2) for one in steady],
        }
        process = psutil.Process(pid)
        grown = []
        for share in (0.1, 0.45, 0.45):
            count = int(requests * share)
            uvloop.run(closed_loop(url, request_bytes(url, headers), requests=count))
            grown.append(process.memory_info().rss)
        found["memory"] = {
            "requests": requests,
            "megabytes": [round(rss / 1e6, 2) for rss in grown],
            "growth_percent": round(100 * (grown[-1] / grown[0] - 1), 2),
        }
    return found


def _rate(
    url: str, headers: dict[str, str], seconds: float, processes: Sequence[int]
) -> dict[str, Any]:
    """Rate and CPU time per request of the server and of Postgres (`processes`, with children)."""
    answer = httpx.get(url, headers=headers)
    request = request_bytes(url, headers)
    uvloop.run(closed_loop(url, request, seconds=1))
    before = _cpu(processes)
    measured = [uvloop.run(closed_loop(url, request, seconds=seconds)) for _ in range(ROUNDS)]
    spent = [after - start for after, start in zip(_cpu(processes), before, strict=True)]
    total = sum(one.requests for one in measured)
    best = max(measured, key=lambda one: one.rate)
    return {
        "rate": round(best.rate, 1),
        "statuses": best.statuses,
        "bytes": len(answer.content),
        "cpu_microseconds": [round(seconds * 1e6 / total, 1) for seconds in spent],
    }


def _cpu(processes: Sequence[int]) -> list[float]:
    """CPU seconds of each process with its children."""
    totals = []
    for pid in processes:
        root = psutil.Process(pid)
        times = [process.cpu_times() for process in (root, *root.children(recursive=True))]
        totals.append(sum(spent.user + spent.system for spent in times))
    return totals


def _ratios(report: dict[str, Any]) -> dict[str, Any]:
    rate, unchanged = report["ours"]["rate"], report["ours_304"]["rate"]
    ratios = {
        "ratio_to_orm": rate / report["orm"]["rate"],
        "ratio_304_to_orm": unchanged / report["orm"]["rate"],
        "ratio_304_to_200": unchanged / rate,
        "p99_milliseconds_at_half_rate": min(report["half_rate"]["p99"]),
        "memory_growth_percent": report["memory"]["growth_percent"],
    }
    if "postgrest" in report:
        ratios["ratio_to_postgrest"] = rate / report["postgrest"]["rate"]
        ratios["ratio_304_to_postgrest"] = unchanged / report["postgrest"]["rate"]
    spent = sum(report["ours"]["cpu_microseconds"])
    report["cpu_ratios"] = {
        peer: round(sum(report[peer]["cpu_microseconds"]) / spent, 2)
        for peer in ("orm", "postgrest")
        if peer in report
    }
    return {
        name: {
            "measured": round(value, 3),
            "goal": GOALS[name],
            "met": value >= GOALS[name] if name.startswith("ratio") else value <= GOALS[name],
        }
        for name, value in ratios.items()
    }


def main() -> int:
    """Run and print; 0 when every measured goal is met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--requests", type=int, default=200_000)
    parser.add_argument("--json", type=Path, default=None)
    arguments = parser.parse_args()
    report = run(arguments.seconds, arguments.requests)
    text = json.dumps(report, indent=2)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")
    return 0 if all(ratio["met"] for ratio in report["ratios"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
