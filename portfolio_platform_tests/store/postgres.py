"""A real Postgres for tests: one throw-away cluster per process, cheap databases in it.

Import the fixtures in the `conftest.py` of any room::

    from portfolio_platform_tests.store.postgres import cluster, database, fresh_database

`database` is migrated once and shared by the session; `fresh_database` is a clone for one test.
Under pytest-xdist each worker has a cluster of its own: the change feed waits for the oldest open
write transaction of the whole cluster, which would otherwise be another worker's.
"""

import contextlib
import itertools
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from portfolio_platform.store import database as db
from portfolio_platform.store import floor, migrate
from portfolio_platform.store.embedded import EmbeddedServer, locks

PREFIX = "portfolio-tests-"
TEMPLATE = "template_migrated"
SMALL_WAL = {"max_wal_size": "128MB", "min_wal_size": "32MB"}
_numbers = itertools.count()


@dataclass(frozen=True)
class Database:
    """A migrated database of the throw-away cluster."""

    server: EmbeddedServer
    name: str

    def url(
        self, role: str = "postgres", driver: str | None = None, transport: str = "socket"
    ) -> str:
        """URL for `role`: postgres (default), supabase_admin or authenticator."""
        return self.server.url(self.name, driver, role, transport=transport)

    def connect(self, role: str = "postgres", *, autocommit: bool = True) -> db.Connection:
        """A psycopg connection as a login role."""
        return psycopg.connect(self.url(role), autocommit=autocommit)

    @contextlib.contextmanager
    def acting_as(
        self, role: str, user_id: str | uuid.UUID | None = None
    ) -> Iterator[db.Connection]:
        """A transaction under an API role and a user's claims; rolled back at the end."""
        with self.connect(autocommit=False) as connection:
            claims = f'{{"sub": "{user_id}", "role": "{role}"}}' if user_id else None
            db.as_role(connection, role, claims)
            try:
                yield connection
            finally:
                connection.rollback()

    def add_user(self, email: str | None = None) -> uuid.UUID:
        """Sign a user up (as the superuser: `postgres` may not write to `auth`)."""
        with self.connect("supabase_admin") as connection:
            row = connection.execute(
                "insert into auth.users (email) values (%s) returning id", [email]
            ).fetchone()
        assert row is not None
        return row[0]


def scratch() -> Path:
    """Where throw-away clusters lie: in memory when there is a gigabyte of it, ten times faster."""
    memory = Path("/dev/shm")
    if os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > 2**30:
        return memory
    return Path(tempfile.gettempdir())


def _home(testrun: str) -> Path:
    return scratch() / f"{PREFIX}{os.getuid()}-{testrun}"


def _sweep() -> None:
    """Remove clusters that killed test runs left behind; those in use hold a lock."""
    for home in scratch().glob(f"{PREFIX}{os.getuid()}-*"):
        with contextlib.suppress(OSError):
            if time.time() - home.stat().st_mtime > 600:
                (home / "postgres").rmdir()
                home.rmdir()
        for base in home.glob("postgres/*"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - base.stat().st_mtime < 600:
                    continue
                held = locks.try_lock(base / "clients.lock")
                if held is None:
                    continue
                os.close(held)
                server = EmbeddedServer.attach(home, int(base.name))
                if server is not None:
                    server.shutdown()
                shutil.rmtree(home, ignore_errors=True)


def start_cluster(testrun: str, major: int = 16, *, sync: bool = False) -> EmbeddedServer:
    """Join the throw-away cluster of a test run, starting it when needed."""
    if sync:  # for measurements: on a disk, and flushed
        home = Path(tempfile.gettempdir()) / f"{PREFIX}{os.getuid()}-{testrun}"
        return EmbeddedServer.ensure(home, major)
    return EmbeddedServer.ensure(_home(testrun), major, sync=False, settings=SMALL_WAL)


def stop_cluster(server: EmbeddedServer) -> None:
    """Leave the throw-away cluster; the last one out removes it."""
    if server.stop(remove=True):
        shutil.rmtree(server.home, ignore_errors=True)


def prepare_template(server: EmbeddedServer) -> None:
    """A database with floor and migrations, once per cluster, to clone from."""
    base = server.data_dir.parent
    with locks.exclusive(base / "template.lock", timeout=120):
        admin = server.url("postgres", driver=None, role="supabase_admin")
        with psycopg.connect(admin, autocommit=True) as connection:
            ready = connection.execute(
                "select 1 from pg_database where datname = %s and datistemplate", [TEMPLATE]
            ).fetchone()
            if ready is not None:
                return
            connection.execute(f"drop database if exists {TEMPLATE}")
            connection.execute(f"create database {TEMPLATE}")
            floor.lay_in(server, TEMPLATE)
            migrate.migrate(server.url(TEMPLATE, driver=None))
            connection.execute(f"alter database {TEMPLATE} with is_template true")


def clone(server: EmbeddedServer, name: str) -> Database:
    """A migrated database called `name`."""
    with psycopg.connect(
        server.url("postgres", driver=None, role="supabase_admin"), autocommit=True
    ) as connection:
        connection.execute(
            sql.SQL("create database {} template {} strategy file_copy").format(
                sql.Identifier(name), sql.Identifier(TEMPLATE)
            )
        )
        connection.execute(
            sql.SQL("grant create, connect, temporary on database {} to postgres").format(
                sql.Identifier(name)
            )
        )
    return Database(server, name)


def drop(database: Database) -> None:
    """Drop a cloned database and everyone in it."""
    with psycopg.connect(
        database.server.url("postgres", driver=None, role="supabase_admin"), autocommit=True
    ) as connection:
        connection.execute(
            sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(database.name))
        )


@pytest.fixture(scope="session")
def cluster(request: pytest.FixtureRequest) -> Iterator[EmbeddedServer]:
    """The throw-away PostgreSQL 16 of this test run, with floor and migrations in a template."""
    # One for each worker: an open write transaction of one test holds back the feed of all others
    # in the same cluster.
    testrun = f"{os.environ.get('PYTEST_XDIST_WORKER', 'main')}-{os.getpid()}"
    _sweep()
    server = start_cluster(testrun)
    prepare_template(server)
    yield server
    stop_cluster(server)


def _name(request: pytest.FixtureRequest) -> str:
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    return f"t_{worker}_{os.getpid()}_{next(_numbers)}"


@pytest.fixture(scope="session")
def database(cluster: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Database]:
    """One migrated database shared by the tests of this worker."""
    made = clone(cluster, _name(request))
    yield made
    drop(made)


@pytest.fixture
def fresh_database(cluster: EmbeddedServer, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database for one test alone."""
    made = clone(cluster, _name(request))
    yield made
    drop(made)
