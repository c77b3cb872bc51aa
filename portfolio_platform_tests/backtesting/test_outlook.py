"""Simulated futures, replayed crashes, cross-validated histories, capacity."""

from datetime import date
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.backtesting import BacktestSpec, run_backtest
from portfolio_platform.backtesting.cross_validation import group_bounds, path_count, splits
from portfolio_platform.backtesting.outcomes import NotDefined
from portfolio_platform.backtesting.risk import filtered_paths, stationary_paths, summarise
from portfolio_platform.backtesting.spec_parts import CombinatorialPaths
from portfolio_platform.optimization import PricePanel
from portfolio_platform_tests.backtesting.conftest import price_panel

QUICK = {"bootstraps": 100, "cscv_blocks": 8}


def test_resampled_paths_keep_blocks_of_the_series():
    series = np.arange(500) * 1e-6
    drawn = stationary_paths(series, 2000, 200, block=10.0, seed=3)
    assert np.isin(drawn, series).all()
    follows = np.diff(np.rint(drawn * 1e6), axis=0)
    assert np.mean(np.isin(follows, [1.0, -499.0])) == pytest.approx(0.9, abs=0.01)
    assert np.array_equal(drawn, stationary_paths(series, 2000, 200, block=10.0, seed=3))
    assert drawn.mean() == pytest.approx(series.mean(), rel=0.02)


def test_filtered_paths_start_from_the_volatility_of_today():
    generator = np.random.default_rng(1)
    calm_then_wild = np.concatenate([generator.normal(0, 0.01, 800), generator.normal(0, 0.05, 60)])
    wild = filtered_paths(calm_then_wild, 4000, 5, seed=2)
    calm = filtered_paths(calm_then_wild[::-1].copy(), 4000, 5, seed=2)
    assert wild[0].std() > 3 * calm[0].std()
    assert (filtered_paths(generator.normal(0, 0.6, 200), 500, 50, 1) >= -1.0).all()


def test_filtered_paths_return_to_the_variance_of_the_series():
    series = np.random.default_rng(7).standard_t(4, 800) * 0.03
    drawn = filtered_paths(series, 4000, 365, seed=1)
    early, late = drawn[:30].std(), drawn[-100:].std()
    assert late == pytest.approx(series.std(), rel=0.15)
    assert late < 2 * early


def test_figures_at_the_horizon_by_hand():
    steps = np.array([[0.1, -0.6, 0.0, -0.1], [0.1, 0.0, 0.0, 0.2]])
    found = summarise(steps, confidence=0.75, ruin=0.5)
    assert found["probability_of_loss"] == 0.25
    assert found["probability_of_ruin"] == 0.25
    assert found["expected_shortfall"] == pytest.approx(0.6)
    assert found["drawdown"]["median"] == pytest.approx(-0.05)
    assert found["quantiles"]["0.5"][0] == 1.0
    assert len(found["bars"]) == 3


def test_expected_shortfall_is_the_mean_of_exactly_the_tail():
    steps = -np.arange(1, 201, dtype=float)[None, :] / 400
    found = summarise(steps, confidence=0.95, ruin=0.9)
    assert found["expected_shortfall"] == pytest.approx(np.arange(191, 201).mean() / 400)


def test_too_short_to_resample():
    with pytest.raises(NotDefined, match="at least 30"):
        stationary_paths(np.ones(5), 10, 10, 2.0, 1)
    with pytest.raises(NotDefined, match="variance"):
        filtered_paths(np.zeros(100), 10, 10, 1)


@given(
    st.integers(30, 300), st.integers(2, 8), st.integers(1, 7), st.integers(0, 5), st.integers(0, 9)
)
def test_training_never_touches_what_it_is_tested_on(rows, groups, tests, purge, embargo):
    if tests >= groups:
        tests = groups - 1
    rule = CombinatorialPaths(groups=groups, test_groups=tests, purge=purge, embargo=embargo)
    bounds = group_bounds(rows, groups)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == rows
    found = list(splits(rows, rule))
    assert len(found) == comb(groups, tests)
    assert path_count(rule) == comb(groups - 1, tests - 1)
    for tested, train in found:
        for group in tested:
            first, last = bounds[group]
            assert not train[max(0, first - purge) : last + purge + embargo].any()
    for group in range(groups):
        assert sum(group in tested for tested, _ in found) == path_count(rule)


def crash_panel():
    """A year of 2022 in which asset 0 halves in the week of 7 May."""
    generator = np.random.default_rng(6)
    returns = generator.normal(0.0, 0.01, (730, 3))
    panel = price_panel(returns, start="2021-01-01")
    close = panel.close.copy()
    fall = np.searchsorted(panel.times, np.datetime64("2022-05-10"))
    close[fall:, 0] *= 0.5
    return PricePanel(assets=panel.assets, times=panel.times, close=close)


def test_a_crash_is_replayed_as_invested_and_as_of_today():
    spec = BacktestSpec.model_validate(
        {
            "strategies": [{"name": "even", "spec": {"lookback": 30, "model": "equal_weight"}}],
            "benchmarks": [{"kind": "hold", "mint": "A00"}],
            "validation": QUICK,
            "costs": {},
            "start": "2021-06-01",
            "end": "2022-11-10",
        }
    )
    panel = crash_panel()
    document = run_backtest(spec, panel).document
    crashes = {crash["name"]: crash for crash in document["strategies"]["even"]["stress"]}
    luna = crashes["UST/LUNA collapse"]
    assert luna["covered"]
    assert luna["bars"] == 8
    assert -0.25 < luna["return"] < -0.1
    assert luna["latest"]["return"] == pytest.approx(luna["return"], abs=0.05)
    before = np.searchsorted(panel.times, np.datetime64("2022-05-07"))
    after = np.searchsorted(panel.times, np.datetime64("2022-05-15"))
    assert luna["benchmarks"]["hold A00"] == pytest.approx(
        panel.close[after, 0] / panel.close[before, 0] - 1.0
    )
    assert not crashes["FTX week"]["covered"]
    assert crashes["USDC depeg"]["latest"] is None


def test_cross_validated_paths_cover_the_period():
    spec = BacktestSpec.model_validate(
        {
            "strategies": [{"name": "greedy", "spec": {"lookback": 60, "obj": "Sharpe"}}],
            "validation": {**QUICK, "cpcv": {"groups": 5, "test_groups": 2, "embargo": 3}},
            "risk_simulation": {"paths": 100, "horizon": 30},
        }
    )
    generator = np.random.default_rng(9)
    panel = price_panel(generator.normal([0.01, 0.0, 0.0, 0.0], 0.02, (500, 4)))
    section = run_backtest(spec, panel).document["strategies"]["greedy"]
    found = section["cpcv"]
    assert len(found["paths"]) == 4
    assert found["splits"] == 10
    assert found["share_negative"] == 0.0
    assert len({path["sharpe"] for path in found["paths"]}) > 1
    assert len(found["times"]) == len(found["paths"][0]["equity"])
    short = spec.model_copy(update={"end": date(2022, 3, 20)})
    section = run_backtest(short, panel).document["strategies"]["greedy"]
    assert section["cpcv"]["paths"] is None
    assert "too few" in section["cpcv"]["reason"]


def test_more_capital_pays_more_impact():
    generator = np.random.default_rng(2)
    panel = price_panel(generator.normal(0.002, 0.02, (400, 3)))
    spec = BacktestSpec.model_validate(
        {
            "strategies": [{"name": "calm", "spec": {"lookback": 60}}],
            "costs": {"impact": "pool", "pool_depth": {f"A0{c}": 1e6 for c in range(3)}},
            "validation": QUICK,
            "initial_capital": 1e4,
        }
    )
    curve = run_backtest(spec, panel).document["strategies"]["calm"]["capacity"]
    assert curve["cagr"] == sorted(curve["cagr"], reverse=True)
    place = curve["capital"].index(curve["capacity"])
    assert curve["cagr"][place] >= curve["cagr"][0] / 2 > curve["cagr"][place + 1]
