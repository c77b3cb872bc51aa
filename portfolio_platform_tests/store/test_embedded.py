"""The embedded server: every way to start, share, lose and stop it."""

import os
import signal
import stat
import subprocess
import threading
import time
from pathlib import Path

import psutil
import psycopg
import pytest

from portfolio_platform.store.embedded import (
    EmbeddedServer,
    EmbeddedServerError,
    locks,
    process,
)
from portfolio_platform.store.embedded import cluster as clusters
from portfolio_platform_tests.store.embedded_homes import (
    HOLD,
    admin,
    created,
    home,
    python,
    restarted,
    until,
    used,
)

__all__ = ["created", "home", "used"]


ROOT = os.geteuid() == 0


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


def test_after_everything_was_killed_the_next_start_recovers_and_says_so(home: Path) -> None:
    body = """
        import psycopg
        from portfolio_platform.store.embedded import EmbeddedServer
        server = EmbeddedServer.ensure(Path(sys.argv[1]))
        url = server.url(driver=None, role="supabase_admin")
        connection = psycopg.connect(url, autocommit=True)
        connection.execute("create table kept (value int)")
        for value in range(50):
            connection.execute("insert into kept values (%s)", [value])
        connection.execute("begin")
        connection.execute("insert into kept values (99)")
        print(server.pid, flush=True)
        sys.stdin.readline()
    """
    owner = python(body, home)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.kill()
    owner.wait()
    os.kill(pid, signal.SIGKILL)
    told: list[str] = []
    with EmbeddedServer.ensure(home, progress=lambda _, doing: told.append(doing)) as server:
        assert server.pid != pid
        with admin(server) as connection:
            found = connection.execute("select count(*), max(value) from kept").fetchone()
        assert found == (50, 49)
    assert told
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


def test_a_server_stopped_by_others_is_started_again_by_the_next_up(used: Path) -> None:
    """An immediate shutdown ends in good order, as one by hand does: nobody restarts it."""
    body = """
        from portfolio_platform.store.embedded import EmbeddedServer
        print(EmbeddedServer.ensure(Path(sys.argv[1]), daemon=True).pid)
    """
    pid = int(python(body, used).communicate(timeout=60)[0])
    daemon = int((used / "postgres/16/daemon.pid").read_text())
    os.kill(pid, signal.SIGQUIT)
    until(lambda: not psutil.pid_exists(daemon) or psutil.Process(daemon).status() == "zombie")
    server = EmbeddedServer.ensure(used, daemon=True, deadline=60)
    assert server.pid not in (None, pid)
    server.shutdown()
    assert EmbeddedServer.attach(used) is None


def test_a_killed_daemon_is_replaced_and_its_server_kept(used: Path) -> None:
    body = """
        from portfolio_platform.store.embedded import EmbeddedServer
        print(EmbeddedServer.ensure(Path(sys.argv[1]), daemon=True).pid)
    """
    pid = int(python(body, used).communicate(timeout=60)[0])
    first = int((used / "postgres/16/daemon.pid").read_text())
    os.kill(first, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(first) or psutil.Process(first).status() == "zombie")
    server = EmbeddedServer.ensure(used, daemon=True)
    assert server.pid == pid
    second = int((used / "postgres/16/daemon.pid").read_text())
    assert second != first
    os.kill(pid, signal.SIGKILL)
    until(lambda: restarted(used, pid))
    server.shutdown()
    assert EmbeddedServer.attach(used) is None
    until(lambda: not psutil.pid_exists(second) or psutil.Process(second).status() == "zombie")


def test_a_lock_that_outlives_its_daemon_is_waited_for(used: Path) -> None:
    """The last thread of a killed process lets go of the lock after the process is gone."""
    base = used / "postgres/16"
    gone = python("", used)
    gone.communicate(timeout=60)
    base.mkdir(parents=True, exist_ok=True)
    (base / "daemon.pid").write_text(f"{gone.pid}\n")
    held = locks.try_lock(base / "daemon.lock")
    assert held is not None
    letting_go = threading.Timer(0.5, os.close, [held])
    letting_go.start()
    with EmbeddedServer.ensure(used) as client:
        server = EmbeddedServer.ensure(used, daemon=True)
        letting_go.join()
        assert server.pid == client.pid
        assert int((base / "daemon.pid").read_text()) != gone.pid
        server.shutdown()


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
