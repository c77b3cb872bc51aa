"""Spans reach an OpenTelemetry collector over a real socket and carry the ids clients see."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from portfolio_platform.api import local_keys
from portfolio_platform_tests.api.seed import World
from portfolio_platform_tests.store.postgres import Database


class Collector(ThreadingHTTPServer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.traces: dict[str, list[str]] = {}
        self.bodies: list[bytes] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert isinstance(self.server, Collector)
        if self.path == "/v1/traces":
            self.server.bodies.append(body)
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        names = self.server.traces.setdefault(span.trace_id.hex(), [])
                        names.append(span.name)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(10)


@contextmanager
def api_process(environment: dict[str, str]) -> Iterator[str]:
    """The API as a process of its own, ended by SIGTERM; its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "portfolio_platform.api"],
        env=os.environ | environment | {"PORTFOLIO_API_PORT": "0"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("API at http://"), line
        yield line.split()[2].rstrip(",")
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_collector_receives_the_spans_under_the_clients_trace_id(
    database: Database, world: World, home: Path, collector: Collector
) -> None:
    environment = {
        "PORTFOLIO_API_DATABASE_URL": database.url("portfolio_api"),
        "PORTFOLIO_API_JWKS": str(local_keys.jwks_path(home)),
        "PORTFOLIO_API_ISSUER": local_keys.ISSUER,
        "PORTFOLIO_API_TELEMETRY": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
    }
    token = local_keys.issue_token(home, str(world.a.user_id), "authenticated")
    known = "0af7651916cd43dd8448eb211c80319c"
    with api_process(environment) as url:
        path = f"{url}/v1/weights/latest?strategy=mine"
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.get(path, headers=headers)
        assert answer.status_code == 200
        headers["traceparent"] = f"00-{known}-b7ad6b7169203331-01"
        assert httpx.get(path, headers=headers).headers["x-trace-id"] == known
    # The process has flushed what it had before it ended.
    own = answer.headers["x-trace-id"]
    assert own in collector.traces
    assert known in collector.traces
    assert any("/v1/weights/latest" in name for name in collector.traces[own])
    assert not any(token.encode() in body for body in collector.bodies)
