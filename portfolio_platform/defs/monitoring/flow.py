"""Whether events flow: nothing holds the change feed back, no consumer is far behind."""

from dagster import AssetCheckResult, AssetCheckSeverity, asset_check

from portfolio_platform.defs.metadata import table
from portfolio_platform.defs.monitoring.assets import alerts
from portfolio_platform.defs.resources import Platform

LONGEST_HOLD_SECONDS = 120.0
LONGEST_LAG_SECONDS = 900.0


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
