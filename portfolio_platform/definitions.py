"""The only Dagster entry point: assets, checks, jobs, schedules, sensors, resources."""

from __future__ import annotations

import warnings

from dagster import BetaWarning, Definitions, PreviewWarning

warnings.filterwarnings("ignore", category=BetaWarning)
warnings.filterwarnings("ignore", category=PreviewWarning)

from portfolio_platform.defs import automation, checks, upkeep  # noqa: E402
from portfolio_platform.defs.backtest import assets as backtest  # noqa: E402
from portfolio_platform.defs.executors import chosen_executor  # noqa: E402
from portfolio_platform.defs.market import assets as market  # noqa: E402
from portfolio_platform.defs.monitoring import assets as monitoring  # noqa: E402
from portfolio_platform.defs.monitoring import flow  # noqa: E402
from portfolio_platform.defs.portfolio import assets as portfolio  # noqa: E402
from portfolio_platform.defs.portfolio import weight_checks  # noqa: E402
from portfolio_platform.defs.resources import Platform  # noqa: E402
from portfolio_platform.defs.sensors import main as sensors  # noqa: E402
from portfolio_platform.defs.solana import assets as solana  # noqa: E402
from portfolio_platform.settings import Settings  # noqa: E402

defs = Definitions(
    assets=[
        *solana.ASSETS,
        *market.ASSETS,
        *portfolio.ASSETS,
        *backtest.ASSETS,
        *monitoring.ASSETS,
    ],
    asset_checks=[*checks.CHECKS, *weight_checks.CHECKS, *monitoring.CHECKS, *flow.CHECKS],
    jobs=[*automation.JOBS, *upkeep.JOBS, *sensors.JOBS, *monitoring.JOBS],
    sensors=[*sensors.SENSORS, *monitoring.SENSORS],
    schedules=[*automation.SCHEDULES, *upkeep.SCHEDULES, *monitoring.SCHEDULES],
    resources={"platform": Platform()},
    executor=chosen_executor(Settings()),
)
