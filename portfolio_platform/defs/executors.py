"""Where steps run: in the run's own process by default, in several, or on a Dask cluster."""

from __future__ import annotations

from dagster import ExecutorDefinition, in_process_executor, multiprocess_executor

from portfolio_platform.settings import Settings


def chosen_executor(settings: Settings) -> ExecutorDefinition:
    """The executor named by PORTFOLIO_EXECUTOR.

    In-process is fastest for the platform's short chains: each further process would import the
    optimisers anew. Steps pass nothing but rows in the database, so any executor may be taken.

    Raises
    ------
    ModuleNotFoundError
        `dask` is chosen and the extra `dask` is not installed.
    """
    if settings.executor == "multiprocess":
        return multiprocess_executor.configured({"max_concurrent": 2})
    if settings.executor == "dask":
        from dagster_dask import dask_executor

        executor: ExecutorDefinition = dask_executor
        return executor
    return in_process_executor
