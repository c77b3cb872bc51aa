"""Sensors and monitoring are tested on a real Dagster instance and a real Postgres."""

import logging
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import yaml
from dagster import DagsterInstance

from portfolio_platform.store.embedded import EmbeddedServer
from portfolio_platform_tests.defs.daemon import Daemon, dagster_yaml
from portfolio_platform_tests.store.postgres import Database, cluster, database, fresh_database

__all__ = ["cluster", "database", "fresh_database"]


@pytest.fixture(scope="session")
def dagster_home(cluster: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Home of an instance whose storage is a database of the throw-away cluster."""
    home = tmp_path_factory.mktemp("dagster")
    name = f"dagster_{uuid.uuid4().hex[:12]}"
    admin = cluster.url("postgres", driver=None, role="supabase_admin")
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"create database {name} owner postgres")
    url = cluster.url(name, driver="psycopg2", transport="tcp")
    (home / "dagster.yaml").write_text(yaml.safe_dump(dagster_yaml(url)))
    return home


@pytest.fixture(scope="session")
def instance(dagster_home: Path) -> Iterator[DagsterInstance]:
    """The instance; runs are executed in this process."""
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    with DagsterInstance.from_config(str(dagster_home)) as opened:
        yield opened


@pytest.fixture
def platform_home(
    fresh_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Environment of the platform: this test's database, its own home, impatient sensors."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("PORTFOLIO_HOME", str(home))
    monkeypatch.setenv("DATABASE_URL", fresh_database.url())
    monkeypatch.setenv("PORTFOLIO_SENSOR_RETRY_SECONDS", "0")
    monkeypatch.setenv("PORTFOLIO_SENSOR_REST_SECONDS", "0")
    monkeypatch.setenv("PORTFOLIO_SENSOR_SILENCE_SECONDS", "0.2")
    monkeypatch.setenv("PORTFOLIO_SENSOR_LAUNCH_GRACE_SECONDS", "0.3")
    return home


@pytest.fixture(scope="session")
def daemon_of_session(instance: DagsterInstance) -> Iterator[Daemon]:
    """Dagster's sensor daemon over both code locations, ticking when a test says so."""
    with Daemon.open(instance) as daemon:
        yield daemon


@pytest.fixture
def daemon(daemon_of_session: Daemon, platform_home: Path) -> Daemon:
    """The daemon with this test's environment."""
    return daemon_of_session
