"""Market assets: history, clean bars, metrics."""

from datetime import UTC, datetime

from dagster import AssetExecutionContext, MaterializeResult, asset

from portfolio_platform.defs.metadata import OWNERS, table
from portfolio_platform.defs.resources import Platform, code_version
from portfolio_platform.defs.solana.assets import (
    account_snapshots,
    lending_reserves,
    pool_states,
    stake_pool_rates,
    token_prices,
)
from portfolio_platform.defs.solana.retries import REMOTE

GROUP = "market"


@asset(
    group_name="solana",
    owners=OWNERS,
    kinds={"tradingview", "postgres"},
    deps=[account_snapshots],
    retry_policy=REMOTE,
)
def price_history(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Daily and hourly bars from the history service; only what is not stored yet is asked for."""
    from portfolio_platform.defs.market.service_history import fetch_history
    from portfolio_platform.settings import ServicesNotRunning

    try:
        platform.settings.resolve_history_url()
    except ServicesNotRunning as error:
        context.log.warning(f"no history service: {error}")
        return MaterializeResult(metadata={"skipped": str(error)})
    with platform.connect() as conn:
        found = fetch_history(conn, platform.settings, datetime.now(UTC), context.run_id)
    failed = [one for one in found if one.error]
    for one in failed:
        context.log.warning(f"{one.symbol} {one.interval}: {one.error}")
    return MaterializeResult(
        metadata={
            "received": sum(one.received for one in found),
            "written": sum(one.written for one in found),
            "failed": len(failed),
            "series": table(
                [one.__dict__ for one in found],
                ["symbol", "interval", "received", "written", "error"],
            ),
        }
    )


@asset(group_name=GROUP, owners=OWNERS, kinds={"pandas", "postgres"}, deps=[price_history])
def market_bars(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Bars after the cleaning rules; every rule counts what it touched, nothing is overwritten."""
    from portfolio_platform.defs.market.bars import clean_bars

    with platform.covering("market_bars", context.run_id), platform.connect() as conn:
        result, written = clean_bars(conn)
    listings = [one.to_json() for one in result.listings]
    return MaterializeResult(
        metadata={
            "series": len(result.series),
            "written": written,
            "rows": result.counters.get("rows", 0),
            "quarantined": len(result.quarantine),
            "rules": table(
                [{"rule": k, "count": v} for k, v in sorted(result.counters.items())],
                ["rule", "count"],
                limit=100,
            ),
            "listings": table(listings, ["series", "listed_from", "listed_to", "began", "ended"]),
        }
    )


@asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy", "postgres"},
    deps=[market_bars, token_prices, pool_states, lending_reserves, stake_pool_rates],
)
def market_metrics(context: AssetExecutionContext, platform: Platform) -> MaterializeResult:
    """Returns, risk, liquidity, fees and rates of every token, as one published version."""
    from portfolio_platform.defs.market.bars import preference
    from portfolio_platform.defs.market.metrics import publish_metrics

    with platform.covering("market_metrics", context.run_id), platform.connect() as conn:
        published, metrics = publish_metrics(
            conn,
            interval="1d",
            prefer=preference(platform.settings.bar_preference),
            code_version=code_version(),
            run_id=context.run_id,
        )
    shown = ["asset", "price", "return_30d", "volatility", "max_drawdown", "correlation_to_sol"]
    return MaterializeResult(
        metadata={
            "version": str(published.version),
            "new": published.is_new,
            "content_hash": published.content_hash,
            "tokens": len(metrics),
            "metrics": table([one.to_json() for one in metrics], shown),
        }
    )


ASSETS = [price_history, market_bars, market_metrics]
