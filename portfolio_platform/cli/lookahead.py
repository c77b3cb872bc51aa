"""`portfolio-platform backtest SPEC --check-lookahead`: does the past change with the future?"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from portfolio_platform.cli.progress import console
from portfolio_platform.defs.market.bars import market_panel, preference, price_panel
from portfolio_platform.settings import Settings
from portfolio_platform.store import requests
from portfolio_platform.store.database import connect


class BadStep(ValueError):
    """The step to test is not ``module:function``."""


def load_step(name: str | None) -> Any:
    """A decision step of one's own, named ``module:function``; None is the platform's."""
    if name is None:
        return None
    module, separator, function = name.partition(":")
    if not separator:
        raise BadStep(f"{name!r} is not of the form module:function")
    if "" not in sys.path:
        sys.path.insert(0, "")  # a module beside the spec, as with `python -m`
    try:
        return getattr(import_module(module), function)
    except (ModuleNotFoundError, AttributeError) as error:
        raise BadStep(f"{name}: {error}") from error


def report_lookahead(settings: Settings, spec: Any, *, as_json: bool, step: str | None) -> int:
    """Run the check on the stored bars; exit code 1 when a decision saw the future."""
    from portfolio_platform.backtesting import check_lookahead
    from portfolio_platform.cli import fail, print_json
    from portfolio_platform.optimization import StrategySpec

    with connect(settings.resolve_database_url()) as conn:
        market, _ = market_panel(conn, spec.interval, preference(settings.bar_preference))
        if not len(market.times):
            raise fail(f"no clean {spec.interval} bars; materialise market_bars first")
        panel = price_panel(conn, market)
        stored = {
            row.slug: StrategySpec.model_validate(row.spec)
            for row in requests.strategies(conn, enabled_only=False)
            if row.user_id is None
        }
    found = check_lookahead(
        spec, panel, load_step(step), strategies=stored, volumes=market.quote_volume
    )
    if as_json:
        print_json(found.to_json())
    else:
        console.print(f"{found.comparisons} comparisons, {len(found.leaks)} leaks")
        for leak in found.leaks[:10]:
            console.print(
                f"[red]{leak.strategy}[/red] decided at {leak.decided_at} differently when data "
                f"from {leak.future_from} on changed: {leak.what}",
                soft_wrap=True,
            )
    return 0 if found.clean else 1
