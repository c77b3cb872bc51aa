"""The third code location: assets partitioned by day or hour.

They stand apart because the stock command line materialises `--select '*'` of a location only
when none of its assets is partitioned.
"""

from __future__ import annotations

import warnings

from dagster import BetaWarning, Definitions, PreviewWarning

warnings.filterwarnings("ignore", category=BetaWarning)
warnings.filterwarnings("ignore", category=PreviewWarning)

from portfolio_platform.defs.backfill import assets, jobs  # noqa: E402
from portfolio_platform.defs.executors import chosen_executor  # noqa: E402
from portfolio_platform.defs.resources import Platform  # noqa: E402
from portfolio_platform.settings import Settings  # noqa: E402

defs = Definitions(
    assets=assets.ASSETS,
    jobs=jobs.JOBS,
    resources={"platform": Platform()},
    executor=chosen_executor(Settings()),
)
