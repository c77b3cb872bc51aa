"""Launching run requests without the daemon: through the UI's GraphQL, or in this process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from dagster import DagsterInstance, JobDefinition, RunRequest

PARTITION_TAG = "dagster/partition"


class Launcher(Protocol):
    """Starts the run of a request."""

    def launch(self, location: str, request: RunRequest) -> str:
        """Id of the run."""
        ...


def tags_of(request: RunRequest) -> dict[str, str]:
    """Tags of a request, with its partition as Dagster stores it."""
    tags = {str(key): str(value) for key, value in request.tags.items()}
    if request.partition_key is not None:
        tags[PARTITION_TAG] = request.partition_key
    return tags


@dataclass(frozen=True)
class GraphqlLauncher:
    """Asks the webserver to launch; the run gets a process of its own.

    Parameters
    ----------
    host, port
        Where the Dagster UI listens.
    """

    host: str
    port: int

    def launch(self, location: str, request: RunRequest) -> str:
        """Submit the run.

        Raises
        ------
        DagsterGraphQLClientError
            The webserver refused it or did not answer.
        """
        from dagster_graphql import DagsterGraphQLClient

        assert request.job_name is not None
        client = DagsterGraphQLClient(self.host, port_number=self.port, timeout=20)
        return client.submit_job_execution(
            request.job_name,
            repository_location_name=location,
            repository_name="__repository__",
            run_config=dict(request.run_config or {}),
            tags=tags_of(request),
            asset_selection=_selection(request),
        )


def _selection(request: RunRequest) -> Sequence[str] | None:
    if not request.asset_selection:
        return None
    return [key.to_user_string() for key in request.asset_selection]


@cache
def _job(location: str, name: str) -> JobDefinition:
    from portfolio_platform import definitions, request_definitions

    module = {"portfolio_platform": definitions, "requests": request_definitions}[location]
    return module.defs.resolve_job_def(name)


@dataclass(frozen=True)
class InProcessLauncher:
    """Runs the job here and now, on the same instance; later runs find the libraries loaded."""

    instance: DagsterInstance

    def launch(self, location: str, request: RunRequest) -> str:
        """Execute the run to its end; a failed run is recorded as such and not raised."""
        assert request.job_name is not None
        result = _job(location, request.job_name).execute_in_process(
            instance=self.instance,
            partition_key=request.partition_key,
            run_config=dict(request.run_config or {}),
            tags=tags_of(request),
            asset_selection=list(request.asset_selection) if request.asset_selection else None,
            raise_on_error=False,
        )
        return result.run_id
