"""The shipped examples run as they are on the demo market."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from portfolio_platform.backtesting import BacktestSpec, run_backtest
from portfolio_platform.optimization import PricePanel, StrategySpec

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def demo():
    """Daily panel of the demo market: 730 days, one token listed late; its oracle has no volume."""
    from portfolio_platform.localnet.market import demo_market

    now = datetime(2026, 11, 1, tzinfo=UTC)
    market = demo_market(seed=7, now=now)
    start, end = market.first_bar("SOL", "1D"), int(now.timestamp())
    days = market.bars("SOL", "1D", start, end).time
    close = np.full((len(days), len(market.tokens)), np.nan)
    for column, token in enumerate(market.tokens):
        bars = market.bars(token.symbol, "1D", start, end)
        rows = np.searchsorted(days, bars.time)
        close[rows, column] = bars.close
    return PricePanel(
        assets=tuple(token.mint for token in market.tokens),
        times=(days + 86_400).astype("datetime64[s]"),
        close=close,
        stable=frozenset(token.mint for token in market.tokens if token.stable),
        groups={token.mint: token.group for token in market.tokens},
    )


@pytest.fixture(scope="module")
def shipped():
    documents = [json.loads(path.read_text()) for path in (EXAMPLES / "strategies").glob("*.json")]
    return {one["slug"]: StrategySpec.model_validate(one["spec"]) for one in documents}


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("backtest*.json")), ids=lambda f: f.name)
def test_runs_on_the_demo_market(file, demo, shipped):
    spec = BacktestSpec.model_validate(json.loads(file.read_text()))
    result = run_backtest(spec, demo, strategies=shipped)
    assert result.outcome == "complete", result.reasons
    assert list(result.document["strategies"]) == list(spec.strategy_names)
    assert len(result.document["benchmarks"]) == len(spec.benchmarks)
    for section in result.document["strategies"].values():
        assert section["accounting_error"] <= 1e-9
        assert section["lowest_cash"] >= 0.0
        assert section["metrics"]["sharpe"] is not None
        assert section["metrics"]["turnover_per_year"] > 0.5
