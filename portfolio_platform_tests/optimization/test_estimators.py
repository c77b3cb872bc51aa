"""Estimators equal riskfolio's by the same name."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pandas as pd
import pytest

from portfolio_platform.optimization import NoAnswer, decide, estimate_moments, names
from portfolio_platform.optimization.estimators import covariance_matrix, mean_vector
from portfolio_platform.optimization.spec_parts import CovarianceEstimator, MeanEstimator


@pytest.fixture(scope="module")
def returns(panel_of):
    close = panel_of(8, 121, seed=3).close
    return close[1:] / close[:-1] - 1


@pytest.mark.parametrize("target", ["b1", "b2", "b3"])
@pytest.mark.parametrize("method", get_args(names.MeanMethod))
def test_mean_equals_riskfolio(returns, method, target):
    from riskfolio.src import ParamsEstimation

    theirs = ParamsEstimation.mean_vector(
        pd.DataFrame(returns), method=method, d=0.97, target=target
    )
    ours = mean_vector(returns, MeanEstimator(method=method, decay=0.97, target=target))
    np.testing.assert_allclose(ours, theirs.to_numpy().ravel(), rtol=1e-9, atol=1e-16)


@pytest.mark.parametrize("method", sorted(set(get_args(names.CovarianceMethod)) - {"auto"}))
def test_covariance_equals_riskfolio(returns, method):
    from riskfolio.src import ParamsEstimation

    theirs = ParamsEstimation.covar_matrix(
        pd.DataFrame(returns), method=method, d=0.97, alpha=0.2, threshold=0.4
    ).to_numpy()
    estimator = CovarianceEstimator(method=method, decay=0.97, alpha=0.2, threshold=0.4)
    ours = covariance_matrix(returns, estimator, method, 60.0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-16)


def test_bop_with_fewer_returns_than_assets_is_typed(panel_of, spec):
    panel = panel_of(10, 9)
    strategy = spec(lookback=8, mean={"method": "BOP"}, obj="Sharpe")
    with pytest.raises(NoAnswer) as caught:
        estimate_moments(strategy, panel, panel.times[-1])
    assert caught.value.status == "numerical"


def test_auto_shrinks_when_history_is_short(panel_of, spec):
    panel = panel_of(10, 61)
    short = decide(spec(lookback=20), panel, panel.times[-1])
    long = decide(spec(lookback=40), panel, panel.times[-1])
    assert short.moments.covariance_method == "ledoit"
    assert long.moments.covariance_method == "hist"
    assert short.condition_number < long.condition_number * 100


def test_decaying_weights_count_fewer_observations(panel_of, spec):
    panel = panel_of(5, 300)
    answer = decide(spec(covariance={"method": "ewma1", "decay": 0.9}), panel, panel.times[-1])
    assert answer.effective_observations == pytest.approx(19.0, rel=1e-6)
    assert decide(spec(), panel, panel.times[-1]).effective_observations == 252


def test_pairwise_repair_is_reported(panel_of, spec):
    panel = panel_of(12, 41, seed=5)
    close = panel.close.copy()
    generator = np.random.default_rng(1)
    for place in range(12):
        close[: generator.integers(0, 34), place] = np.nan
    broken = type(panel)(panel.assets, panel.times, close)
    strategy = spec(lookback=40, universe={"overlap": "pairwise", "min_history": 5})
    answer = decide(strategy, broken, broken.times[-1])
    assert answer.ok
    assert "clipped" in answer.psd_repair
    assert np.linalg.eigvalsh(answer.moments.covariance)[0] >= -1e-12
    assert decide(spec(lookback=40), panel, panel.times[-1]).psd_repair is None


def test_yields_raise_expected_return_of_those_that_earn(panel_of, spec):
    panel = panel_of(3, 100, seed=2)
    yields = np.full(panel.close.shape, np.nan)
    yields[:, 1] = 0.0
    yields[-1, 1] = 0.08
    earning = type(panel)(panel.assets, panel.times, panel.close, yields=yields)
    strategy = spec(lookback=60, mean={"yields": True}, obj="Sharpe")
    plain = estimate_moments(strategy, panel, panel.times[-1])
    with_yield = estimate_moments(strategy, earning, panel.times[-1])
    np.testing.assert_allclose(with_yield.mean - plain.mean, [0, 0.08 / 365, 0], atol=1e-18)
    before = estimate_moments(strategy, earning, panel.times[-2])
    np.testing.assert_allclose(
        before.mean, estimate_moments(strategy, panel, panel.times[-2]).mean, atol=0
    )
