"""Asset checks: what must hold before data flows on. Blocking where bad data must not pass."""

from dagster import AssetCheckResult, AssetCheckSeverity, asset_check

from portfolio_platform.defs.market.assets import market_bars
from portfolio_platform.defs.portfolio.assets import optimal_weights, reallocation_plans
from portfolio_platform.defs.resources import Platform
from portfolio_platform.defs.solana.assets import account_snapshots, token_prices
from portfolio_platform.defs.solana.gate_checks import price_gates
from portfolio_platform.store import checks


@asset_check(asset=account_snapshots, blocking=True)
def bytes_match_their_hash(platform: Platform) -> AssetCheckResult:
    """Every stored account's bytes hash to the sha256 they are filed under."""
    with platform.connect() as conn:
        wrong = checks.corrupt_accounts(conn)
    return AssetCheckResult(passed=not wrong, metadata={"corrupt": wrong})


@asset_check(asset=token_prices, blocking=True)
def accepted_prices_agree(platform: Platform) -> AssetCheckResult:
    """Accepted prices of one token lie within the largest allowed deviation of each other."""
    with platform.connect() as conn:
        apart = checks.disagreeing_prices(conn, platform.settings.max_price_deviation)
    return AssetCheckResult(passed=not apart, metadata={"apart": apart})


@asset_check(asset=token_prices)
def every_watched_token_has_a_price(platform: Platform) -> AssetCheckResult:
    """Tokens of the universe without an accepted price, with the reasons of the refused ones."""
    with platform.connect() as conn:
        missing = checks.unpriced_tokens(conn)
    return AssetCheckResult(
        passed=not missing, severity=AssetCheckSeverity.WARN, metadata={"unpriced": missing}
    )


@asset_check(asset=market_bars, blocking=True)
def clean_bars_are_positive_and_closed(platform: Platform) -> AssetCheckResult:
    """No clean bar has a price that is not positive, or closes after it was recorded."""
    with platform.connect() as conn:
        wrong = checks.impossible_bars(conn)
    return AssetCheckResult(passed=wrong == 0, metadata={"impossible": wrong})


@asset_check(asset=optimal_weights, blocking=True)
def weights_sum_to_one(platform: Platform) -> AssetCheckResult:
    """Every newest weight set sums to one within 1e-9 and holds no NaN."""
    with platform.connect() as conn:
        wrong = checks.weights_off_one(conn)
    return AssetCheckResult(passed=not wrong, metadata={"wrong": wrong})


@asset_check(asset=optimal_weights)
def every_strategy_has_an_answer(platform: Platform) -> AssetCheckResult:
    """Strategies whose newest attempt has no weights, with status and reason."""
    with platform.connect() as conn:
        failed = checks.failed_strategies(conn)
    return AssetCheckResult(
        passed=not failed, severity=AssetCheckSeverity.WARN, metadata={"failed": failed}
    )


@asset_check(asset=reallocation_plans, blocking=True)
def every_portfolio_has_an_outcome(platform: Platform) -> AssetCheckResult:
    """Every portfolio with a target has a stored outcome with a reason."""
    with platform.connect() as conn:
        without = checks.portfolios_without_outcome(conn)
    return AssetCheckResult(passed=not without, metadata={"without": without})


CHECKS = [
    bytes_match_their_hash,
    accepted_prices_agree,
    price_gates,
    every_watched_token_has_a_price,
    clean_bars_are_positive_and_closed,
    weights_sum_to_one,
    every_strategy_has_an_answer,
    every_portfolio_has_an_outcome,
]
