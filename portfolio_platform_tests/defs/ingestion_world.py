"""A database and a local chain of the test's own, and assets materialised against them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import psycopg
import pytest
from dagster import DagsterInstance, ExecuteInProcessResult, materialize

from portfolio_platform.defs.resources import Platform
from portfolio_platform.defs.solana import snapshots
from portfolio_platform.settings import Settings
from portfolio_platform.solana.rpc import PoolSettings
from portfolio_platform_tests.defs.ingestion_dumps import SLOT, Dumps
from portfolio_platform_tests.localnet.launch import Launched, launched
from portfolio_platform_tests.store.postgres import Database


@dataclass
class World:
    """One database, one chain, and an environment that names both."""

    database: Database
    chain: Launched
    environment: pytest.MonkeyPatch
    instance: DagsterInstance = field(default_factory=DagsterInstance.ephemeral)

    @property
    def settings(self) -> Settings:
        """Settings as a run would read them."""
        return Settings()

    def connect(self) -> psycopg.Connection:
        """A connection that commits every statement."""
        return self.database.connect()

    def set(self, **variables: object) -> None:
        """Set environment variables of the platform."""
        for name, value in variables.items():
            self.environment.setenv(name, str(value))

    def materialise(
        self, assets: Sequence[Any], *, check: bool = True, **options: Any
    ) -> ExecuteInProcessResult:
        """Materialise assets (and run checks) in this process."""
        return materialize(
            assets,
            resources={"platform": Platform()},
            instance=self.instance,
            raise_on_error=check,
            **options,
        )

    def rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self.connect() as connection:
            return connection.execute(query, values).fetchall()

    def value(self, query: str, *values: Any) -> Any:
        """One value."""
        ((found,),) = self.rows(query, *values)
        return found

    def advance(self, seconds: float) -> None:
        """Let the chain and its market go on."""
        answer = httpx.post(f"{self.chain.rpc_url}/advance", json={"seconds": seconds}, timeout=60)
        answer.raise_for_status()

    def faults(self, *rules: Mapping[str, Any], seed: int = 0) -> None:
        """Replace the faults in force."""
        httpx.delete(f"{self.chain.rpc_url}/faults").raise_for_status()
        if rules:
            body = {"rules": list(rules), "seed": seed}
            httpx.post(f"{self.chain.rpc_url}/faults", json=body).raise_for_status()

    def calls(self) -> dict[str, int]:
        """How often each method was called since the faults were last replaced."""
        return dict(httpx.get(f"{self.chain.rpc_url}/faults").json()["calls"])


def metadata(result: ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    """Metadata of one asset's materialisation in a run."""
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


@contextmanager
def serving(world: World, dumps: Dumps) -> Iterator[Launched]:
    """A chain of these dumps at their moment, and the world's environment pointed at it."""
    universe = dumps.universe()
    with launched(accounts=[dumps.folder], now=dumps.now, slot=SLOT) as chain:
        before = world.chain
        world.chain = chain
        world.set(
            SOLANA_RPC_URLS=chain.rpc_url, SOLANA_WS_URL=chain.ws_url, PORTFOLIO_UNIVERSE=universe
        )
        try:
            yield chain
        finally:
            world.chain = before


@pytest.fixture(scope="session")
def chain_process() -> Iterator[Launched]:
    """A local chain of the demo market for this room; its clock stands still."""
    with launched(seed=7, days=60) as running:
        yield running


@pytest.fixture
def world(
    fresh_database: Database, chain_process: Launched, monkeypatch: pytest.MonkeyPatch
) -> Iterator[World]:
    """A fresh database beside the room's chain, without faults."""
    found = World(fresh_database, chain_process, monkeypatch)
    found.set(
        DATABASE_URL=fresh_database.url(),
        SOLANA_RPC_URLS=chain_process.rpc_url,
        SOLANA_WS_URL=chain_process.ws_url,
        PORTFOLIO_UNIVERSE=chain_process.universe,
        PORTFOLIO_HISTORY_BASE_URL=chain_process.udf_url,
    )
    # Ten retries must not take a second, and a dead endpoint not a minute.
    impatient = PoolSettings(
        deadline_seconds=10,
        request_timeout_seconds=2,
        attempts=4,
        backoff_seconds=0.01,
        backoff_limit_seconds=0.05,
        hedge_after_seconds=None,
        requests_per_period=snapshots.UNLIMITED,
        requests_per_method=snapshots.UNLIMITED,
    )
    monkeypatch.setattr(snapshots, "pool_settings", lambda settings: impatient)
    found.faults()
    yield found
    found.faults()
