"""Portfolio assets: optimal weights, portfolio states, reallocation plans."""

from collections.abc import Sequence
from typing import Any

from dagster import AssetExecutionContext, AssetMaterialization, MaterializeResult, asset

from portfolio_platform.defs.market.assets import market_bars, market_metrics
from portfolio_platform.defs.metadata import OWNERS, table
from portfolio_platform.defs.resources import Platform, code_version
from portfolio_platform.defs.solana.assets import pool_states, token_prices, wallet_holdings

GROUP = "portfolio"
#: The partitioned asset with one partition per strategy, and its partitions.
BY_STRATEGY, STRATEGIES = "strategy_weights", "strategies"
#: More strategies at once are not drawn one by one.
_DRAWN = 40


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"riskfolio", "postgres"},
    deps=[market_bars, market_metrics],
)
def optimal_weights(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Optimal weights of every enabled strategy, or the typed reason why there are none.

    Each new version is a materialisation of its strategy's partition of `strategy_weights` too.
    """
    from portfolio_platform.defs.portfolio.materialise import materialise_weights
    from portfolio_platform.defs.portfolio.weights_metadata import weights_metadata

    with platform.covering("optimal_weights", context.run_id), platform.connect() as conn:
        rows = materialise_weights(conn, platform.settings, code_version(), context.run_id)
    for row in rows:
        if row["status"] != "optimal":
            context.log.warning(f"{row['strategy']}: {row['status']}: {row['reason']}")
    _record_by_strategy(context, [row for row in rows if row["new"]])
    return MaterializeResult(
        metadata={
            "strategies": len(rows),
            "optimal": sum(row["status"] == "optimal" for row in rows),
            "new_versions": sum(row["new"] for row in rows),
            **weights_metadata(rows),
        }
    )


def _record_by_strategy(context: AssetExecutionContext, rows: Sequence[dict[str, Any]]) -> None:
    """Put new versions into the history of their strategies' partitions."""
    from portfolio_platform.defs.portfolio.weights_metadata import strategy_metadata
    from portfolio_platform.defs.requests.keyed import shown

    known = set(context.instance.get_dynamic_partitions(STRATEGIES))
    missing = [str(row["strategy_id"]) for row in rows if str(row["strategy_id"]) not in known]
    if missing:
        context.instance.add_dynamic_partitions(STRATEGIES, missing)
    for row in rows:
        context.log_event(
            AssetMaterialization(
                asset_key=BY_STRATEGY,
                partition=str(row["strategy_id"]),
                metadata=shown(strategy_metadata(row, pictures=len(rows) <= _DRAWN)),
            )
        )


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"postgres"},
    deps=[wallet_holdings, token_prices, optimal_weights],
)
def portfolio_states(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Value, weights and utilization of every portfolio against its target."""
    from portfolio_platform.defs.portfolio.materialise import materialise_states

    with platform.covering("portfolio_states", context.run_id), platform.connect() as conn:
        rows = materialise_states(conn, code_version(), context.run_id)
    return MaterializeResult(
        metadata={
            "portfolios": len(rows),
            "states": table(rows, ["portfolio", "nav", "deployment", "overlap", "reason"]),
        }
    )


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"solana", "postgres"},
    deps=[portfolio_states, pool_states, optimal_weights],
)
def reallocation_plans(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """What each portfolio must trade, exact to the base unit; or why nothing, or why not."""
    from portfolio_platform.defs.portfolio.materialise import materialise_plans
    from portfolio_platform.defs.portfolio.plans_metadata import plans_metadata

    with platform.covering("reallocation_plans", context.run_id):
        rows = materialise_plans(
            platform.connect, platform.settings, code_version(), context.run_id
        )
    return MaterializeResult(metadata=plans_metadata(rows))


ASSETS = [optimal_weights, portfolio_states, reallocation_plans]
