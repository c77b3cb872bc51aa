"""Assets by time: history from the service, and facts decoded again from stored bytes."""

from collections.abc import Sequence
from datetime import UTC, datetime

from dagster import (
    AssetExecutionContext,
    AssetKey,
    BackfillPolicy,
    MaterializeResult,
    asset,
)

from portfolio_platform.defs.backfill.history import fill_history
from portfolio_platform.defs.backfill.partitions import DAYS, DAYS_AND_TODAY, HOURS
from portfolio_platform.defs.backfill.redecode import redecode_days
from portfolio_platform.defs.market.service_history import INTERVALS
from portfolio_platform.defs.metadata import OWNERS, table
from portfolio_platform.defs.resources import Platform
from portfolio_platform.defs.solana.retries import REMOTE
from portfolio_platform.solana.udf import Interval

GROUP = "backfill"


class HistoryIncomplete(RuntimeError):
    """Some tokens' bars could not be filled; the others are stored."""


def _filled(
    context: AssetExecutionContext, platform: Platform, intervals: Sequence[Interval]
) -> MaterializeResult:
    """Fill the partitions of this run; what every token got, or the first that got nothing."""
    start, end = context.partition_time_window
    with platform.connect() as conn:
        found = fill_history(
            conn, platform.settings, start, end, datetime.now(UTC), context.run.run_id, intervals
        )
    failed = [one for one in found if one.error]
    for one in failed:
        context.log.warning(f"{one.symbol} {one.interval}: {one.error}")
    if failed:
        raise HistoryIncomplete(
            f"{len(failed)} of {len(found)} series are incomplete; "
            f"{failed[0].symbol} {failed[0].interval}: {failed[0].error}"
        )
    return MaterializeResult(
        metadata={
            "from": start.isoformat(),
            "to": end.isoformat(),
            "received": sum(one.received for one in found),
            "written": sum(one.written for one in found),
            "complete_before": sum(one.asked == 0 for one in found),
            "without_bars": sum(one.asked > 0 and one.received == 0 for one in found),
            "series": table(
                [one.__dict__ for one in found], ["symbol", "interval", "received", "written"]
            ),
        }
    )


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"tradingview", "postgres"},
    partitions_def=DAYS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[AssetKey("account_snapshots")],
    retry_policy=REMOTE,
    pool="history_service",
)
def price_history_by_day(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Daily and hourly bars of chosen days; only what is missing is asked for.

    A range of days is one run. It may be cut off at any time and run again: every page that
    arrived is kept, and a token that failed leaves the days open without touching the others.
    """
    return _filled(context, platform, INTERVALS)


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"tradingview", "postgres"},
    partitions_def=HOURS,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[AssetKey("account_snapshots")],
    retry_policy=REMOTE,
    pool="history_service",
)
def price_history_by_hour(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Hourly bars of chosen hours, for holes that are shorter than a day; else as by day."""
    return _filled(context, platform, ("1h",))


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    partitions_def=DAYS_AND_TODAY,
    backfill_policy=BackfillPolicy.single_run(),
    deps=[AssetKey("account_snapshots")],
)
def redecoded_facts(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Facts of chosen days decoded again from the stored bytes.

    Where the decoders read something differently now, new rows with a later `recorded_at` and the
    same `observed_at` appear; where they do not, nothing is written.
    """
    start, end = context.partition_time_window
    with platform.connect() as conn:
        done = redecode_days(conn, platform.settings, start, end, context.log.warning)
    return MaterializeResult(
        metadata={
            "fetches": done.fetches,
            "without_bytes": done.without_bytes,
            "written": sum(done.written.values()),
            **{f"written_{name}": number for name, number in done.written.items()},
        }
    )


ASSETS = [price_history_by_day, price_history_by_hour, redecoded_facts]
