"""Keeping the database in shape: partitions made ahead, old bytes and passed events pruned."""

from dataclasses import asdict

from dagster import DefaultScheduleStatus, OpExecutionContext, ScheduleDefinition, job, op

from portfolio_platform.defs.resources import Platform


@op(description="Make partitions ahead and prune what is older than the retention policy.")
def prune_database(context: OpExecutionContext, platform: Platform) -> None:
    """Prune and log what went; nothing that a consumer of the feed has not passed is removed."""
    from portfolio_platform.store import batches
    from portfolio_platform.store.database import connect
    from portfolio_platform.store.retention import prune

    with connect(platform.settings.resolve_database_url(), autocommit=True) as conn:
        pruned = asdict(prune(conn)) | {"batches": batches.prune(conn)}
    context.log.info(f"pruned: {pruned}")
    context.add_output_metadata(pruned)


@job(description="Retention and partitions.")
def upkeep() -> None:
    """Run the upkeep."""
    prune_database()


nightly_upkeep = ScheduleDefinition(
    name="nightly_upkeep",
    job=upkeep,
    cron_schedule="17 3 * * *",
    # Without it the change log would grow for ever on an installation that nobody tends.
    default_status=DefaultScheduleStatus.RUNNING,
    description="Every night: partitions for the coming month, pruning by the retention policy.",
)

JOBS = [upkeep]
SCHEDULES = [nightly_upkeep]
