"""From nothing, or from a DATABASE_URL, to a migrated database."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from portfolio_platform.store import floor, migrate
from portfolio_platform.store.embedded import EmbeddedServer

DAGSTER_DATABASE = "dagster"
Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Store:
    """A migrated database.

    Attributes
    ----------
    url : str
        Plain `postgresql://` URL of the platform's database, as `postgres`.
    dagster_url : str or None
        URL of Dagster's own database in the embedded server; None for an external one.
    server : EmbeddedServer or None
        The embedded server, None when DATABASE_URL points elsewhere.
    applied : tuple of str
        Migrations applied now.
    """

    url: str
    dagster_url: str | None
    server: EmbeddedServer | None
    applied: tuple[str, ...]


def prepare_embedded(
    home: Path,
    *,
    major: int = 16,
    daemon: bool = False,
    sync: bool = True,
    settings: Mapping[str, str] | None = None,
    migrations: Path = migrate.MIGRATIONS,
    transport: str = "tcp",
    progress: Progress | None = None,
) -> Store:
    """Start or join the embedded server, lay the floor, make Dagster's database, migrate.

    Migrations run as the non-superuser `postgres`, exactly as on a hosted project.
    """
    server = EmbeddedServer.ensure(
        home, major, daemon=daemon, sync=sync, settings=settings, progress=progress
    )
    if progress is not None:
        progress(0.0, "laying the Supabase floor")
    floor.lay_in(server)
    floor.create_database(server, DAGSTER_DATABASE)
    url = server.url("postgres", driver=None, transport=transport)

    def tell(name: str) -> None:
        if progress is not None:
            progress(0.0, f"migration {name}")

    done = migrate.migrate(url, migrations, progress=tell)
    return Store(
        url,
        server.url(DAGSTER_DATABASE, driver=None, transport=transport),
        server,
        tuple(done),
    )


def prepare(database_url: str | None, home: Path, *, progress: Progress | None = None) -> Store:
    """A migrated store: the server of `database_url`, or the embedded one of `home`.

    No floor is laid on an external server, and it must be PostgreSQL 15 or newer.
    """
    if not database_url:
        return prepare_embedded(home, progress=progress)

    def tell(name: str) -> None:
        if progress is not None:
            progress(0.0, f"migration {name}")

    done = migrate.migrate(database_url, progress=tell)
    return Store(database_url, None, None, tuple(done))
