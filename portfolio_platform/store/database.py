"""Connections: one way to write a database URL, and errors that say what to do about it."""

import os
import re
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.engine import URL, make_url

TRANSACTION_POOLER_PORT = 6543
MINIMUM_VERSION = 150000
Connection = psycopg.Connection[tuple[Any, ...]]


class DatabaseError(RuntimeError):
    """Base of the errors of this room that a user can do something about."""


class BadDatabaseUrl(DatabaseError):
    """DATABASE_URL is not a Postgres URL."""


class DatabaseUnreachable(DatabaseError):
    """No connection could be made; the message says where to and what to check."""


class DatabaseTooOld(DatabaseError):
    """The server is older than PostgreSQL 15."""


def parse(url: str) -> URL:
    """Parse any of the usual spellings of a Postgres URL.

    Accepted: `postgres://`, `postgresql://`, and `postgresql+driver://`.

    Raises
    ------
    BadDatabaseUrl
        Anything else. The text of the URL is not repeated: it may hold a password.
    """
    scheme, separator, rest = url.strip().partition("://")
    if not separator or scheme.split("+")[0] not in ("postgres", "postgresql"):
        raise BadDatabaseUrl(
            "DATABASE_URL must look like postgresql://user:password@host:5432/database"
        )
    try:
        return make_url(f"postgresql://{rest}")
    except (sa.exc.ArgumentError, ValueError):
        raise BadDatabaseUrl(
            "DATABASE_URL could not be parsed; percent-encode special characters in the password"
        ) from None


def normalise(url: str, driver: str | None = "psycopg") -> str:
    """The same URL with an explicit SQLAlchemy driver (None: plain `postgresql://`).

    The plain form of libpq, for `psycopg.connect` and for other tools, keeps a socket directory
    in its `host` query parameter.
    """
    parsed = parse(url)
    name = f"postgresql+{driver}" if driver else "postgresql"
    return parsed.set(drivername=name).render_as_string(hide_password=False)


def redact(text: str) -> str:
    """`text` with the passwords of URLs and connection strings masked."""
    masked = re.sub(r"(\w[\w+.-]*://[^:/@\s]*):[^@/]*@", r"\1:***@", text)
    return re.sub(r"(?i)(password\s*=\s*)('[^']*'|\S+)", r"\1***", masked)


def place(url: str) -> str:
    """Where a URL points, for messages: host, port and database, no secret."""
    parsed = parse(url)
    host = parsed.host or parsed.query.get("host") or "localhost"
    port = parsed.port or parsed.query.get("port") or 5432
    return f"{host}:{port}/{parsed.database or ''}"


def _through_transaction_pooler(url: URL) -> bool:
    return url.port == TRANSACTION_POOLER_PORT


def _remedy(url: str, said: str) -> str:
    lowered = said.lower()
    if "password authentication failed" in lowered or "no password supplied" in lowered:
        return "check the user and password in DATABASE_URL"
    if "does not exist" in lowered:
        return "check the database and user names in DATABASE_URL"
    if "too many" in lowered or "remaining connection slots" in lowered:
        return "close other clients or use a pooler"
    if "name or service not known" in lowered or "translate host name" in lowered:
        return "check the host name in DATABASE_URL"
    if parse(url).host is None:
        return "start the embedded server with `portfolio-platform up`"
    return (
        "check that the server runs and that DATABASE_URL is right, or unset it to use the "
        "embedded server (`portfolio-platform up`)"
    )


def unreachable(url: str, error: BaseException) -> DatabaseUnreachable:
    """The typed error for a failed connection to `url`."""
    lines = redact(str(error)).strip().splitlines()
    said = lines[-1] if lines else type(error).__name__
    return DatabaseUnreachable(f"cannot connect to {place(url)}: {said}; {_remedy(url, said)}")


def connect(
    url: str,
    *,
    autocommit: bool = False,
    application_name: str = "portfolio_platform",
    connect_timeout: int = 10,
    **options: Any,
) -> Connection:
    """A psycopg connection.

    Raises
    ------
    BadDatabaseUrl, DatabaseUnreachable
        The message never holds a password.
    """
    parsed = parse(url)
    parameters: dict[str, Any] = {
        **conninfo_to_dict(normalise(url, None)),
        "connect_timeout": connect_timeout,
    }
    parameters.setdefault("application_name", application_name)
    if _through_transaction_pooler(parsed):
        options.setdefault("prepare_threshold", None)
    try:
        return psycopg.connect(make_conninfo("", **parameters), autocommit=autocommit, **options)
    except psycopg.OperationalError as error:
        raise unreachable(url, error) from None


def engine(url: str, **options: Any) -> sa.Engine:
    """A SQLAlchemy engine on psycopg 3, pre-pinged, safe behind a transaction pooler."""
    parsed = parse(url).set(drivername="postgresql+psycopg")
    arguments: dict[str, Any] = {
        "connect_timeout": 10,
        "application_name": "portfolio_platform",
        **options.pop("connect_args", {}),
    }
    if _through_transaction_pooler(parsed):
        arguments["prepare_threshold"] = None
    options.setdefault("pool_pre_ping", True)
    return sa.create_engine(parsed, connect_args=arguments, **options)


def check_version(connection: Connection) -> int:
    """Major version of the server.

    Raises
    ------
    DatabaseTooOld
        Below PostgreSQL 15.
    """
    number = connection.info.server_version
    if number < MINIMUM_VERSION:
        raise DatabaseTooOld(
            f"PostgreSQL {number // 10000} is too old: the schema needs 15 or newer "
            "(hosted Supabase is 17); upgrade the server or unset DATABASE_URL"
        )
    return number // 10000


def as_role(connection: Connection, role: str, claims: str | None = None) -> None:
    """Take a role and JWT claims for the rest of the transaction, as PostgREST does.

    Both vanish at its end, so nothing leaks to the next user of a pooled connection.
    """
    if role not in ("anon", "authenticated", "service_role"):
        raise ValueError(f"unknown API role {role!r}")
    connection.execute(sql.SQL("set local role {}").format(sql.Identifier(role)))
    connection.execute("select set_config('request.jwt.claims', %s, true)", [claims or ""])


def environment_url() -> str | None:
    """DATABASE_URL, or None when it is unset or empty."""
    return os.environ.get("DATABASE_URL") or None
