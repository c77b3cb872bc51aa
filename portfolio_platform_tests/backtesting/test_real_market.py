"""Five strategies on recorded prices of 32 tokens, 2021 to 2023; some collapse and vanish."""

import numpy as np
import pandas as pd
import pytest

from portfolio_platform.backtesting import BacktestSpec, check_lookahead, run_backtest
from portfolio_platform.optimization import PricePanel

pytestmark = pytest.mark.real_data
UNIVERSE = {"lookback": 90, "universe": {"min_history": 60}}


@pytest.fixture(scope="module")
def spot(real_data):
    """Daily closes and traded value of the recorded hourly spot bars; a token ends when it did."""
    bars = pd.read_parquet(real_data / "market" / "binance_spot_hourly.parquet")
    bars["value"] = bars["close"] * bars["volume"]
    bars["day"] = bars["date"].dt.floor("D") + pd.Timedelta(days=1)
    days = bars.groupby(["day", "symbol"]).agg(close=("close", "last"), value=("value", "sum"))
    close, value = days["close"].unstack(), days["value"].unstack()
    names = [f"binance:{symbol}" for symbol in close.columns]
    stable = frozenset(name for name in names if name in {"binance:USTUSDT", "binance:USDCUSDT"})
    panel = PricePanel.from_frame(close.set_axis(names, axis=1), stable=stable)
    return panel, np.nan_to_num(value.to_numpy())


def test_listings_delistings_and_crashes(spot):
    panel, volumes = spot
    spec = BacktestSpec.model_validate(
        {
            "name": "five on recorded spot",
            "strategies": [
                {"name": "min variance", "spec": UNIVERSE},
                {
                    "name": "max sharpe",
                    "spec": {
                        **UNIVERSE,
                        "obj": "Sharpe",
                        "bounds": {"upper": 0.3},
                        "fallback": ["min_variance"],
                    },
                },
                {"name": "risk parity", "spec": {**UNIVERSE, "model": "RP"}},
                {"name": "hrp", "spec": {**UNIVERSE, "model": "HRP"}},
                {"name": "equal", "spec": {**UNIVERSE, "model": "equal_weight"}},
            ],
            "start": "2021-09-01",
            "end": "2023-06-30",
            "costs": {"fee_bps": 10, "slippage_bps": 5, "impact": "sqrt", "min_trade": 10},
            "benchmarks": [
                {"kind": "equal_weight"},
                {"kind": "hold", "mint": "binance:SOLUSDT", "name": "hold SOL"},
            ],
            "validation": {"bootstraps": 200},
            "risk_simulation": {"paths": 200},
            "initial_capital": 100_000.0,
        }
    )
    result = run_backtest(spec, panel, volumes=volumes)
    document = result.document
    assert result.outcome == "complete", result.reasons
    assert len(document["period"]["assets"]) == 32
    for name, section in document["strategies"].items():
        assert section["accounting_error"] <= 1e-9, name
        assert section["lowest_cash"] >= 0.0, name
        crashes = {crash["name"]: crash for crash in section["stress"]}
        assert all(crash["covered"] for crash in crashes.values()), name
        assert crashes["FTX week"]["return"] < 0.0, name
    vanished = {
        event["asset"]
        for event in document["strategies"]["equal"]["events"]
        if event["kind"] == "delisted"
    }
    assert "binance:FTTUSDT" in vanished
    assert document["validation"]["mcs"]["included"]
    assert not any(claim["positive_sharpe"] for claim in document["verdict"]["claims"].values()), (
        "nobody had skill in a market that fell by four fifths"
    )


def test_recorded_prices_hide_no_future(spot):
    panel, _ = spot
    spec = BacktestSpec.model_validate(
        {
            "strategies": [{"name": "calm", "spec": UNIVERSE}],
            "start": "2022-03-01",
            "end": "2022-12-31",
            "rebalance": {"every": "monthly"},
        }
    )
    assert check_lookahead(spec, panel, cuts=3).clean
