"""Dagster's own sensor daemon, one tick at a time, and as a process that can be killed.

    python -m portfolio_platform_tests.defs.daemon DAGSTER_HOME [SENSOR…]

The daemon's code creates ticks, deduplicates run keys and submits runs exactly as it does under
`dagster-daemon run`; only the loop around it is ours, so that tests need not wait for it.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dagster import DagsterInstance, DagsterRun, RunsFilter
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import InstigatorTick, SensorInstigatorData
from dagster._core.test_utils import create_test_daemon_workspace_context
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration

LOCATIONS = {
    "portfolio_platform": "portfolio_platform.definitions",
    "requests": "portfolio_platform.request_definitions",
}
LOGGER = logging.getLogger("portfolio_platform_tests.daemon")


def dagster_yaml(url: str) -> dict[str, Any]:
    """Configuration of an instance that stores in `url` and runs in the launching process."""
    return {
        "storage": {
            "custom": {
                "module": "portfolio_platform.defs.dagster_storage",
                "class": "PooledPostgresStorage",
                "config": {"postgres_url": url, "pool_size": 2, "max_overflow": 10},
            }
        },
        "run_launcher": {
            "module": "dagster._core.launcher.sync_in_memory_run_launcher",
            "class": "SyncInMemoryRunLauncher",
        },
        "run_coordinator": {
            "module": "dagster._core.run_coordinator.sync_in_memory_run_coordinator",
            "class": "SyncInMemoryRunCoordinator",
        },
        "python_logs": {"python_log_level": "CRITICAL"},
        "telemetry": {"enabled": False},
    }


def _target() -> InProcessWorkspaceLoadTarget:
    return InProcessWorkspaceLoadTarget(
        [
            InProcessCodeLocationOrigin(
                LoadableTargetOrigin(executable_path=sys.executable, module_name=module),
                location_name=name,
            )
            for name, module in LOCATIONS.items()
        ]
    )


@dataclass
class Daemon:
    """Ticks the sensors that are switched on."""

    instance: DagsterInstance
    context: WorkspaceProcessContext

    @classmethod
    @contextmanager
    def open(cls, instance: DagsterInstance) -> Iterator[Daemon]:
        """Load both locations in this process."""
        with create_test_daemon_workspace_context(_target(), instance) as context:
            yield cls(instance, context)

    def _sensors(self) -> dict[str, Any]:
        return {
            sensor.name: sensor
            for entry in self.context.create_request_context().get_code_location_entries().values()
            if entry.code_location is not None
            for repository in entry.code_location.get_repositories().values()
            for sensor in repository.get_sensors()
        }

    def tick(self, *names: str, crash: dict[str, Any] | None = None) -> dict[str, InstigatorTick]:
        """One tick of these sensors (of all, where none is named); the newest tick of each."""
        sensors = self._sensors()
        states = {state.selector_id: state for state in self.instance.all_instigator_state()}
        for name, sensor in sensors.items():
            state = states.get(sensor.selector_id)
            wanted = not names or name in names
            if (
                state is not None
                and wanted
                and isinstance(state.instigator_data, SensorInstigatorData)
            ):
                # As if the interval had passed.
                data = state.instigator_data._replace(
                    last_tick_timestamp=0.0, last_tick_start_timestamp=0.0
                )
                self.instance.update_instigator_state(state.with_data(data))
            if wanted:
                self.instance.start_sensor(sensor)
            else:
                self.instance.stop_sensor(sensor.get_remote_origin_id(), sensor.selector_id, sensor)
        flags = {name: crash for name in names} if crash else None
        for _ in execute_sensor_iteration(
            self.context, LOGGER, None, None, debug_crash_flags=flags
        ):
            pass
        found = {}
        for name in names or sensors:
            sensor = sensors[name]
            ticks = self.instance.get_ticks(
                sensor.get_remote_origin_id(), sensor.selector_id, limit=1
            )
            found[name] = ticks[0]
        return found

    def runs_of(self, consumer: str) -> list[DagsterRun]:
        """Runs that a consumer caused, oldest first."""
        runs = self.instance.get_runs(RunsFilter(tags={"portfolio/consumer": consumer}))
        return list(reversed(runs))


def live(home: str, names: list[str]) -> None:
    """Tick until killed."""
    with DagsterInstance.from_config(home) as instance, Daemon.open(instance) as daemon:
        daemon.tick(*names)
        sys.stdout.write("ticking\n")
        sys.stdout.flush()
        while True:
            daemon.tick(*names)


def main(home: str, *names: str) -> None:
    """For each line on standard input, live in a child of its own and print its process id.

    Everything is imported before the first child, which opens its own instance.
    """
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    logging.getLogger(LOGGER.name).setLevel(logging.CRITICAL)
    for module in LOCATIONS.values():
        importlib.import_module(module)
    importlib.import_module("portfolio_platform.defs.portfolio.materialise")
    for _ in sys.stdin:
        child = os.fork()
        if child == 0:
            sys.stdin.close()
            live(home, list(names))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(*sys.argv[1:])
