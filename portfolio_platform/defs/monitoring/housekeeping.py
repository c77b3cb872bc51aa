"""Housekeeping: what has outlived its retention is pruned, and the feed is seen to flow."""

from typing import Any

from dagster import (
    AssetCheckResult,
    AssetCheckSeverity,
    DefaultScheduleStatus,
    OpExecutionContext,
    Output,
    ScheduleDefinition,
    asset_check,
    job,
    op,
)

from portfolio_platform.defs.metadata import table
from portfolio_platform.defs.monitoring.assets import alerts
from portfolio_platform.defs.resources import Platform
from portfolio_platform.store.database import connect

LONGEST_HOLD_SECONDS = 120.0
LONGEST_LAG_SECONDS = 900.0


@op
def prune_what_is_old(context: OpExecutionContext, platform: Platform) -> Output[Any]:
    """Delete consumed events, old bytes, replayed dead letters and closed batches."""
    from portfolio_platform.store import batches, retention

    with connect(platform.settings.resolve_database_url(), autocommit=True) as conn:
        pruned = retention.prune(conn).to_json()
        pruned["batches"] = batches.prune(conn)
    context.log.info(", ".join(f"{name} {count}" for name, count in pruned.items()))
    return Output(None, metadata=pruned)


@job(description="Prune what has outlived its retention.")
def housekeeping() -> None:
    """Prune what is old."""
    prune_what_is_old()


nightly_housekeeping = ScheduleDefinition(
    name="nightly_housekeeping",
    job=housekeeping,
    cron_schedule="41 3 * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Once a day, in short transactions.",
)


@asset_check(asset=alerts)
def change_feed_is_flowing(platform: Platform) -> AssetCheckResult:
    """No open transaction holds the feed back for long, and no consumer is far behind.

    A writer that sits idle in a transaction, anywhere in the cluster, delays every event; nothing
    is lost by it.
    """
    from portfolio_platform.store.feed import SqlTransport, lag

    with SqlTransport(platform.settings.resolve_database_url()) as transport:
        lags = lag(transport)
    held = max((one.held_seconds for one in lags), default=0.0)
    behind = [one.consumer for one in lags if one.seconds > LONGEST_LAG_SECONDS]
    return AssetCheckResult(
        passed=held <= LONGEST_HOLD_SECONDS and not behind,
        severity=AssetCheckSeverity.WARN,
        metadata={
            "held_seconds": held,
            "behind": behind,
            "consumers": table(
                [one.__dict__ for one in lags],
                ["consumer", "events", "seconds", "dead_letters", "held_events", "held_seconds"],
            ),
        },
    )


CHECKS = [change_feed_is_flowing]
JOBS = [housekeeping]
SCHEDULES = [nightly_housekeeping]
