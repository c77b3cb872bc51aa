"""Database URLs in every spelling, and errors that say what to do and keep secrets."""

import socket

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.store import database as db
from portfolio_platform_tests.store.postgres import Database

SECRET = "p@ss/w:rd%?#s3cret"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg2"])
def test_every_spelling_becomes_one(scheme: str) -> None:
    url = f"{scheme}://u:p%40ss@h:5433/d?sslmode=require"
    assert db.normalise(url) == "postgresql+psycopg://u:p%40ss@h:5433/d?sslmode=require"
    assert db.normalise(url, None) == "postgresql://u:p%40ss@h:5433/d?sslmode=require"
    assert db.place(url) == "h:5433/d"


@given(st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=6))
def test_no_password_survives_redaction(password: str) -> None:
    url = sa.URL.create("postgresql", "user", password, "host", 5432, "d").render_as_string(False)
    quoted = url.split("://user:")[1].rsplit("@", 1)[0]
    shown = db.redact(f"could not connect to {url}: refused")
    assert f":{quoted}@" not in shown
    assert "user:***@host:5432/d" in shown


@pytest.mark.parametrize(
    "url", ["", "mysql://u:s3cret@h/d", "s3cret", "postgresql://u:s3cret@h:x/d"]
)
def test_what_is_no_postgres_url_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(db.BadDatabaseUrl) as caught:
        db.parse(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nobody_listening_says_where_and_what_to_do() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = sa.URL.create("postgresql", "u", SECRET, "127.0.0.1", port, "d").render_as_string(False)
    with pytest.raises(db.DatabaseUnreachable) as caught:
        db.connect(url)
    said = str(caught.value)
    assert f"127.0.0.1:{port}/d" in said
    assert "portfolio-platform up" in said
    assert "s3cret" not in said
    assert caught.value.__suppress_context__, "the driver's own error may hold the password"


def test_wrong_password_and_wrong_database_are_told_apart(database: Database) -> None:
    server = database.server
    with pytest.raises(db.DatabaseUnreachable, match="check the user and password"):
        db.connect(f"postgresql://postgres:{'wrong'}@127.0.0.1:{server.port}/postgres")
    with pytest.raises(db.DatabaseUnreachable, match="check the database and user names"):
        db.connect(server.url("no_such_database", driver=None))


def test_connections_and_engines_reach_the_same_place(database: Database) -> None:
    for transport in ("socket", "tcp"):
        url = database.url(transport=transport)
        with db.connect(url) as connection:
            assert db.check_version(connection) == 16
            raw = connection.execute("select current_database(), current_user").fetchone()
        engine = db.engine(url)
        with engine.connect() as joined:
            row = joined.execute(sa.text("select current_database(), current_user")).one()
        engine.dispose()
        assert tuple(row) == raw == (database.name, "postgres")


def test_the_transaction_pooler_gets_no_prepared_statements(monkeypatch) -> None:
    seen = {}

    def connect(conninfo: str, **options: object) -> None:
        seen.update(options, conninfo=conninfo)

    monkeypatch.setattr(db.psycopg, "connect", connect)
    db.connect("postgresql://u:p@h.pooler.supabase.com:6543/postgres")
    assert seen["prepare_threshold"] is None
    seen.clear()
    db.connect("postgresql://u:p@h.pooler.supabase.com:5432/postgres")
    assert "prepare_threshold" not in seen


def test_only_api_roles_can_be_acted_as(database: Database) -> None:
    with database.connect(autocommit=False) as connection:
        with pytest.raises(ValueError, match="unknown API role"):
            db.as_role(connection, "supabase_admin")
        db.as_role(connection, "anon")
        assert connection.execute("select current_user, auth.uid()").fetchone() == ("anon", None)
