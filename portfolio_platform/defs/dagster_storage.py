"""Dagster's Postgres storage with pooled connections.

The stock storage opens a connection per operation (about a hundred per five-asset run); keeping a
few open makes each asset about four times cheaper. The address comes from the platform's settings,
so that plain ``dagster`` commands find the embedded server without an exported environment.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dagster import Field, IntSource, StringSource
from dagster._config.config_schema import UserConfigSchema
from dagster._core.storage.base_storage import DagsterStorage
from dagster._core.storage.event_log import EventLogStorage
from dagster._core.storage.runs import RunStorage
from dagster._core.storage.schedules import ScheduleStorage
from dagster._serdes import ConfigurableClass, ConfigurableClassData
from dagster_postgres import (
    PostgresEventLogStorage,
    PostgresRunStorage,
    PostgresScheduleStorage,
)
from sqlalchemy import create_engine
from sqlalchemy.engine import Engine
from sqlalchemy.pool import QueuePool

from portfolio_platform.settings import Settings


def _pooled_engine(url: str, pool_size: int, max_overflow: int) -> Engine:
    return create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        poolclass=QueuePool,
        pool_size=pool_size,
        max_overflow=max_overflow,
        pool_pre_ping=True,
        pool_recycle=600,
    )


class PooledPostgresStorage(DagsterStorage, ConfigurableClass):
    """Run, event-log and schedule storage over one small connection pool.

    Parameters
    ----------
    postgres_url : str
        ``postgresql+psycopg2://…``; a bare ``postgresql://`` would select psycopg 3, with which
        dagster-postgres fails on every stored event.
    pool_size, max_overflow : int
        Connections kept and opened beyond; the three storages share them.
    """

    def __init__(
        self,
        postgres_url: str,
        pool_size: int = 3,
        max_overflow: int = 20,
        inst_data: ConfigurableClassData | None = None,
    ) -> None:
        if not postgres_url.startswith("postgresql+psycopg2://"):
            raise ValueError(
                "Dagster storage needs a URL that names its driver: postgresql+psycopg2://…"
            )
        self._inst_data = inst_data
        self._run_storage = PostgresRunStorage(postgres_url)
        self._event_log_storage = PostgresEventLogStorage(postgres_url)
        self._schedule_storage = PostgresScheduleStorage(postgres_url)
        engine = _pooled_engine(postgres_url, pool_size, max_overflow)
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        return self._inst_data

    @classmethod
    def config_type(cls) -> UserConfigSchema:
        return {
            "postgres_url": Field(StringSource, is_required=False),
            "pool_size": Field(IntSource, is_required=False, default_value=3),
            "max_overflow": Field(IntSource, is_required=False, default_value=20),
        }

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: Mapping[str, Any]
    ) -> PooledPostgresStorage:
        return cls(
            postgres_url=config_value.get("postgres_url") or Settings().resolve_dagster_url(),
            pool_size=config_value["pool_size"],
            max_overflow=config_value["max_overflow"],
            inst_data=inst_data,
        )

    @property
    def run_storage(self) -> RunStorage:
        return self._run_storage

    @property
    def event_log_storage(self) -> EventLogStorage:
        return self._event_log_storage

    @property
    def schedule_storage(self) -> ScheduleStorage:
        return self._schedule_storage

    def _part(self, name: str) -> ConfigurableClassData | None:
        if self._inst_data is None:
            return None
        return ConfigurableClassData("dagster_postgres", name, self._inst_data.config_yaml)

    @property
    def run_storage_data(self) -> ConfigurableClassData | None:
        return self._part("PostgresRunStorage")

    @property
    def event_storage_data(self) -> ConfigurableClassData | None:
        return self._part("PostgresEventLogStorage")

    @property
    def schedule_storage_data(self) -> ConfigurableClassData | None:
        return self._part("PostgresScheduleStorage")
