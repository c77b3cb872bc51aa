"""What every asset needs: settings, a database connection, the version of the code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from importlib.resources import files

import psycopg
from dagster import ConfigurableResource

import portfolio_platform
from portfolio_platform.defs.sensors.covering import covering
from portfolio_platform.settings import Settings
from portfolio_platform.store.database import connect


@cache
def code_version() -> str:
    """Release and a hash of the package's own sources: results name the code that made them."""
    import hashlib

    digest = hashlib.sha256()
    root = files("portfolio_platform")
    pending = [root]
    names = []
    while pending:
        for entry in pending.pop().iterdir():
            if entry.is_dir() and entry.name != "__pycache__":
                pending.append(entry)
            elif entry.name.endswith((".py", ".sql")):
                names.append(entry)
    for entry in sorted(names, key=str):
        digest.update(entry.read_bytes())
    return f"{portfolio_platform.__version__}+{digest.hexdigest()[:12]}"


class Platform(ConfigurableResource):
    """The platform's settings and database, read from the environment when a run starts."""

    @property
    def settings(self) -> Settings:
        """Settings of this process."""
        return Settings()

    @contextmanager
    def connect(self) -> Iterator[psycopg.Connection]:
        """A connection in one transaction: committed when the block ends, rolled back on error."""
        with connect(self.settings.resolve_database_url()) as conn:
            yield conn

    def covering(self, target: str, run_id: str, *keys: str) -> AbstractContextManager[None]:
        """Note, if the block succeeds, that `target` has seen every event committed before it."""
        return covering(self.settings.resolve_database_url(), target, run_id, *keys)
