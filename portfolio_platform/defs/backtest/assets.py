"""Backtest assets: reports that answer stored requests."""

from dagster import AssetExecutionContext, MaterializeResult, asset

from portfolio_platform.defs.market.assets import market_bars
from portfolio_platform.defs.metadata import OWNERS, table
from portfolio_platform.defs.resources import Platform, code_version

GROUP = "backtest"


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numba", "plotly", "postgres"},
    deps=[market_bars],
)
def backtest_reports(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Reports of all open backtest requests, each with its own statistical doubt."""
    from portfolio_platform.defs.backtest.reports import answer_pending

    rows = answer_pending(
        platform.connect, platform.settings, code_version(), context.run_id, context.log.info
    )
    return MaterializeResult(
        metadata={
            "answered": len(rows),
            "reports": table(
                rows,
                ["request", "state", "strategy", "sharpe", "max_drawdown", "verdict", "reason"],
            ),
        }
    )


ASSETS = [backtest_reports]
