"""Views, factors, ensembles: what changes the moments or mixes the answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from portfolio_platform.optimization import decide, estimate_moments
from portfolio_platform.optimization.posterior import apply

VIEWS = [
    {"weights": {"AAPL": 1}, "annual_return": 0.4},
    {"weights": {"XOM": 1, "CVX": -1}, "annual_return": 0.05},
]


@pytest.mark.parametrize("equilibrium", [True, False])
def test_black_litterman_equals_riskfolio(equilibrium, sp20, spec, window_of):
    from riskfolio.src import ParamsEstimation

    strategy = spec(
        model="BL",
        views=VIEWS,
        obj="Sharpe",
        risk_free_rate=0.01,
        black_litterman={
            "equilibrium": equilibrium,
            "risk_aversion": 3.0,
            "posterior_covariance": True,
        },
    )
    moments = estimate_moments(strategy, sp20, sp20.times[1000])
    ours = apply(strategy, moments)
    names = list(moments.assets)
    frame = window_of(sp20, 1000)[names]
    picks = np.zeros((2, 20))
    picks[0, names.index("AAPL")] = 1
    picks[1, names.index("XOM")], picks[1, names.index("CVX")] = 1, -1
    mean, covariance, _ = ParamsEstimation.black_litterman(
        X=frame,
        w=pd.DataFrame(np.full((20, 1), 0.05), index=names),
        P=picks,
        Q=np.array([[0.4 / 365], [0.05 / 365]]),
        delta=3.0,
        rf=0.01 / 365,
        eq=equilibrium,
    )
    np.testing.assert_allclose(ours.mean, mean.to_numpy().ravel(), rtol=1e-9)
    np.testing.assert_allclose(ours.covariance, covariance.to_numpy(), rtol=1e-9, atol=1e-18)


def test_a_view_moves_weight_towards_its_asset(sp20, spec):
    end = sp20.times[1000]
    shares = []
    for view in (-0.2, 0.2, 1.0):
        views = [{"weights": {"AAPL": 1}, "annual_return": view}]
        answer = decide(spec(model="BL", views=views, obj="Utility"), sp20, end)
        shares.append(answer.weights["AAPL"])
    assert shares[0] <= shares[1] <= shares[2]
    assert shares[0] < shares[2]


def test_view_on_an_asset_without_history_is_refused(sp20, spec, panel_of):
    from dataclasses import replace

    panel = panel_of(4, 101)
    close = panel.close.copy()
    close[:50, 2] = np.nan
    views = [{"weights": {"M02": 1}, "annual_return": 0.1}]
    answer = decide(
        spec(lookback=100, model="BL", views=views), replace(panel, close=close), panel.times[-1]
    )
    assert answer.status == "infeasible"
    assert answer.reason.endswith("history of 50 returns, needs 100")


@pytest.mark.parametrize("historical", [True, False])
def test_factor_model_equals_riskfolio(historical, sp20, spec, window_of):
    import riskfolio

    factors = ["AAPL", "XOM", "JNJ"]
    strategy = spec(
        model="FM", obj="Sharpe", factors={"assets": factors, "historical_risk": historical}
    )
    moments = estimate_moments(strategy, sp20, sp20.times[1000])
    assert set(moments.assets).isdisjoint(factors)
    ours = apply(strategy, moments)
    frame = window_of(sp20, 1000)
    portfolio = riskfolio.Portfolio(returns=frame[list(moments.assets)])
    portfolio.factors = frame[factors]
    portfolio.assets_stats()
    portfolio.factors_stats()
    np.testing.assert_allclose(ours.mean, portfolio.mu_fm.to_numpy().ravel(), rtol=1e-8)
    if not historical:
        np.testing.assert_allclose(ours.covariance, portfolio.cov_fm.to_numpy(), rtol=1e-8)


def test_bayesian_black_litterman_answers(sp20, spec):
    strategy = spec(
        model="BLB",
        obj="Sharpe",
        factors={
            "assets": ["AAPL", "XOM"],
            "views": [{"weights": {"AAPL": 1}, "annual_return": 0.3}],
        },
    )
    answer = decide(strategy, sp20, sp20.times[1000])
    assert answer.status == "optimal"
    assert "AAPL" not in answer.weights


def test_ensemble_is_the_mix_of_its_members(sp20, spec):
    end = sp20.times[1000]
    members = [
        {"name": "a", "weight": 3, "spec": {}},
        {"name": "b", "weight": 1, "spec": {"model": "HRP"}},
    ]
    answer = decide(spec(model="ensemble", members=members), sp20, end)
    first, second = (decide(spec(**part["spec"]), sp20, end) for part in members)
    for asset in sp20.assets:
        mixed = 0.75 * first.weights[asset] + 0.25 * second.weights[asset]
        assert answer.weights[asset] == pytest.approx(mixed, abs=1e-15)
    mean = 0.75 * first.expected_return + 0.25 * second.expected_return
    assert answer.expected_return == pytest.approx(mean)
    assert [attempt.status for attempt in answer.attempts] == ["optimal", "optimal"]


def test_ensemble_without_a_members_answer_has_none(sp20, spec):
    members = [
        {"name": "sound", "spec": {}},
        {"name": "capped", "spec": {"bounds": {"upper": 0.01}}},
    ]
    answer = decide(spec(model="ensemble", members=members), sp20, sp20.times[1000])
    assert answer.status == "infeasible"
    assert answer.reason == "member capped: caps sum to 0.2, below 1"
