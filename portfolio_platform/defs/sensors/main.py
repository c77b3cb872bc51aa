"""Sensors and jobs of the main location."""

from dagster import AssetSelection, define_asset_job

from portfolio_platform.defs.monitoring.assets import watch_alerts
from portfolio_platform.defs.sensors import watches
from portfolio_platform.defs.sensors.feed_sensor import feed_sensor

recompute = define_asset_job(
    "recompute",
    selection=AssetSelection.assets(*watches.CHAIN),
    description="What new market data can have changed: bars to metrics, weights and plans.",
)

JOBS = [recompute]
SENSORS = [
    feed_sensor(
        watches.MARKET,
        [recompute],
        "Market data changed: metrics, weights, states and plans, from the first stage affected.",
    ),
    feed_sensor(
        watches.ALERTS,
        [watch_alerts],
        "Facts or rules changed: alerts, where there are rules.",
    ),
]
