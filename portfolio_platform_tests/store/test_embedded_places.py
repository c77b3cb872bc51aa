"""Where the embedded server lives and as whom: awkward paths, root, private homes."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy as sa

from portfolio_platform.store.embedded import (
    BinariesMissing,
    EmbeddedServer,
    EmbeddedServerError,
    IncompatibleCluster,
    binaries,
    locks,
)
from portfolio_platform.store.embedded import cluster as clusters
from portfolio_platform_tests.store.embedded_homes import (
    admin,
    created,
    home,
    python,
    used,
)
from portfolio_platform_tests.store.postgres import scratch

__all__ = ["created", "home", "used"]


ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root drops to another account")


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


@pytest.mark.parametrize("name", ["with space & ünïcode %20", "a,b", "it's"])
def test_awkward_paths_work(used: Path, name: str) -> None:
    awkward = used / name
    awkward.mkdir(mode=0o755)
    (used / "postgres").rename(awkward / "postgres")
    with EmbeddedServer.ensure(awkward, sync=False) as server:
        for driver in ("psycopg", "psycopg2"):
            engine = sa.create_engine(server.url(driver=driver, role="supabase_admin"))
            with engine.connect() as connection:
                assert connection.execute(sa.text("select 1")).scalar() == 1
            engine.dispose()
        with admin(server) as connection:
            assert connection.execute("select 1").fetchone() == (1,)


def test_one_home_under_two_names_is_one_server(used: Path) -> None:
    other = used / "link"
    other.symlink_to(used)
    with (
        EmbeddedServer.ensure(used, sync=False) as server,
        EmbeddedServer.ensure(other, sync=False) as same,
    ):
        assert same.pid == server.pid
    moved = used / "moved"
    moved.mkdir(mode=0o755)
    (used / "postgres").rename(moved / "postgres")
    (used / "postgres").symlink_to(moved / "postgres")
    with (
        EmbeddedServer.ensure(used, sync=False) as server,
        EmbeddedServer.ensure(moved, sync=False) as same,
    ):
        assert same.pid == server.pid


def test_a_home_that_cannot_be_written_is_named(home: Path) -> None:
    (home / "file").write_text("")
    for daemon in (False, True):
        with pytest.raises(EmbeddedServerError, match=r"cannot write to .*set PORTFOLIO_HOME"):
            EmbeddedServer.ensure(home / "file" / "below", daemon=daemon)


def test_a_start_that_hangs_is_not_waited_for_for_ever(used: Path) -> None:
    told: list[str] = []
    lock = used / "postgres/16/start.lock"
    with locks.exclusive(lock, timeout=5), pytest.raises(EmbeddedServerError, match="too long"):
        EmbeddedServer.ensure(
            used, sync=False, deadline=0.3, progress=lambda _, doing: told.append(doing)
        )
    assert set(told) == {"another process is starting PostgreSQL"}


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
def test_clusters_of_temporary_homes_that_are_gone_are_removed() -> None:
    def start(home: Path) -> Path:
        with EmbeddedServer.ensure(home, sync=False) as server:
            return server.data_dir.parent

    private = Path(tempfile.mkdtemp(prefix="pp-private-"))  # mode 0700, in the temporary directory
    kept, gone = start(private / "kept"), start(private / "gone")
    shutil.rmtree(private / "gone")
    last = start(private / "last")
    assert kept.exists()
    assert not gone.exists()
    shutil.rmtree(private)
    for left in (kept, last):
        shutil.rmtree(left)


def test_several_may_remove_the_same_cluster_at_once(tmp_path: Path) -> None:
    for number in range(8):
        cluster = tmp_path / f"place/{number}"
        (cluster / "data/base").mkdir(parents=True)
        (cluster / "home").write_text(f"{tmp_path}/gone/postgres/16\n")
        for file in range(100):
            (cluster / f"data/base/{file}").touch()
    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(clusters._remove_orphans, tmp_path / "place") for _ in range(4)]:
            done.result()
    assert list((tmp_path / "place").iterdir()) == []


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
