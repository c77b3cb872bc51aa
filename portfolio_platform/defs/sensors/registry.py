"""Every watch with the code location that its sensor and its jobs live in."""

from __future__ import annotations

from portfolio_platform.defs.sensors import watches
from portfolio_platform.defs.sensors.watch import Watch


def located() -> list[tuple[str, Watch]]:
    """Location and watch of each consumer."""
    main = [watches.MARKET, watches.ALERTS]
    return [
        *(("portfolio_platform", watch) for watch in main),
        *(("requests", watch) for watch in watches.KEYED.values()),
    ]
