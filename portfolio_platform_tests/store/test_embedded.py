"""The launcher of the embedded server: every way to start, share, lose and stop it."""

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from portfolio_platform.store.embedded import (
    BinariesMissing,
    EmbeddedServer,
    EmbeddedServerError,
    IncompatibleCluster,
    binaries,
    process,
)
from portfolio_platform.store.embedded import cluster as clusters
from portfolio_platform_tests.store.postgres import scratch

ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root drops to another account")


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


def test_start_stop_start_keeps_rows_port_and_passwords(home: Path) -> None:
    with EmbeddedServer.ensure(home) as server:
        first = (server.port, server.password())
        with admin(server) as connection:
            assert connection.execute("show wal_level").fetchone() == ("logical",)
            assert connection.execute("show data_checksums").fetchone() == ("on",)
            connection.execute("create table kept as select 7 as value")
        pid = server.pid
    assert pid is not None
    assert not psutil.pid_exists(pid)
    assert EmbeddedServer.attach(home) is None
    with EmbeddedServer.ensure(home) as server, admin(server) as connection:
        assert connection.execute("select value from kept").fetchone() == (7,)
        assert (server.port, server.password()) == first


def test_the_socket_is_private_and_tcp_wants_the_password(used: Path) -> None:
    with EmbeddedServer.ensure(used, sync=False) as server:
        assert stat.S_IMODE(server.socket_dir.stat().st_mode) == 0o700
        assert stat.S_IMODE((used / "postgres/16/credentials.json").stat().st_mode) == 0o600
        with admin(server, "tcp") as connection:
            listening = connection.execute("show listen_addresses").fetchone()
        assert listening == ("127.0.0.1",)
        wrong = f"postgresql://supabase_admin:wrong@127.0.0.1:{server.port}/postgres"
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(wrong)
        with pytest.raises(EmbeddedServerError, match="no password for role 'nobody'"):
            server.password("nobody")


def test_the_last_client_out_stops_the_server(used: Path) -> None:
    first = EmbeddedServer.ensure(used, sync=False)
    second = EmbeddedServer.ensure(used, sync=False)
    assert first.pid == second.pid
    assert first.stop() is False
    assert first.stop() is False
    with admin(second) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert second.stop() is True
    assert EmbeddedServer.attach(used) is None


def test_starters_at_once_end_with_one_server_and_as_many_clients(home: Path) -> None:
    starters = [python(HOLD, home) for _ in range(4)]
    pids = {starter.stdout.readline().strip() for starter in starters if starter.stdout}
    assert len(pids) == 1
    assert pids != {"None"}
    for starter in starters[:3]:
        starter.communicate("\n", timeout=60)
    server = EmbeddedServer.attach(home)
    assert server is not None
    with admin(server) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    starters[3].communicate("\n", timeout=60)
    assert EmbeddedServer.attach(home) is None


def test_a_killed_owner_leaves_an_orphan_that_the_next_start_takes_over(used: Path) -> None:
    owner = python(HOLD, used)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    with EmbeddedServer.ensure(used, sync=False) as server:
        assert server.pid == pid
        with admin(server) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    assert EmbeddedServer.attach(used) is None


def test_a_killed_server_comes_back_with_every_committed_row(used: Path) -> None:
    with EmbeddedServer.ensure(used) as server:
        with admin(server) as connection:
            connection.execute("create table kept (value int)")
            for value in range(20):
                connection.execute("insert into kept values (%s)", [value])
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        until(lambda: restarted(used, pid))
        with admin(server) as connection:
            assert connection.execute("select count(*) from kept").fetchone() == (20,)
        assert "was not properly shut down" in server.log_file.read_text()


def test_a_zombie_postmaster_is_not_mistaken_for_a_server(used: Path) -> None:
    with EmbeddedServer.ensure(used, sync=False):
        pass
    parent = python(
        """
        from portfolio_platform.store.embedded import cluster, process
        found = cluster.find(Path(sys.argv[1]), 16)
        child = process.spawn(found, process.free_port(), sync=False, settings={})
        print(child.pid, flush=True)
        sys.stdin.readline()  # never waits for its child
        os._exit(0)
        """,
        used,
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    found = clusters.find(used, 16)
    assert found is not None
    until(lambda: process.await_running(found, deadline=20, progress=None) is not None)
    os.kill(pid, signal.SIGKILL)
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    try:
        assert EmbeddedServer.attach(used) is None
        with EmbeddedServer.ensure(used, sync=False) as server:
            assert server.pid not in (None, pid)
            with admin(server) as connection:
                assert connection.execute("select 1").fetchone() == (1,)
    finally:
        parent.communicate("\n", timeout=20)


def test_a_stale_pid_file_that_names_a_stranger_is_survived(used: Path) -> None:
    with EmbeddedServer.ensure(used, sync=False) as server:
        pid_file = server.data_dir / "postmaster.pid"
        lines = pid_file.read_text().splitlines()
        owner = pid_file.stat()
    stranger = subprocess.Popen(["/bin/sleep", "60"], **({"user": owner.st_uid} if ROOT else {}))
    try:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:6], "", lines[7]]) + "\n")
        os.chown(pid_file, owner.st_uid, owner.st_gid)
        assert EmbeddedServer.attach(used) is None
        with EmbeddedServer.ensure(used, sync=False) as server:
            assert server.pid not in (None, stranger.pid)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_the_daemon_outlives_its_starter_and_restarts_the_server(used: Path) -> None:
    up = python(
        """
        from portfolio_platform.store.embedded import EmbeddedServer
        print(EmbeddedServer.ensure(Path(sys.argv[1]), daemon=True).pid)
        """,
        used,
    )
    output, _ = up.communicate(timeout=60)
    pid = int(output)
    server = EmbeddedServer.attach(used)
    assert server is not None
    assert server.pid == pid
    with EmbeddedServer.ensure(used) as client:
        assert client.pid == pid
    assert server.pid == pid, "a client that leaves does not stop the daemon's server"
    os.kill(pid, signal.SIGKILL)
    until(lambda: restarted(used, pid))
    again = EmbeddedServer.ensure(used, daemon=True)
    assert again.pid not in (None, pid)
    daemon = int((used / "postgres/16/daemon.pid").read_text())
    again.shutdown()
    assert EmbeddedServer.attach(used) is None
    until(lambda: not psutil.pid_exists(daemon) or psutil.Process(daemon).status() == "zombie")


def test_shutdown_is_not_undone_by_a_supervisor_elsewhere(used: Path) -> None:
    owner = python(HOLD, used)
    assert owner.stdout is not None
    owner.stdout.readline()
    server = EmbeddedServer.attach(used)
    assert server is not None
    server.shutdown()
    time.sleep(0.5)
    assert EmbeddedServer.attach(used) is None
    owner.communicate("\n", timeout=30)
    assert owner.returncode == 0


def test_a_long_path_moves_the_socket_and_clients_find_it(home: Path) -> None:
    long = home / ("a" * 60) / ("b" * 60)
    with EmbeddedServer.ensure(long, sync=False) as server:
        assert len(str(server.socket_dir)) < 60
        with admin(server) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
        socket_dir = server.socket_dir
        other = EmbeddedServer.attach(long)
        assert other is not None
        assert other.socket_dir == socket_dir
    assert not socket_dir.exists()


def test_other_major_versions_are_refused_and_kept_apart(home: Path) -> None:
    with (
        EmbeddedServer.ensure(home, 18, sync=False) as newer,
        EmbeddedServer.ensure(home, 16, sync=False) as older,
    ):
        assert newer.data_dir != older.data_dir
    version = older.data_dir / "PG_VERSION"
    version.write_text("15\n")
    with pytest.raises(IncompatibleCluster, match="written by PostgreSQL 15"):
        EmbeddedServer.ensure(home, 16, sync=False)
    with pytest.raises(BinariesMissing, match="17 is not among"):
        EmbeddedServer.ensure(home, 17)


def test_an_interrupted_initdb_is_started_over(home: Path) -> None:
    partial = home / "postgres/16/data.partial"
    partial.mkdir(parents=True)
    (partial / "PG_VERSION").write_text("16\n")
    for directory in (home / "postgres", home / "postgres/16"):
        directory.chmod(0o755)
    with EmbeddedServer.ensure(home, sync=False) as server, admin(server) as connection:
        assert connection.execute("select 1").fetchone() == (1,)
    assert not partial.exists()


def test_a_server_that_cannot_start_says_why_and_leaves_nothing(used: Path) -> None:
    with pytest.raises(EmbeddedServerError, match="unrecognized configuration parameter"):
        EmbeddedServer.ensure(used, sync=False, settings={"no_such_setting": "1"})
    assert EmbeddedServer.attach(used) is None
    with EmbeddedServer.ensure(used, sync=False) as server:
        assert server.pid is not None


@as_root
def test_root_drops_to_an_account_and_leaves_private_parents_alone(home: Path) -> None:
    private = home / "private"
    private.mkdir(mode=0o700)
    checkout = private / "checkout" / ".portfolio"
    with EmbeddedServer.ensure(checkout, sync=False) as server:
        pid = server.pid
        assert pid is not None
        assert psutil.Process(pid).uids().real != 0
        assert private not in server.data_dir.parents
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
        location = server.data_dir.parent
        with admin(server) as connection:
            connection.execute("create table kept as select 1")
    try:
        with EmbeddedServer.ensure(checkout, sync=False) as server, admin(server) as connection:
            assert server.data_dir.parent == location
            assert connection.execute("select count(*) from kept").fetchone() == (1,)
            server.stop(remove=True)
        assert not location.exists()
    finally:
        shutil.rmtree(location, ignore_errors=True)


@as_root
def test_private_binaries_are_copied_not_opened_up(home: Path) -> None:
    private = home / "venv"
    private.mkdir(mode=0o700)
    package = binaries.locate(16).parent
    install = private / package.name / "pginstall"
    shutil.copytree(package / "pginstall", install, symlinks=True)
    shutil.copytree(package.with_name(f"{package.name}.libs"), private / f"{package.name}.libs")
    with EmbeddedServer.ensure(home / "h", sync=False, install=install) as server:
        pid = server.pid
        assert pid is not None
        running = Path(psutil.Process(pid).exe())
    copied = running.parents[3]
    assert copied.parent.name == binaries.SHARED
    try:
        assert private not in running.parents
        assert stat.S_IMODE(private.stat().st_mode) == 0o700
    finally:
        shutil.rmtree(copied)


def nobody_may(flag: str, path: str) -> bool:
    command = ["/usr/bin/test", flag, path]
    return subprocess.run(command, user="nobody", check=False).returncode == 0


@as_root
def test_an_ordinary_user_runs_it_and_root_joins_as_that_user() -> None:
    import pwd

    nobody = pwd.getpwnam("nobody")
    place = Path(tempfile.mkdtemp(prefix="pp-nobody-", dir=scratch()))
    os.chown(place, nobody.pw_uid, nobody.pw_gid)
    candidates = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")
    interpreter = next((path for path in candidates if nobody_may("-x", path)), None)
    site = Path(psycopg.__file__).parents[1]
    if interpreter is None or not nobody_may("-r", str(site)):
        shutil.rmtree(place)
        pytest.skip("the account nobody can run no interpreter of this version")
    body = """
        from portfolio_platform.store.embedded import EmbeddedServer
        server = EmbeddedServer.ensure(Path(sys.argv[1]), sync=False)
        print(os.geteuid(), server.pid, flush=True)
        sys.stdin.readline()
        server.stop()
    """
    child = python(
        body,
        place / "h",
        interpreter=interpreter,
        user=nobody.pw_uid,
        group=nobody.pw_gid,
        cwd="/",
        env={"PYTHONPATH": f"{site}:{Path(__file__).parents[2]}", "PATH": "/usr/bin:/bin"},
    )
    try:
        assert child.stdout is not None
        uid, pid = map(int, child.stdout.readline().split())
        assert uid == nobody.pw_uid
        assert psutil.Process(pid).uids().real == nobody.pw_uid
        with EmbeddedServer.ensure(place / "h", sync=False) as server:
            assert server.pid == pid
            assert server.service_user == "nobody"
            with admin(server, "tcp") as connection:
                assert connection.execute("select 1").fetchone() == (1,)
        child.communicate("\n", timeout=60)
        assert child.returncode == 0
        assert EmbeddedServer.attach(place / "h") is None
    finally:
        child.kill()
        shutil.rmtree(place)
