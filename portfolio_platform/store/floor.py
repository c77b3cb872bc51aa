"""Lay the Supabase floor in the embedded server: roles, `auth`, `realtime`, the publication."""

from importlib import resources

import psycopg
from psycopg import sql

from portfolio_platform.store.embedded import EmbeddedServer

FLOOR = "floor.sql"
LOCK = "portfolio_platform.floor"
LOGINS = ("postgres", "authenticator", "portfolio_api")


def lay(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Lay the floor in the database of `connection`, a superuser's; idempotent.

    Only for servers of our own. A hosted project has all of it, and on any other external server
    the roles are for its administrator to make.
    """
    text = resources.files("portfolio_platform.store").joinpath(FLOOR).read_bytes()
    connection.execute(text)
    connection.commit()


def lay_in(server: EmbeddedServer, database: str = "postgres") -> None:
    """Lay the floor in one database of the embedded server and give the logins their passwords."""
    url = server.url(database, driver=None, role="supabase_admin")
    with psycopg.connect(url, options="-c client_min_messages=warning") as connection:
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [LOCK])
        lay(connection)
        for role in LOGINS:
            connection.execute(
                sql.SQL("alter role {} password {}").format(
                    sql.Identifier(role), sql.Literal(server.password(role))
                )
            )


def create_database(server: EmbeddedServer, name: str) -> None:
    """Create database `name` owned by `postgres` unless it is there (Dagster's storage)."""
    url = server.url("postgres", driver=None, role="supabase_admin")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("select pg_advisory_lock(hashtextextended(%s, 0))", [LOCK])
        known = connection.execute("select from pg_database where datname = %s", [name]).fetchone()
        if known is None:
            connection.execute(
                sql.SQL("create database {} owner postgres").format(sql.Identifier(name))
            )
