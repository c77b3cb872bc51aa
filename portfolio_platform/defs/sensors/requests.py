"""Sensors of the location `requests`."""

from portfolio_platform.defs.requests import jobs
from portfolio_platform.defs.sensors import watches
from portfolio_platform.defs.sensors.feed_sensor import feed_sensor

SENSORS = [
    feed_sensor(
        watches.STRATEGIES,
        [jobs.weigh_strategy, jobs.settle_many],
        "A strategy was written: its weights.",
    ),
    feed_sensor(
        watches.PORTFOLIOS,
        [jobs.plan_portfolio, jobs.settle_many],
        "A portfolio, its holdings, its owner's settings or its target changed: its plan.",
    ),
    feed_sensor(
        watches.OPTIMIZATIONS,
        [jobs.answer_optimization, jobs.settle_many],
        "An optimization was requested: its answer.",
    ),
    feed_sensor(
        watches.BACKTESTS,
        [jobs.answer_backtest, jobs.settle_many],
        "A backtest was requested: its report.",
    ),
]
