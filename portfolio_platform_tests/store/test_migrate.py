"""Migrations: once, in order, whole, as a plain role, on the oldest and newest server we carry."""

import shutil
import tempfile
import threading
from pathlib import Path

import psycopg
import pytest

from portfolio_platform.store import database as db
from portfolio_platform.store import floor, migrate
from portfolio_platform.store.embedded import EmbeddedServer
from portfolio_platform_tests.store.postgres import Database, scratch

SYSTEM_15 = Path("/usr/lib/postgresql/15")  # Debian's, where it happens to be installed


@pytest.fixture(scope="module", params=[pytest.param(15, marks=pytest.mark.nightly), 16, 18])
def server(request, cluster: EmbeddedServer):
    if request.param == cluster.major:
        yield cluster
        return
    install = SYSTEM_15 if request.param == 15 else None
    if install is not None and not install.is_dir():
        pytest.skip(f"no PostgreSQL 15 at {SYSTEM_15}; 16 and 18 are tested everywhere")
    home = Path(tempfile.mkdtemp(prefix="pp-home-", dir=scratch()))
    home.chmod(0o755)
    started = EmbeddedServer.ensure(home, request.param, sync=False, install=install)
    yield started
    started.shutdown()
    shutil.rmtree(home)


@pytest.fixture
def empty(server: EmbeddedServer):
    """A database with the floor and no migration."""
    name = "m_empty"
    admin = server.url("postgres", driver=None, role="supabase_admin")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name} with (force)")
        connection.execute(f"create database {name}")
    floor.lay_in(server, name)
    yield Database(server, name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)")


def directory(path: Path, **files: str) -> Path:
    for number, (name, text) in enumerate(files.items(), start=1):
        (path / f"2026010100000{number}_{name}.sql").write_text(text)
    return path


def test_floor_and_migrations_twice_as_a_plain_role(empty: Database) -> None:
    url = empty.url()
    versions = [migration.version for migration in migrate.read()]
    assert versions[0] == "20261122000100"
    with empty.connect() as connection:
        assert migrate.pending(connection) == versions
    assert migrate.migrate(url) == versions
    floor.lay_in(empty.server, empty.name)
    assert migrate.migrate(url) == []
    with empty.connect() as connection:
        assert migrate.pending(connection) == []
        owners = connection.execute(
            "select distinct tableowner from pg_tables "
            "where schemaname in ('public', 'ops', 'chain')"
        ).fetchall()
        superuser = connection.execute(
            "select rolsuper from pg_roles where rolname = 'postgres'"
        ).fetchone()
        recorded = connection.execute(
            "select version, name, cardinality(statements) "
            "from supabase_migrations.schema_migrations order by version"
        ).fetchall()
    assert owners == [("postgres",)]
    assert superuser == (False,)
    assert recorded == [(m.version, m.name, 1) for m in migrate.read()]


def test_what_hosted_refuses_the_plain_role_the_floor_refuses_too(empty: Database) -> None:
    refused = [
        "create table auth.ours (id int)",
        "create function auth.ours() returns int language sql as 'select 1'",
        "insert into auth.users (email) values ('a@b')",
        "alter role supabase_admin password 'x'",
        "alter system set work_mem = '1GB'",
        "create publication ours for all tables",
    ]
    if empty.server.major >= 16:  # before, CREATEROLE reached every role but superusers
        refused.append("alter role anon set statement_timeout = 0")
    for statement in refused:
        with (
            empty.connect() as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(statement)
    with empty.connect(autocommit=False) as connection:
        connection.execute("create table public.mine (id uuid references auth.users (id))")
        connection.execute("alter publication supabase_realtime add table public.mine")
        connection.execute("select realtime.send('{}', 'event', 'topic', false)")
        connection.rollback()


def test_a_failing_migration_leaves_nothing_and_names_its_line(
    empty: Database, tmp_path: Path
) -> None:
    path = directory(
        tmp_path,
        good="create table public.good (id int);",
        bad="create table public.half (id int);\n\nselect nothing from nowhere;",
    )
    with pytest.raises(migrate.MigrationError, match=r"000002_bad failed at line 3.*nowhere"):
        migrate.migrate(empty.url(), path)
    with empty.connect() as connection:
        assert connection.execute(
            "select to_regclass('public.good') is not null, to_regclass('public.half') is null"
        ).fetchone() == (True, True)
        assert list(migrate.applied(connection)) == ["20260101000001"]
    (path / "20260101000002_bad.sql").write_text("create table public.half (id int);")
    assert migrate.migrate(empty.url(), path) == ["20260101000002"]


def test_a_file_changed_after_it_was_applied_is_refused(empty: Database, tmp_path: Path) -> None:
    path = directory(tmp_path, one="create table public.one (id int); -- first\n")
    migrate.migrate(empty.url(), path)
    file = path / "20260101000001_one.sql"
    file.write_text("-- a comment is no change\ncreate table public.one (\n  id int\n);\n")
    assert migrate.migrate(empty.url(), path) == []
    file.write_text("create table public.one (id bigint);")
    with pytest.raises(migrate.MigrationError, match="changed after it had been applied"):
        migrate.migrate(empty.url(), path)


def test_runners_at_once_apply_each_file_once(empty: Database) -> None:
    done: list[list[str]] = []
    runners = [
        threading.Thread(target=lambda: done.append(migrate.migrate(empty.url()))) for _ in range(4)
    ]
    for runner in runners:
        runner.start()
    for runner in runners:
        runner.join()
    versions = [migration.version for migration in migrate.read()]
    assert sorted(done) == [[], [], [], versions]


def test_a_database_that_is_no_supabase_is_told_what_it_lacks(server: EmbeddedServer) -> None:
    admin = server.url("postgres", driver=None, role="supabase_admin")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute("create database m_plain")
    try:
        url = server.url("m_plain", driver=None, role="supabase_admin")
        with pytest.raises(migrate.NoFloor, match=r"psql .* -f .*floor\.sql"):
            migrate.migrate(url)
        with psycopg.connect(url) as connection:
            connection.execute(migrate.FLOOR.read_bytes())
        assert migrate.migrate(url)
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute("drop database m_plain with (force)")


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["1_short.sql"], "is not named"),
        (["20260101000001_a.sql", "20260101000001_b.sql"], "two migrations have version"),
    ],
)
def test_files_the_cli_would_not_take_are_refused(tmp_path: Path, names, said: str) -> None:
    for name in names:
        (tmp_path / name).write_text("select 1;")
    with pytest.raises(migrate.MigrationError, match=said):
        migrate.read(tmp_path)


def test_no_directory_and_the_wrong_door_are_named(tmp_path: Path) -> None:
    with pytest.raises(migrate.MigrationError, match="no migrations at"):
        migrate.read(tmp_path / "missing")
    with pytest.raises(migrate.MigrationError, match="transaction pooler"):
        migrate.migrate("postgresql://u:secret@h.pooler.supabase.com:6543/postgres")


def test_a_server_that_is_too_old_is_refused(database: Database, monkeypatch) -> None:
    monkeypatch.setattr(db, "MINIMUM_VERSION", 990000)
    with pytest.raises(db.DatabaseTooOld, match="16 is too old"):
        migrate.migrate(database.url())
