"""Metrics against independent implementations where the conventions agree."""

import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.backtesting import metrics
from portfolio_platform.backtesting.outcomes import NotDefined


@pytest.fixture(scope="module")
def series():
    generator = np.random.default_rng(8)
    market = generator.standard_t(5, 900) * 0.02 + 0.0005
    return 0.7 * market + generator.standard_t(5, 900) * 0.01, market


@pytest.fixture(scope="module")
def frames(series):
    index = pd.date_range("2021-01-01", periods=900, freq="D")
    return pd.Series(series[0], index), pd.Series(series[1], index)


def test_against_quantstats(series, frames):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from quantstats import stats

        returns, market = series
        frame, other = frames
        q = 365.0
        theirs = {
            "volatility": stats.volatility(frame, periods=365),
            "sharpe": stats.sharpe(frame, periods=365),
            "sortino": stats.sortino(frame, periods=365),
            "omega": stats.omega(frame, periods=365),
            "max_drawdown": stats.max_drawdown(frame),
            "tail_ratio": stats.tail_ratio(frame),
            "total_return": stats.comp(frame),
            "hit_rate": stats.win_rate(frame),
            "beta": stats.greeks(frame, other, periods=365)["beta"],
            "best_bar": stats.best(frame),
            "worst_bar": stats.worst(frame),
            "information_ratio": np.sqrt(q) * stats.information_ratio(frame, other),
        }
    ours, undefined = metrics.summary(returns, q, benchmark=market)
    assert undefined == {}
    for name, value in theirs.items():
        assert ours[name] == pytest.approx(float(value), rel=1e-9), name


def test_against_ffn(series, frames):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ffn

        returns, _ = series
        prices = (1.0 + frames[0]).cumprod()
        prices = pd.concat([pd.Series([1.0], [prices.index[0] - pd.Timedelta(days=1)]), prices])
        drawdown = ffn.to_drawdown_series(prices)
        sharpe = ffn.calc_sharpe(frames[0], nperiods=365)
    np.testing.assert_allclose(metrics.drawdown(returns), drawdown.to_numpy(), atol=1e-12)
    assert metrics.sharpe(returns, 365.0) == pytest.approx(float(sharpe), rel=1e-9)


def test_against_scipy_and_by_hand(series):
    from scipy import stats

    returns, market = series
    assert metrics.skewness(returns) == pytest.approx(stats.skew(returns))
    assert metrics.kurtosis(returns) == pytest.approx(stats.kurtosis(returns, fisher=False))
    line = stats.linregress(market, returns)
    assert metrics.beta(returns, market) == pytest.approx(line.slope)
    assert metrics.alpha(returns, market, 365.0) == pytest.approx(365.0 * line.intercept)
    worst = np.sort(-returns)[::-1]
    assert metrics.expected_shortfall(returns, 0.95) == pytest.approx(worst[:45].mean())
    few = np.array([-0.1, -0.05, 0.0, 0.02, 0.03, 0.01, 0.04])
    assert metrics.expected_shortfall(few, 0.8) == pytest.approx((0.1 + 0.4 * 0.05) / 1.4)
    assert metrics.value_at_risk(returns, 0.95) == pytest.approx(-np.quantile(returns, 0.05))
    growth = np.prod(1.0 + returns)
    assert metrics.cagr(returns, 365.0) == pytest.approx(growth ** (365 / 900) - 1.0)


def test_the_longest_drawdown_counts_bars_below_the_high():
    assert metrics.longest_drawdown(np.array([0.1, -0.1, 0.05, 0.2, -0.01])) == 2
    assert metrics.longest_drawdown(np.array([0.1, 0.2])) == 0


@given(st.integers(0, 2**32 - 1), st.floats(0.1, 5.0))
def test_leverage_leaves_ratios_alone(seed, scale):
    returns = np.random.default_rng(seed).normal(0.0, 0.01, 60)
    for ratio in (metrics.sharpe, metrics.sortino):
        assert ratio(returns * scale, 365.0) == pytest.approx(ratio(returns, 365.0), rel=1e-9)
    assert metrics.omega(returns * scale) == pytest.approx(metrics.omega(returns), rel=1e-9)


def test_what_has_no_value_says_why():
    rising = np.full(20, 0.01)
    values, reasons = metrics.summary(rising, 365.0, benchmark=np.zeros(20))
    assert values["cagr"] == pytest.approx(1.01**365 - 1)
    for name in ("sharpe", "sortino", "calmar", "omega", "skewness", "beta"):
        assert values[name] is None
        assert reasons[name]
    values, reasons = metrics.summary(np.array([]), 365.0)
    assert values["cagr"] is None
    assert values["total_return"] == 0.0
    assert metrics.cagr(np.array([-1.0, 0.0]), 365.0) == -1.0
    with pytest.raises(NotDefined, match="beyond"):
        metrics.cagr(np.array([1e5]), 8760.0)
