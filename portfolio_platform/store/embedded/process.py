"""The running server: is it alive, start it, wait for it, stop it."""

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import psycopg

from portfolio_platform.store.embedded.cluster import (
    SOCKET_PATH_LIMIT,
    SUPERUSER,
    Cluster,
    PostmasterFile,
)
from portfolio_platform.store.embedded.errors import ServerDidNotStart, ServerDidNotStop

Progress = Callable[[float, str], None]

LOG_LIMIT = 16 * 2**20
SETTINGS: Mapping[str, str] = {
    "wal_level": "logical",
    "shared_buffers": "128MB",
    "max_connections": "200",
    "idle_in_transaction_session_timeout": "5min",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "max_wal_size": "2GB",
    "random_page_cost": "1.1",
    "jit": "off",
}
UNSAFE_BUT_FAST: Mapping[str, str] = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "logical",
}


def alive(cluster: Cluster, pid: int | None) -> bool:
    """Whether `pid` is a postmaster of this cluster.

    A zombie is not alive although signal 0 reaches it, and neither is a stranger that was given
    the number of a dead server.
    """
    if pid is None:
        return False
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        command = process.cmdline()
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return False
    if "-D" not in command[:-1]:
        return False
    directory = command[command.index("-D") + 1]
    try:
        return os.path.samefile(directory, cluster.data)
    except OSError:
        return False


def can_connect(found: PostmasterFile) -> str | None:
    """None when the server answers a real connection, otherwise what it said."""
    try:
        psycopg.connect(
            host=str(found.socket_dir),
            port=found.port,
            user=SUPERUSER,
            dbname="postgres",
            connect_timeout=5,
        ).close()
    except psycopg.OperationalError as error:
        return str(error).strip().splitlines()[-1]
    return None


def free_port(preferred: int | None = None) -> int:
    """A TCP port of the loopback interface that nobody listens on, the preferred one if free."""
    for candidate in (preferred, 0):
        if candidate is None:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", candidate))
            return int(probe.getsockname()[1])
    raise ServerDidNotStart("no free TCP port on 127.0.0.1")


def remembered_port(cluster: Cluster) -> int | None:
    """The port of the last start, so that a DATABASE_URL outlives a restart."""
    try:
        return int(cluster.port_file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _socket_directory(cluster: Cluster) -> Path:
    directory = cluster.storage / "run"
    fits = len(os.fsencode(directory / ".s.PGSQL.65535.lock")) <= SOCKET_PATH_LIMIT
    if fits and not set(str(directory)) & set(",'\"\\"):  # server and libpq take lists of places
        return cluster.user.directory(directory, 0o700)
    short = Path(tempfile.mkdtemp(prefix="pp-"))
    short.chmod(0o700)
    cluster.user.own(short)
    return short


def spawn(
    cluster: Cluster, port: int, *, sync: bool, settings: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start `postgres` as our own child, in a session of its own so that Ctrl-C spares it."""
    chosen = {**SETTINGS, **({} if sync else UNSAFE_BUT_FAST), **settings}
    command = [
        cluster.binary("postgres"),
        *("-D", str(cluster.data), "-h", "127.0.0.1", "-p", str(port)),
        *("-k", str(_socket_directory(cluster))),
    ]
    for name, value in chosen.items():
        command += ["-c", f"{name}={value}"]
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith(("PG", "LC_"))
    }
    stale = cluster.recorded_pid()
    if stale is not None and not alive(cluster, stale):
        # A zombie, or a stranger who got the number, would otherwise count as the lock's holder.
        # postgres still refuses when backends of the dead server hold the shared memory.
        environment["PG_GRANDPARENT_PID"] = str(stale)
    if cluster.log.exists() and cluster.log.stat().st_size > LOG_LIMIT:
        cluster.log.replace(cluster.log.with_suffix(".log.1"))
    with open(os.open(cluster.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as log:
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **cluster.user.popen,
        )


def log_since(cluster: Cluster, offset: int) -> str:
    """What the server logged after byte `offset`."""
    with contextlib.suppress(FileNotFoundError), cluster.log.open("rb") as log:
        log.seek(offset)
        return log.read().decode(errors="replace")
    return ""


def start(
    cluster: Cluster,
    *,
    sync: bool,
    settings: Mapping[str, str],
    deadline: float,
    progress: Progress | None,
) -> subprocess.Popen[bytes]:
    """Start the server and wait until it answers.

    Retries while backends of a killed server are still dying or the port was taken in between.

    Raises
    ------
    ServerDidNotStart
        It exited for any other reason, or did not answer within `deadline` seconds; the message
        carries the end of its log.
    """
    started = time.monotonic()
    port = free_port(remembered_port(cluster))
    while True:
        offset = cluster.log.stat().st_size if cluster.log.exists() else 0
        child = spawn(cluster, port, sync=sync, settings=settings)
        try:
            said = _await_ready(cluster, child, offset, started, deadline, progress)
        except BaseException:
            if child.poll() is None:
                child.send_signal(signal.SIGQUIT)
                child.wait(30)
            raise
        if said is None:
            cluster.port_file.write_text(f"{port}\n")
            return child
        if "Address already in use" in said:
            port = free_port()
        elif not ("still in use" in said or "already exists" in said):
            raise ServerDidNotStart(
                f"PostgreSQL exited with {child.returncode}: {said.strip()[-1500:]} "
                f"(log: {cluster.log})"
            )
        if time.monotonic() - started > deadline:
            raise ServerDidNotStart(f"PostgreSQL could not start: {said.strip()[-1500:]}")
        time.sleep(0.1)


def _await_ready(
    cluster: Cluster,
    child: subprocess.Popen[bytes],
    offset: int,
    started: float,
    deadline: float,
    progress: Progress | None,
) -> str | None:
    """None when ready; the log when the child exited."""
    while True:
        if child.poll() is not None:
            return log_since(cluster, offset)
        found = cluster.postmaster()
        if found is not None and found.pid == child.pid and found.status != "starting":
            refused = can_connect(found)
            if refused is None:
                return None
        else:
            refused = "starting"
        waited = time.monotonic() - started
        if waited > deadline:
            raise ServerDidNotStart(
                f"PostgreSQL did not answer within {deadline:.0f} s ({refused}); "
                f"last log lines: {log_since(cluster, offset).strip()[-1500:]}"
            )
        if progress is not None:
            lines = log_since(cluster, offset).strip().splitlines()
            progress(waited, lines[-1].split("LOG:  ")[-1] if lines else "starting PostgreSQL")
        time.sleep(0.02 if waited < 1 else 0.1)


def await_running(
    cluster: Cluster, *, deadline: float, progress: Progress | None
) -> PostmasterFile | None:
    """The running server of this cluster once it answers; None when there is none (any more).

    Raises
    ------
    ServerDidNotStart
        It is alive and still does not answer after `deadline` seconds.
    """
    started = time.monotonic()
    while alive(cluster, cluster.recorded_pid()):
        found = cluster.postmaster()
        said = "starting" if found is None else can_connect(found)
        if said is None:
            return found
        waited = time.monotonic() - started
        if waited > deadline:
            raise ServerDidNotStart(
                f"PostgreSQL (pid {cluster.recorded_pid()}) runs but refuses connections: {said}"
            )
        if progress is not None:
            progress(waited, said)
        time.sleep(0.05)
    return None


def stop(cluster: Cluster, *, timeout: float) -> None:
    """Stop the server of this cluster: fast, and immediately when that takes too long.

    An immediate stop loses nothing that was committed; the next start recovers.

    Raises
    ------
    ServerDidNotStop
        It is still there after both.
    """
    pid = cluster.recorded_pid()
    found = cluster.postmaster()
    for sign, patience in ((signal.SIGINT, timeout), (signal.SIGQUIT, 20.0)):
        if pid is None or not alive(cluster, pid):
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        until = time.monotonic() + patience
        while alive(cluster, pid) and time.monotonic() < until:
            time.sleep(0.01)
    if pid is not None and alive(cluster, pid):
        raise ServerDidNotStop(f"PostgreSQL (pid {pid}) of {cluster.data} does not exit")
    if found is not None and found.socket_dir.parent == Path(tempfile.gettempdir()):
        with contextlib.suppress(OSError):
            found.socket_dir.rmdir()
