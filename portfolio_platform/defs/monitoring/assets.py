"""Monitoring assets: alerts, and the notifications about them."""

from datetime import UTC, datetime

from dagster import (
    AssetCheckResult,
    AssetExecutionContext,
    AssetKey,
    AssetSelection,
    DefaultScheduleStatus,
    DefaultSensorStatus,
    MaterializeResult,
    RunRequest,
    RunsFilter,
    ScheduleEvaluationContext,
    SensorEvaluationContext,
    SkipReason,
    asset,
    asset_check,
    define_asset_job,
    schedule,
    sensor,
)
from dagster._core.storage.dagster_run import IN_PROGRESS_RUN_STATUSES

from portfolio_platform.defs.metadata import OWNERS, table
from portfolio_platform.defs.monitoring import flow
from portfolio_platform.defs.resources import Platform
from portfolio_platform.defs.sensors.covering import living
from portfolio_platform.settings import Settings
from portfolio_platform.store import alerts as stored
from portfolio_platform.store.database import connect

GROUP = "monitoring"


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    deps=[
        AssetKey(name)
        for name in (
            "token_prices",
            "market_bars",
            "market_metrics",
            "pool_states",
            "lending_reserves",
            "optimal_weights",
            "portfolio_states",
            "reallocation_plans",
        )
    ],
)
def alerts(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Alert rules against the newest facts: raised and cleared, with hysteresis and cool-down."""
    from portfolio_platform.defs.monitoring.evaluate import evaluate

    with platform.covering("alerts", context.run.run_id), platform.connect() as conn:
        rows = evaluate(conn, datetime.now(UTC), context.run.run_id)
    changed = [row for row in rows if row["event"]]
    for row in changed:
        context.log.info(f"{row['event']}: {row['message']}")
    return MaterializeResult(
        metadata={
            "evaluated": len(rows),
            "raised": sum(row["event"] == "raised" for row in rows),
            "cleared": sum(row["event"] == "cleared" for row in rows),
            "refused": sum(row["event"] == "refused" for row in rows),
            "readings": table(rows, ["rule", "kind", "subject", "value", "event", "message"]),
        }
    )


@asset(group_name=GROUP, owners=OWNERS, kinds={"postgres"}, deps=[alerts])
def notifications(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Notifications that are due, through each user's channels; signed, repeated until taken."""
    from portfolio_platform.defs.monitoring.deliver import Senders, deliver_due
    from portfolio_platform.store.secrets import cipher

    settings = platform.settings
    with platform.connect() as conn:
        waiting = len(stored.due(conn))
    if not waiting:
        return MaterializeResult(metadata={"attempted": 0})
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    with living(settings.resolve_database_url(), context.run.run_id):
        rows = deliver_due(platform.connect, cipher(settings.home_path, key), Senders())
    for row in rows:
        if row["error"]:
            context.log.warning(f"{row['channel']}: {row['state']}: {row['error']}")
    return MaterializeResult(
        metadata={
            "attempted": len(rows),
            "sent": sum(row["state"] == "sent" for row in rows),
            "dead": sum(row["state"] == "dead" for row in rows),
            "deliveries": table(rows, ["channel", "rule", "event", "attempt", "state", "error"]),
        }
    )


@asset_check(asset=alerts)
def consumed_events_are_materialised(platform: Platform) -> AssetCheckResult:
    """Every event that a sensor has passed was materialised since, or set aside."""
    from portfolio_platform.defs.sensors import reconcile, registry

    with platform.connect() as conn:
        accounts = [reconcile.account(conn, watch) for _, watch in registry.located()]
    missing = {one.consumer: list(one.missing[:20]) for one in accounts if one.missing}
    return AssetCheckResult(
        passed=not missing,
        metadata={
            "missing": missing,
            "set_aside": sum(one.set_aside for one in accounts),
            "accounts": table(
                [one.__dict__ for one in accounts],
                ["consumer", "consumed", "settled", "set_aside", "missing"],
            ),
        },
    )


watch_alerts = define_asset_job(
    "watch_alerts",
    selection=AssetSelection.assets(alerts, notifications),
    description="Evaluate alert rules and send what is due.",
)


@schedule(
    job=watch_alerts,
    cron_schedule="*/5 * * * *",
    default_status=DefaultScheduleStatus.RUNNING,
    description="Time alone can raise an alert: data grows stale, windows move on. Also runs the "
    "checks of the change feed: hourly, and at once when events do not flow.",
)
def alerts_every_five_minutes(context: ScheduleEvaluationContext) -> RunRequest | SkipReason:
    """Run where there are rules, where events do not flow, and once an hour in any case."""
    from portfolio_platform.store.feed import SqlTransport, lag

    url = Settings().resolve_database_url()
    with connect(url) as conn:
        needed = stored.has_rules(conn)
    if not needed and context.scheduled_execution_time.minute:
        with SqlTransport(url) as transport:
            if flow.flows(lag(transport)):
                return SkipReason("there are no alert rules, and events flow")
    return RunRequest(run_key=None)


@sensor(
    job=watch_alerts,
    minimum_interval_seconds=15,
    default_status=DefaultSensorStatus.RUNNING,
    description="Notifications whose next attempt is due.",
)
def notifications_due(context: SensorEvaluationContext) -> RunRequest | SkipReason:
    """Request a run for what is due now, once per set of attempts."""
    with connect(Settings().resolve_database_url()) as conn:
        due = stored.due(conn)
    if not due:
        return SkipReason("no notification is due")
    busy = context.instance.get_runs_count(
        RunsFilter(job_name=watch_alerts.name, statuses=list(IN_PROGRESS_RUN_STATUSES))
    )
    if busy:
        return SkipReason(f"{len(due)} notifications are due; a run is on it")
    from portfolio_platform.store.publish import sha256_of

    key = sha256_of(sorted([str(delivery), attempts] for delivery, attempts in due))
    return RunRequest(run_key=key)


ASSETS = [alerts, notifications]
CHECKS = [consumed_events_are_materialised]
JOBS = [watch_alerts]
SCHEDULES = [alerts_every_five_minutes]
SENSORS = [notifications_due]
