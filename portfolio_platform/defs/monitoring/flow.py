"""Whether events flow: nothing holds the change feed back, no consumer is far behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dagster import AssetCheckResult, AssetCheckSeverity, asset_check

from portfolio_platform.defs.metadata import table
from portfolio_platform.defs.resources import Platform

if TYPE_CHECKING:
    from portfolio_platform.store.feed import Lag

ALERTS = "alerts"

LONGEST_HOLD_SECONDS = 120.0
LONGEST_LAG_SECONDS = 900.0


def flows(lags: Sequence[Lag]) -> bool:
    """Whether nothing holds the feed back for long and no consumer is far behind."""
    return all(
        one.held_seconds <= LONGEST_HOLD_SECONDS and one.seconds <= LONGEST_LAG_SECONDS
        for one in lags
    )


@asset_check(asset=ALERTS)
def change_feed_is_flowing(platform: Platform) -> AssetCheckResult:
    """No open transaction holds the feed back for long, and no consumer is far behind.

    A writer that sits idle in a transaction, anywhere in the cluster, delays every event; nothing
    is lost by it.
    """
    from portfolio_platform.store.feed import SqlTransport, lag

    with SqlTransport(platform.settings.resolve_database_url()) as transport:
        lags = lag(transport)
    return AssetCheckResult(
        passed=flows(lags),
        severity=AssetCheckSeverity.WARN,
        metadata={
            "held_seconds": max((one.held_seconds for one in lags), default=0.0),
            "behind": [one.consumer for one in lags if one.seconds > LONGEST_LAG_SECONDS],
            "consumers": table(
                [one.__dict__ for one in lags],
                ["consumer", "events", "seconds", "dead_letters", "held_events", "held_seconds"],
            ),
        },
    )


CHECKS = [change_feed_is_flowing]
