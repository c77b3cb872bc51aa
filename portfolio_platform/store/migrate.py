"""Apply `supabase/migrations/*.sql` and record them as the Supabase CLI does.

The record is `supabase_migrations.schema_migrations`, so `supabase migration list` agrees. Each
file runs in one transaction together with its row; concurrent runners are serialised by an
advisory lock.
"""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from portfolio_platform.store import database

MIGRATIONS = Path(__file__).resolve().parents[2] / "supabase" / "migrations"
FLOOR = Path(__file__).with_name("floor.sql")
FILE_NAME = re.compile(r"^(\d{14})_([a-z0-9_]+)\.sql$")
LOCK = "portfolio_platform.migrations"


class MigrationError(database.DatabaseError):
    """A migration cannot be applied, or what was applied is not what the file says now."""


class NoFloor(MigrationError):
    """The server has nothing of what a Supabase project has before the first migration."""


@dataclass(frozen=True)
class Migration:
    """One file: 14-digit version, name, SQL text."""

    version: str
    name: str
    text: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()


def read(directory: Path = MIGRATIONS) -> list[Migration]:
    """Migrations of `directory` in order.

    Raises
    ------
    MigrationError
        No directory, a file name the Supabase CLI would ignore, or two files of one version.
    """
    if not directory.is_dir():
        raise MigrationError(f"no migrations at {directory}; run from a checkout of the repository")
    found: dict[str, Migration] = {}
    for path in sorted(directory.glob("*.sql")):
        match = FILE_NAME.match(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is not named <YYYYMMDDHHMMSS>_<name>.sql")
        version, name = match.groups()
        if version in found:
            raise MigrationError(f"two migrations have version {version}")
        found[version] = Migration(version, name, path.read_text())
    return [found[version] for version in sorted(found)]


def applied(connection: database.Connection) -> dict[str, list[str] | None]:
    """Recorded versions with their statements; empty before the first migration."""
    exists = connection.execute(
        "select to_regclass('supabase_migrations.schema_migrations')"
    ).fetchone()
    if exists is None or exists[0] is None:
        return {}
    rows = connection.execute(
        "select version, statements from supabase_migrations.schema_migrations"
    ).fetchall()
    return {version: statements for version, statements in rows}


def pending(connection: database.Connection, directory: Path = MIGRATIONS) -> list[str]:
    """Versions on disk that the database has not seen (readiness asks this)."""
    known = applied(connection)
    return [migration.version for migration in read(directory) if migration.version not in known]


def _check_drift(migration: Migration, statements: Sequence[str] | None) -> None:
    """Compare with what was recorded; rows of the Supabase CLI hold one entry per statement."""
    if not statements:
        return
    recorded = _squeeze("".join(statements))
    if recorded != _squeeze(migration.text):
        raise MigrationError(
            f"migration {migration.version}_{migration.name} was changed after it had been "
            "applied to this database; restore the file and put the change in a new migration"
        )


def _squeeze(text: str) -> str:
    """SQL without comments, white space and semicolons, which the CLI drops or moves."""
    return re.sub(r"[\s;]+", "", re.sub(r"--[^\n]*", "", text))


def migrate(
    url: str,
    directory: Path = MIGRATIONS,
    *,
    progress: Callable[[str], Any] | None = None,
) -> list[str]:
    """Bring the database of `url` to the newest migration.

    Parameters
    ----------
    url : str
        Any spelling; log in as the role that owns the schema (`postgres` on Supabase).
    progress : callable, optional
        Told each migration's name before it runs.

    Returns
    -------
    list of str
        Versions applied now; empty when the database was up to date.

    Raises
    ------
    MigrationError
        A file changed after it was applied, the database is ahead of this checkout in between,
        or a statement failed (nothing of that file stays).
    DatabaseTooOld, DatabaseUnreachable
    """
    if database.parse(url).port == database.TRANSACTION_POOLER_PORT:  # session lock below
        raise MigrationError(
            "migrations cannot run through the transaction pooler (port 6543); use the direct "
            "connection or the session pooler (port 5432)"
        )
    migrations = read(directory)
    done: list[str] = []
    with database.connect(url, autocommit=True) as connection:
        database.check_version(connection)
        connection.execute("set idle_in_transaction_session_timeout = 0")
        connection.execute("set statement_timeout = 0")
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [LOCK])
        _check_floor(connection)
        connection.execute("create schema if not exists supabase_migrations")
        connection.execute(
            "create table if not exists supabase_migrations.schema_migrations "
            "(version text primary key, statements text[], name text)"
        )
        known = applied(connection)
        for migration in migrations:
            if migration.version in known:
                _check_drift(migration, known[migration.version])
                continue
            if progress is not None:
                progress(f"{migration.version}_{migration.name}")
            _apply(connection, migration)
            done.append(migration.version)
    return done


def _check_floor(connection: database.Connection) -> None:
    """Say what is missing before the first statement that needs it fails."""
    row = connection.execute(
        "select to_regclass('auth.users') is not null, "
        "  (select count(*) from pg_roles "
        "   where rolname in ('anon', 'authenticated', 'service_role'))"
    ).fetchone()
    if row is None or row[0] is not True or row[1] != 3:
        raise NoFloor(
            "this database has no `auth` schema or API roles, so it is not a Supabase project; "
            f'lay them once as a superuser: psql "$DATABASE_URL" -f {FLOOR}'
        )


def _apply(connection: database.Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.text.encode())
            connection.execute(
                "insert into supabase_migrations.schema_migrations (version, name, statements) "
                "values (%s, %s, %s)",
                [migration.version, migration.name, [migration.text]],
            )
    except psycopg.Error as error:
        position = error.diag.statement_position
        line = ""
        if position is not None:
            line = f" at line {migration.text[: int(position) - 1].count(chr(10)) + 1}"
        raise MigrationError(
            f"migration {migration.version}_{migration.name} failed{line} and was rolled back: "
            f"{database.redact(str(error)).strip().splitlines()[0]}"
        ) from error
