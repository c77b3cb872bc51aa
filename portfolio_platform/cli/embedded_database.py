"""The database of the services: embedded or external, migrated and seeded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg

from portfolio_platform.api.local_keys import LOCAL_USER
from portfolio_platform.settings import Settings
from portfolio_platform.store import bootstrap
from portfolio_platform.store.embedded import EmbeddedServer

Say = Callable[[str], None]
DEMO_USER = UUID(LOCAL_USER)
SEED = Path(__file__).resolve().parents[2] / "supabase" / "seed.sql"


def start_database(home: Path, say: Say, *, daemon: bool) -> dict[str, Any]:
    """Start or join the embedded server; returns the addresses of its databases."""
    said = ""

    def progress(seconds: float, doing: str) -> None:
        nonlocal said
        if doing != said and (seconds == 0.0 or seconds > 1.0):
            said = doing
            say(f"PostgreSQL: {doing}")

    store = bootstrap.prepare_embedded(home, daemon=daemon, progress=progress)
    server = store.server
    assert server is not None
    with psycopg.connect(server.url("postgres", driver=None, role="supabase_admin")) as admin:
        admin.execute(
            "insert into auth.users (id, email) values (%s, 'demo@localhost') "
            "on conflict do nothing",
            (DEMO_USER,),
        )
    with psycopg.connect(store.url) as owner:
        owner.execute(SEED.read_bytes())
    return {
        "DATABASE_URL": store.url,
        "DAGSTER_POSTGRES_URL": server.url("dagster", driver="psycopg2", transport="tcp"),
        "PORTFOLIO_API_DATABASE_URL": server.url(
            "postgres", driver=None, role="portfolio_api", transport="tcp"
        ),
        "postgres": {"port": server.port, "socket_dir": str(server.socket_dir)},
    }


def migrate_external(settings: Settings, say: Say) -> dict[str, Any]:
    """Bring a configured database to the newest migration; nothing else is done to it."""
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()
    store = bootstrap.prepare(url, settings.home_path)
    say(f"migrations applied: {len(store.applied)}")
    found: dict[str, Any] = {"DATABASE_URL": url}
    for name, secret in (
        ("DAGSTER_POSTGRES_URL", settings.dagster_postgres_url),
        ("PORTFOLIO_API_DATABASE_URL", settings.api_database_url),
    ):
        if secret is not None:
            found[name] = secret.get_secret_value()
    return found


def stop_database(home: Path) -> bool:
    """Stop the embedded server of `home`; False when none runs."""
    server = EmbeddedServer.attach(home)
    if server is None:
        return False
    server.shutdown()
    return True
