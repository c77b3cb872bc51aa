"""The second code location: per-key assets, and the sensors that target them.

The stock command line refuses to materialise partitioned assets together with others, so
`definitions` holds only assets of all keys at once, and the assets of single keys live here.
"""

from __future__ import annotations

import warnings

from dagster import BetaWarning, Definitions, PreviewWarning

warnings.filterwarnings("ignore", category=BetaWarning)
warnings.filterwarnings("ignore", category=PreviewWarning)

from portfolio_platform.defs.executors import chosen_executor  # noqa: E402
from portfolio_platform.defs.requests import assets, jobs  # noqa: E402
from portfolio_platform.defs.resources import Platform  # noqa: E402
from portfolio_platform.defs.sensors import requests as sensors  # noqa: E402
from portfolio_platform.settings import Settings  # noqa: E402

defs = Definitions(
    assets=assets.ASSETS,
    jobs=jobs.JOBS,
    sensors=sensors.SENSORS,
    resources={"platform": Platform()},
    executor=chosen_executor(Settings()),
)
