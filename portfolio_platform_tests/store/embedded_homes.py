"""Homes for tests of the embedded server, and other processes that use them."""

import shutil
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from portfolio_platform.store.embedded import EmbeddedServer
from portfolio_platform_tests.store.postgres import scratch


def new_home() -> Path:
    """A directory that the service account can enter."""
    path = Path(tempfile.mkdtemp(prefix="pp-home-", dir=scratch()))
    path.chmod(0o755)
    return path


def remove(path: Path) -> None:
    for major in (16, 18):
        server = EmbeddedServer.attach(path, major)
        if server is not None:
            server.shutdown()
    shutil.rmtree(path)


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty home; its server is stopped at the end."""
    path = new_home()
    yield path
    remove(path)


@pytest.fixture(scope="module")
def created() -> Iterator[Path]:
    """A home whose cluster was created and stopped."""
    path = new_home()
    with EmbeddedServer.ensure(path, sync=False):
        pass
    yield path
    remove(path)


@pytest.fixture
def used(home: Path, created: Path) -> Path:
    """A home with a cluster that was stopped, for tests that are not about creating one."""
    subprocess.run(["cp", "-a", f"{created}/postgres", str(home)], check=True)
    return home


def admin(server: EmbeddedServer, transport: str = "socket") -> psycopg.Connection[tuple]:
    url = server.url("postgres", driver=None, role="supabase_admin", transport=transport)
    return psycopg.connect(url, autocommit=True)


def python(
    body: str, *arguments: object, interpreter: str = sys.executable, **options: object
) -> subprocess.Popen[str]:
    """Another process running `body` with the arguments in `sys.argv`."""
    code = "import sys, time, os\nfrom pathlib import Path\n" + textwrap.dedent(body)
    return subprocess.Popen(
        [interpreter, "-c", code, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stdin=subprocess.PIPE,
        text=True,
        **options,  # type: ignore[call-overload]
    )


HOLD = """
    from portfolio_platform.store.embedded import EmbeddedServer
    server = EmbeddedServer.ensure(Path(sys.argv[1]), sync=False)
    print(server.pid, flush=True)
    sys.stdin.readline()
    server.stop()
"""


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def restarted(home: Path, old: int | None) -> bool:
    server = EmbeddedServer.attach(home)
    return server is not None and server.pid not in (None, old)
