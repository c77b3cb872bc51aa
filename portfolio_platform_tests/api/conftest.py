"""The API as clients meet it: a real server on loopback over a real Postgres."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from portfolio_platform.api import local_keys
from portfolio_platform_tests.api.seed import World, build
from portfolio_platform_tests.api.server import Served, settings_for
from portfolio_platform_tests.store.postgres import (
    Database,
    cluster,
    database,
    fresh_database,
)

__all__ = ["cluster", "database", "fresh_database"]


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A platform home with its own token key."""
    path = tmp_path_factory.mktemp("home")
    local_keys.jwks_path(path)
    return path


@pytest.fixture(scope="session")
def world(database: Database) -> World:
    """Two users and results of every kind."""
    return build(database)


@pytest.fixture(scope="session")
def served(database: Database, world: World, home: Path) -> Iterator[Served]:
    """One server for all tests that do not disturb it."""
    with Served(settings_for(database, home), home) as server:
        yield server


@pytest.fixture(scope="session")
def a(served: Served, world: World) -> Iterator[httpx.Client]:
    """User A."""
    with served.client(world.a.user_id) as client:
        yield client


@pytest.fixture(scope="session")
def b(served: Served, world: World) -> Iterator[httpx.Client]:
    """User B."""
    with served.client(world.b.user_id) as client:
        yield client
