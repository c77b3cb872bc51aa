"""Per-key assets: what one user changed or asked for, recomputed by itself."""

from typing import Any

from dagster import AssetExecutionContext, AssetKey, MaterializeResult, asset

from portfolio_platform.defs.metadata import OWNERS
from portfolio_platform.defs.requests import keyed, partitions
from portfolio_platform.defs.resources import Platform

GROUP = "requests"


def _one(context: AssetExecutionContext, platform: Platform, name: str) -> MaterializeResult[Any]:
    how = keyed.BY_CONSUMER[name]
    ((_, said),) = how.materialise(
        platform, [context.partition_key], context.run.run_id, context.log.info
    )
    return MaterializeResult(metadata=keyed.shown(said))


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"riskfolio", "postgres"},
    partitions_def=partitions.STRATEGIES,
    deps=[AssetKey("market_bars"), AssetKey("market_metrics")],
)
def strategy_weights(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Optimal weights of one strategy, as soon as it is written."""
    return _one(context, platform, "strategies_changed")


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"solana", "postgres"},
    partitions_def=partitions.PORTFOLIOS,
    deps=[AssetKey("wallet_holdings"), AssetKey("optimal_weights"), AssetKey("pool_states")],
)
def portfolio_plan(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """State and reallocation plan of one portfolio, when it, its holdings or its target change."""
    return _one(context, platform, "portfolios_changed")


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"riskfolio", "postgres"},
    partitions_def=partitions.OPTIMIZATIONS,
    deps=[AssetKey("market_bars"), AssetKey("market_metrics")],
)
def optimization_answer(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Weights that answer one optimization request, or the typed reason why there are none."""
    return _one(context, platform, "optimizations_requested")


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numba", "plotly", "postgres"},
    partitions_def=partitions.BACKTESTS,
    deps=[AssetKey("market_bars")],
)
def backtest_report(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Report that answers one backtest request."""
    return _one(context, platform, "backtests_requested")


ASSETS = [strategy_weights, portfolio_plan, optimization_answer, backtest_report]
