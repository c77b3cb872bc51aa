"""The spec refuses contradictions and names the field."""

import json
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from portfolio_platform.backtesting import BacktestSpec
from portfolio_platform.backtesting.schedule import decision_bars
from portfolio_platform.backtesting.spec_parts import Rebalance
from portfolio_platform.optimization import StrategySpec
from portfolio_platform.reallocation.costs import CostInputMissing, CostModel

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
INLINE = {"name": "x", "spec": {}}


@pytest.mark.parametrize(
    ("fields", "path"),
    [
        ({"strategies": []}, ("strategies",)),
        ({"strategies": ["a", "a"]}, ("strategies", 1)),
        ({"strategies": [INLINE], "interval": "1h"}, ("strategies", 0, "spec", "bar_interval")),
        ({"start": "2024-01-02", "end": "2024-01-01"}, ("end",)),
        ({"start": "2024-01-02T00:00:00"}, ("start",)),
        ({"costs": {"fee_bps": -1}}, ("costs", "fee_bps")),
        ({"costs": {"slippage_bps": float("nan")}}, ("costs", "slippage_bps")),
        ({"costs": {"impact": "pool"}}, ("costs",)),
        ({"convention": "exact", "costs": {"min_trade": 5}}, ("costs", "min_trade")),
        ({"rebalance": {"rule": "band"}}, ("rebalance", "band")),
        ({"rebalance": {"band": 0.1}}, ("rebalance", "band")),
        ({"rebalance": {"lower": 0.9}}, ("rebalance", "lower")),
        ({"window": {"kind": "rolling"}}, ("window", "bars")),
        ({"window": {"bars": 50}}, ("window", "bars")),
        ({"execution_lag": -1}, ("execution_lag",)),
        ({"initial_capital": 0}, ("initial_capital",)),
        ({"validation": {"cscv_blocks": 7}}, ("validation", "cscv_blocks")),
        ({"validation": {"variants": {"lookback": []}}}, ("validation", "variants")),
        (
            {"validation": {"cpcv": {"groups": 3, "test_groups": 3}}},
            ("validation", "cpcv", "test_groups"),
        ),
        ({"validation": {"cpcv": {"groups": 2}}}, ("validation", "cpcv", "test_groups")),
        ({"benchmarks": [{"kind": "hodl"}]}, ("benchmarks", 0)),
        (
            {"benchmarks": [{"kind": "mix", "weights": {"a": 0.7, "b": 0.6}}]},
            ("benchmarks", 0, "mix", "weights"),
        ),
        ({"benchmarks": [{"kind": "equal_weight"}] * 2}, ("benchmarks", 1)),
        (
            {
                "risk_simulation": {
                    "stress": [{"name": "x", "start": "2024-02-01", "end": "2024-01-01"}]
                }
            },
            ("risk_simulation", "stress", 0, "end"),
        ),
        ({"leverage": 3}, ("leverage",)),
    ],
)
def test_refused_with_the_path(fields, path):
    with pytest.raises(ValidationError) as refused:
        BacktestSpec.model_validate({"strategies": ["a"], **fields})
    assert any(error["loc"][: len(path)] == path for error in refused.value.errors())


def test_a_spec_survives_json():
    spec = BacktestSpec.model_validate(
        {"strategies": ["a", INLINE], "start": "2022-01-01", "end": "2022-12-31T06:00:00Z"}
    )
    assert BacktestSpec.model_validate(json.loads(spec.model_dump_json())) == spec
    assert str(spec.start_time) == "2022-01-01 00:00:00+00:00"
    whole_day = BacktestSpec.model_validate({"strategies": ["a"], "end": "2022-12-31"})
    assert str(whole_day.end_time) == "2023-01-01 00:00:00+00:00"
    assert "BacktestSpec" in BacktestSpec.model_json_schema()["title"]


def test_calendar_rules():
    times = np.datetime64("2024-01-30", "ns") + np.arange(10) * np.timedelta64(1, "D")
    assert decision_bars(times, Rebalance(every=4)).tolist() == [0, 4, 8]
    assert decision_bars(times, Rebalance(every="monthly")).tolist() == [0, 2]
    weekly = decision_bars(times, Rebalance(every="weekly"))
    assert [str(times[bar])[:10] for bar in weekly] == ["2024-01-30", "2024-02-05"]


def test_trade_costs():
    costs = CostModel(fee_bps=10, slippage_bps=20, fixed_fee=1.0, impact="sqrt")
    buy = costs.trade_cost(1000.0, volatility=0.05, adv=100_000.0)
    assert buy.impact == pytest.approx(1000.0 * 0.05 * 0.1)
    assert buy.slippage == pytest.approx(2.0)
    assert buy.fee == pytest.approx((1000.0 + 2.0 + 5.0) * 0.001)
    assert costs.trade_cost(-1000.0, volatility=0.05, adv=1e5).fee == pytest.approx(0.993)
    assert costs.trade_cost(0.0).total == 0.0
    for known in ({}, {"volatility": 0.1}, {"volatility": 0.1, "adv": 0.0}):
        with pytest.raises(CostInputMissing):
            costs.trade_cost(1.0, **known)
    pool = CostModel(impact="pool", pool_depth={"m": 100.0})
    with pytest.raises(CostInputMissing, match="other"):
        pool.trade_cost(1.0, mint="other")


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("backtest*.json")), ids=lambda f: f.name)
def test_the_examples_are_specs_of_shipped_strategies(file):
    spec = BacktestSpec.model_validate(json.loads(file.read_text()))
    shipped = {
        json.loads(path.read_text())["slug"] for path in (EXAMPLES / "strategies").glob("*.json")
    }
    for one in spec.strategies:
        assert one in shipped if isinstance(one, str) else isinstance(one.spec, StrategySpec)
