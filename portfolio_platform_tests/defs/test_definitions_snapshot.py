r"""All Dagster definitions of both locations, as they were agreed on.

After a change that is meant, write them anew and read the difference::

    UPDATE_SNAPSHOTS=1 .venv/bin/python -m pytest \
        portfolio_platform_tests/defs/test_definitions_snapshot.py
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from dagster import AssetKey, Definitions

SNAPSHOTS = Path(__file__).parent / "snapshots"
HEAVY = ("riskfolio", "vectorbt", "numba", "cvxpy", "arch", "plotly", "apprise", "supabase")


def _asset(defs: Definitions, key: AssetKey) -> dict[str, Any]:
    node = defs.resolve_asset_graph().get(key)
    return {
        "description": node.description,
        "group": node.group_name,
        "owners": sorted(node.owners),
        "kinds": sorted(node.kinds),
        "depends_on": sorted(parent.to_user_string() for parent in node.parent_keys),
        "partitions": getattr(node.partitions_def, "name", None),
        "checks": {
            check.name: ("blocking" if spec.blocking else "not blocking")
            for check in sorted(node.check_keys, key=lambda one: one.name)
            for spec in [defs.resolve_asset_graph().get_check_spec(check)]
        },
    }


def described(defs: Definitions) -> dict[str, Any]:
    repository = defs.get_repository_def()
    graph = defs.resolve_asset_graph()
    return {
        "assets": {
            key.to_user_string(): _asset(defs, key)
            for key in sorted(graph.materializable_asset_keys)
        },
        "jobs": {
            job.name: {
                "description": job.description,
                "assets": sorted(
                    key.to_user_string()
                    for key in repository.get_job(job.name).asset_layer.executable_asset_keys
                ),
            }
            for job in sorted(defs.jobs or (), key=lambda one: one.name)
        },
        "sensors": {
            sensor.name: {
                "description": sensor.description,
                "jobs": sorted(target.job_name for target in sensor.targets),
                "seconds": sensor.minimum_interval_seconds,
                "default": sensor.default_status.value,
            }
            for sensor in sorted(repository.sensor_defs, key=lambda one: one.name)
        },
        "schedules": {
            schedule.name: {
                "description": schedule.description,
                "cron": schedule.cron_schedule,
                "job": schedule.job_name,
                "default": schedule.default_status.value,
            }
            for schedule in sorted(repository.schedule_defs, key=lambda one: one.name)
        },
        "resources": sorted(defs.resources or {}),
    }


@pytest.mark.parametrize("module", ["definitions", "request_definitions"])
def test_definitions_are_those_of_the_snapshot(module: str) -> None:
    import importlib

    loaded = importlib.import_module(f"portfolio_platform.{module}")
    found = json.loads(json.dumps(described(loaded.defs)))
    path = SNAPSHOTS / f"{module}.json"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    assert found == json.loads(path.read_text()), "UPDATE_SNAPSHOTS=1 if this is meant"


def test_every_asset_can_be_understood_in_the_ui() -> None:
    from portfolio_platform import definitions, request_definitions

    for module in (definitions, request_definitions):
        for name, asset in described(module.defs)["assets"].items():
            assert asset["description"], name
            assert asset["owners"], name
            assert asset["kinds"], name
            assert asset["group"] != "default", name


def test_the_main_location_has_no_partitioned_asset() -> None:
    """`dagster asset materialize --select '*'` refuses partitioned assets together with others."""
    from portfolio_platform import definitions

    partitioned = {
        name for name, asset in described(definitions.defs)["assets"].items() if asset["partitions"]
    }
    assert partitioned == set()


@pytest.mark.parametrize("module", ["definitions", "request_definitions"])
def test_importing_definitions_is_cheap(module: str) -> None:
    """Optimisers, simulators and messengers are imported by the runs that need them."""
    program = (
        f"import sys, portfolio_platform.{module}; "
        f"sys.exit(' '.join(name for name in {HEAVY!r} if name in sys.modules) or 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
