"""Earlier runs of a unit of work, read from Dagster's run records by tag."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunRecord, RunsFilter
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES
from psycopg import Connection

from portfolio_platform.store import coverage
from portfolio_platform.store.database import redact

CONSUMER_TAG = "portfolio/consumer"
BATCH_TAG = "portfolio/batch"
UNIT_TAG = "portfolio/unit"
ATTEMPT_TAG = "portfolio/attempt"
_LONGEST_REASON = 600
# How many times the usual silence each status is given.
_PATIENCE = {
    DagsterRunStatus.STARTING: 3.0,
    DagsterRunStatus.STARTED: 1.0,
    DagsterRunStatus.CANCELING: 1.0,
}


def unit_id(consumer: str, batch_id: str, label: str) -> str:
    """Identity of a unit, short enough for an index on tags."""
    return hashlib.sha256(f"{consumer}|{batch_id}|{label}".encode()).hexdigest()


@dataclass(frozen=True)
class Attempts:
    """What has become of a unit so far.

    Attributes
    ----------
    number : int
        Highest attempt that exists.
    succeeded : bool
        One of them succeeded.
    running : str or None
        Run that is in progress and alive.
    failed_at : float or None
        When the newest one ended, in seconds since the epoch.
    last : RunRecord or None
        The newest one.
    """

    number: int = 0
    succeeded: bool = False
    running: str | None = None
    failed_at: float | None = None
    last: RunRecord | None = None


def attempts_of(instance: DagsterInstance, unit: str, conn: Connection, silence: float) -> Attempts:
    """Look up the runs of a unit; runs whose process is dead are failed on the way."""
    records = instance.get_run_records(RunsFilter(tags={UNIT_TAG: unit}), limit=50)
    if not records:
        return Attempts()
    newest = max(records, key=lambda record: (_number(record), record.storage_id))
    running = None
    for record in records:
        if record.dagster_run.status in IN_PROGRESS_RUN_STATUSES:
            if _is_dead(instance, record, conn, silence):
                instance.report_run_failed(
                    record.dagster_run,
                    f"no process works on this run and it has been silent for {silence:g} s",
                )
            else:
                running = record.dagster_run.run_id
    statuses = {record.dagster_run.status for record in records}
    return Attempts(
        number=_number(newest),
        succeeded=DagsterRunStatus.SUCCESS in statuses,
        running=running,
        failed_at=newest.end_time or newest.update_timestamp.timestamp(),
        last=newest,
    )


def _number(record: RunRecord) -> int:
    return int(record.dagster_run.tags.get(ATTEMPT_TAG, "1"))


def _is_dead(
    instance: DagsterInstance, record: RunRecord, conn: Connection, silence: float
) -> bool:
    """A run under way that nobody proves alive and that has not said anything for a while.

    One that is only starting gets longer: its process has yet to import what it needs. A queued
    run waits for its turn and is never dead.
    """
    patience = _PATIENCE.get(record.dagster_run.status)
    if patience is None:
        return False
    if coverage.is_held(conn, record.dagster_run.run_id):
        return False
    newest = instance.get_records_for_run(
        record.dagster_run.run_id, limit=1, ascending=False
    ).records
    spoke = newest[0].timestamp if newest else record.update_timestamp.timestamp()
    return _now() - spoke > silence * patience


def _now() -> float:
    import time

    return time.time()


def full_run_in_progress(instance: DagsterInstance, jobs: frozenset[str]) -> str | None:
    """A run in progress of one of `jobs`, or None."""
    for run in instance.get_runs(RunsFilter(statuses=list(IN_PROGRESS_RUN_STATUSES)), limit=100):
        if run.job_name in jobs and CONSUMER_TAG not in run.tags:
            return run.run_id
    return None


def reason_of(instance: DagsterInstance, attempts: Attempts) -> str:
    """Why the newest attempt failed, in one line without secrets."""
    if attempts.last is None:
        return "no run was made"
    run = attempts.last.dagster_run
    said = f"run {run.run_id} ended as {run.status.value.lower()}"
    failures = instance.get_records_for_run(
        run.run_id, of_type={DagsterEventType.STEP_FAILURE, DagsterEventType.RUN_FAILURE}
    ).records
    for record in failures:
        event = record.event_log_entry.get_dagster_event()
        if event.is_step_failure and event.step_failure_data.error is not None:
            error = event.step_failure_data.error
            inner = error.cause or error
            said = f"run {run.run_id}: {inner.message.strip()}"
            break
        if event.message:
            said = f"run {run.run_id}: {event.message.strip()}"
    return redact(" ".join(said.split()))[:_LONGEST_REASON]
