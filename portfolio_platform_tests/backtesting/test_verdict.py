"""The verdict finds an edge that was planted and none where there is none."""

import numpy as np
import pytest

from portfolio_platform.backtesting import BacktestSpec, run_backtest
from portfolio_platform_tests.backtesting.conftest import price_panel

SPEC = BacktestSpec.model_validate(
    {
        "strategies": [
            {"name": "min variance", "spec": {"lookback": 60}},
            {"name": "max sharpe", "spec": {"lookback": 60, "obj": "Sharpe"}},
            {"name": "risk parity", "spec": {"lookback": 60, "model": "RP"}},
        ],
        "costs": {"fee_bps": 1},
        "validation": {
            "bootstraps": 300,
            "cpcv": None,
            "cscv_blocks": 10,
            "variants": {"lookback": [40, 80, 100]},
        },
        "risk_simulation": {"paths": 100, "horizon": 10, "stress": []},
    }
)


def panel_of(seed, edge=0.0):
    """Two years of 6 assets; `edge` is a daily mean that asset 0 alone keeps."""
    generator = np.random.default_rng(seed)
    returns = generator.standard_t(4, (730, 1)) * 0.008 + generator.standard_t(4, (730, 6)) * 0.015
    returns[:, 0] += edge
    return price_panel(returns)


def claims(seed, edge=0.0):
    document = run_backtest(SPEC, panel_of(seed, edge)).document
    return document["verdict"]["claims"], document


def test_a_planted_edge_is_found():
    found, document = claims(1, edge=0.006)
    assert found["max sharpe"] == {"positive_sharpe": True, "beats_benchmark": True}
    assert "supports a Sharpe ratio above zero for" in document["verdict"]["sentence"]
    better = document["verdict"]["sentence"].split(". ")[1]
    assert "max sharpe" in better
    assert better.endswith("earned more than equal weight beyond chance.")


def test_noise_is_called_noise():
    found, document = claims(2)
    assert not any(claim["positive_sharpe"] for claim in found.values())
    assert "does not support skill" in document["verdict"]["sentence"]
    against = document["verdict"]["does_not_support"]
    assert [line.split(":")[0] for line in against][:3] == list(found)


@pytest.mark.nightly
def test_false_positives_stay_below_five_per_cent():
    """Over 200 seeded noise sets, a verdict counts when it makes any claim for any strategy."""
    false = 0
    for seed in range(200):
        found, _ = claims(1000 + seed)
        false += any(any(claim.values()) for claim in found.values())
    print(f"false positives over 200 noise sets: {false}")
    assert false <= 10


@pytest.mark.nightly
def test_a_planted_edge_is_found_nearly_always():
    found = [claims(5000 + seed, edge=0.006)[0]["max sharpe"] for seed in range(40)]
    assert np.mean([claim["positive_sharpe"] for claim in found]) >= 0.9
