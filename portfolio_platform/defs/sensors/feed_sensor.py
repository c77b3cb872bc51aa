"""Sensors: one per consumer of the change feed."""

from collections.abc import Sequence
from typing import Any

from dagster import (
    AddDynamicPartitionsRequest,
    DefaultSensorStatus,
    DeleteDynamicPartitionsRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from portfolio_platform.defs.sensors.tick import look
from portfolio_platform.defs.sensors.watch import Watch
from portfolio_platform.settings import Settings
from portfolio_platform.store.database import connect


def feed_sensor(watch: Watch, jobs: Sequence[Any], description: str) -> SensorDefinition:
    """A sensor that settles what `watch` is about, whenever the feed has something new."""

    @sensor(
        name=watch.consumer,
        jobs=list(jobs),
        minimum_interval_seconds=Settings().sensor_interval_seconds,
        default_status=DefaultSensorStatus.RUNNING,
        description=description,
    )
    def evaluate(context: SensorEvaluationContext) -> SensorResult:
        settings = Settings()
        url = settings.resolve_database_url()
        found = look(watch.tuned(settings), context.instance, url)
        partitions = _in_step(watch, context, found.requests, url)
        return SensorResult(
            run_requests=found.requests,
            skip_reason=None if found.requests else SkipReason(found.message),
            dynamic_partitions_requests=partitions,
        )

    return evaluate


def _in_step(
    watch: Watch, context: SensorEvaluationContext, requests: Sequence[Any], url: str
) -> list[AddDynamicPartitionsRequest | DeleteDynamicPartitionsRequest]:
    """Bring the partitions to what the table holds; of requests, those that are run now."""
    if watch.partitions is None:
        return []
    known = set(context.instance.get_dynamic_partitions(watch.partitions))
    wanted = {one.partition_key for one in requests if one.partition_key is not None}
    gone: set[str] = set()
    if watch.give_up is None:
        with connect(url) as conn:
            wanted |= set(watch.all_keys(conn))
        gone = known - wanted
    found: list[AddDynamicPartitionsRequest | DeleteDynamicPartitionsRequest] = []
    if wanted - known:
        found.append(AddDynamicPartitionsRequest(watch.partitions, sorted(wanted - known)))
    if gone:
        found.append(DeleteDynamicPartitionsRequest(watch.partitions, sorted(gone)))
    return found
