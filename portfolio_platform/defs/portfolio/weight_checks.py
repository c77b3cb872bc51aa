"""Checks of the newest weights: their limits, concentration, turnover, and what they looked at."""

from typing import Any

from dagster import AssetCheckResult, AssetCheckSeverity, asset_check

from portfolio_platform.defs.portfolio.assets import optimal_weights
from portfolio_platform.defs.resources import Platform
from portfolio_platform.optimization import StrategySpec
from portfolio_platform.optimization.limits import broken_limits, turnover
from portfolio_platform.store import checks, latest


@asset_check(asset=optimal_weights, blocking=True)
def weights_keep_their_limits(platform: Platform) -> AssetCheckResult:
    """Newest weights keep every bound, group and row of their spec within 1e-9, judged anew."""
    with platform.connect() as conn:
        tokens = latest.tokens(conn)
        found = checks.newest_weights(conn)
    groups = {mint: row["token_group"] for mint, row in tokens.items() if row["token_group"]}
    stable = {mint for mint, row in tokens.items() if row["is_stable"]}
    broken: dict[str, Any] = {}
    for one in found:
        spec = StrategySpec.model_validate(one.spec)
        limits = broken_limits(spec, one.weights, groups=groups, stable=stable)
        if limits:
            broken[one.slug] = limits
    return AssetCheckResult(
        passed=not broken, metadata={"strategies": len(found), "broken": broken}
    )


@asset_check(asset=optimal_weights)
def weights_are_spread(platform: Platform) -> AssetCheckResult:
    """No newest weight is above PORTFOLIO_MAX_CONCENTRATION; else how many assets it amounts to."""
    limit = platform.settings.max_concentration
    with platform.connect() as conn:
        found = checks.newest_weights(conn)
    narrow = {
        one.slug: {
            "largest": max(one.weights.values()),
            "effective_assets": 1 / sum(weight**2 for weight in one.weights.values()),
        }
        for one in found
        if max(one.weights.values()) > limit
    }
    return AssetCheckResult(
        passed=not narrow,
        severity=AssetCheckSeverity.WARN,
        metadata={"limit": limit, "concentrated": narrow},
    )


@asset_check(asset=optimal_weights)
def weights_change_slowly(platform: Platform) -> AssetCheckResult:
    """Turnover against the version before is at most PORTFOLIO_MAX_VERSION_TURNOVER."""
    limit = platform.settings.max_version_turnover
    with platform.connect() as conn:
        found = checks.newest_weights(conn)
    turned = {
        one.slug: turnover(one.previous, one.weights) for one in found if one.previous is not None
    }
    return AssetCheckResult(
        passed=all(value <= limit for value in turned.values()),
        severity=AssetCheckSeverity.WARN,
        metadata={"limit": limit, "turnover": turned},
    )


@asset_check(asset=optimal_weights, blocking=True)
def weights_look_at_recent_bars(platform: Platform) -> AssetCheckResult:
    """Newest clean bars lie at most PORTFOLIO_MAX_BARS_BEHIND bars behind the oracles.

    Nothing is traded on weights whose history has stopped while the chain went on.
    """
    limit = platform.settings.max_bars_behind
    with platform.connect() as conn:
        found = checks.bars_behind(conn)
    stale = [row for row in found if row["bars"] > limit]
    return AssetCheckResult(
        passed=not stale,
        metadata={
            "limit": limit,
            "behind": {row["bar_interval"]: row["bars"] for row in found},
            "published_at": str(max((row["published_at"] for row in found), default=None)),
            "remedy": "materialise price_history and market_bars, or import newer bars",
        },
    )


CHECKS = [
    weights_keep_their_limits,
    weights_are_spread,
    weights_change_slowly,
    weights_look_at_recent_bars,
]
