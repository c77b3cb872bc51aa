"""Vectors with exact inputs: the published formulas, to the last digit that arithmetic gives."""

from math import sqrt

import numpy as np
import pytest

from portfolio_platform.backtesting import metrics
from portfolio_platform.backtesting import sharpe_statistics as statistics
from portfolio_platform.backtesting.comparison import better_models, superior_predictive_ability
from portfolio_platform.backtesting.intervals import (
    SharpeAndGrowth,
    bootstrap_intervals,
    optimal_block,
)
from portfolio_platform.backtesting.overfitting import backtest_overfitting

EXACT = 1e-12


def test_probabilistic_sharpe_takes_raw_kurtosis():
    sharpe = 1.585 / sqrt(12)
    value = statistics.probabilistic_sharpe(sharpe, 24, -2.448, 10.164)
    assert value == pytest.approx(0.9132343068848602, rel=EXACT)
    assert value != pytest.approx(0.9198410109298375, abs=1e-6)
    normal = statistics.probabilistic_sharpe(sharpe, 24)
    assert normal == pytest.approx(0.9815912360834967, rel=EXACT)


@pytest.mark.parametrize(
    ("trials", "expected"),
    [
        (2, 0.5197553442805939),
        (5, 1.1925940010147893),
        (10, 1.57459830134575),
        (100, 2.5306028932016846),
        (1000, 3.255121513652723),
    ],
)
def test_expected_maximum(trials, expected):
    assert statistics.expected_maximum(trials) == pytest.approx(expected, rel=EXACT)


def test_deflated_sharpe():
    sharpe, variance = 2.5 / sqrt(250), 0.5 / 250
    threshold = statistics.deflated_threshold(variance, 100)
    assert threshold == pytest.approx(0.11317200186513214, rel=EXACT)
    assert threshold * sqrt(250) == pytest.approx(1.7894064662732079, rel=EXACT)
    skewed = statistics.deflated_sharpe(sharpe, 1250, -3, 10, variance, 100)
    assert skewed == pytest.approx(0.9003968344493903, rel=EXACT)
    normal = statistics.deflated_sharpe(sharpe, 1250, 0, 3, variance, 88)
    assert normal == pytest.approx(0.9504908166760139, rel=EXACT)


@pytest.mark.parametrize(
    ("sharpe", "threshold", "q", "moments", "expected"),
    [
        (2.0, 1.0, 250, (0.0, 3.0), 682.796950432044),
        (2.0, 1.0, 52, (0.0, 3.0), 147.0993465211523),
        (3.0, 2.5, 12, (-0.72, 5.78), 328.2350423524836),
    ],
)
def test_minimum_track_record(sharpe, threshold, q, moments, expected):
    length = statistics.minimum_track_record(sharpe / sqrt(q), *moments, threshold / sqrt(q), 0.95)
    assert length == pytest.approx(expected, rel=EXACT)


def test_overfitting_of_a_written_out_matrix():
    row = np.arange(64)[:, None]
    column = np.arange(5)[None, :]
    matrix = np.sin(0.7 * (row + 1) * (column + 1)) + 0.05 * np.cos(1.3 * row + column)
    found = backtest_overfitting(matrix, 8)
    assert found.probability == 67 / 70
    ranks = np.round(6 / (1 + np.exp(-found.logits))).astype(int)
    assert np.bincount(ranks, minlength=6)[1:].tolist() == [37, 29, 1, 3, 0]
    assert found.slope == pytest.approx(-0.9387507479729031, abs=1e-9)
    assert found.loss_probability == 63 / 70


def test_overfitting_of_noise():
    matrix = np.random.default_rng(7).standard_normal((1000, 50)) * 0.01
    found = backtest_overfitting(matrix, 16)
    assert found.probability == 6285 / 12870
    assert found.slope == pytest.approx(-0.3023906692586621, abs=1e-9)
    assert found.loss_probability == pytest.approx(0.5711732711732712, abs=1e-9)


def test_superior_predictive_ability_compares_losses():
    generator = np.random.default_rng(12345)
    benchmark = generator.standard_normal(500) ** 2
    models = generator.standard_normal((500, 10)) ** 2
    settings = {"block_size": 10, "reps": 1000, "seed": 23456}
    assert superior_predictive_ability(-benchmark, -models, **settings) == (0.545, 0.715, 0.715)
    named = {str(column): -models[:, column] for column in range(10)}
    assert better_models(-benchmark, named, size=0.05, **settings) == []
    models[:, 3] -= 0.5
    assert superior_predictive_ability(-benchmark, -models, **settings) == (0.0, 0.0, 0.0)
    named = {str(column): -models[:, column] for column in range(10)}
    assert better_models(-benchmark, named, size=0.05, **settings) == ["3"]
    every = {name: series + 3.0 for name, series in named.items()}
    assert better_models(-benchmark, every, size=0.05, **settings) == list(every)


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [
        ("percentile", -0.7099444962543586, 1.7716458513965212),
        ("basic", -0.6469838744667791, 1.8346064731841008),
        ("bca", -0.7314518345489307, 1.754752109591548),
    ],
)
def test_bootstrap_interval_of_sharpe(method, low, high):
    series = np.random.default_rng(7).standard_normal(1000) * 0.01 + 0.001
    sharpe, _ = bootstrap_intervals(
        series, SharpeAndGrowth(365.0), block=5, reps=1000, seed=42, method=method
    )
    assert sharpe.point == pytest.approx(0.5623309884648711, rel=EXACT)
    assert sharpe.low == pytest.approx(low, rel=1e-9)
    assert sharpe.high == pytest.approx(high, rel=1e-9)
    assert optimal_block(series) == pytest.approx(1.5494942431221956, rel=1e-9)


def test_moments_of_a_sample():
    series = np.random.default_rng(7).standard_normal(1000) * 0.01 + 0.001
    sharpe = metrics.sharpe_per_period(series)
    skew, kurt = metrics.skewness(series), metrics.kurtosis(series)
    assert sharpe == pytest.approx(0.029433749177631505, rel=EXACT)
    assert skew == pytest.approx(0.013575157134884028, rel=1e-10)
    assert kurt == pytest.approx(2.967675705817766, rel=EXACT)
    value = statistics.probabilistic_sharpe(sharpe, 1000, skew, kurt)
    assert value == pytest.approx(0.8238918510301144, rel=EXACT)


def test_standard_error():
    assert statistics.standard_error(0.05, 1000) == pytest.approx(0.03164253466459348, rel=EXACT)
    skewed = statistics.standard_error(0.05, 1000, -2.448, 10.164)
    assert skewed == pytest.approx(0.03358760932248677, rel=EXACT)


@pytest.mark.parametrize(
    ("q", "rho", "expected"),
    [
        (12, 0.0, 3.4641016151377544),
        (12, 0.2, 2.87884869052744),
        (12, -0.2, 4.170848014103785),
        (365, 0.1, 17.285882807294602),
        (365, -0.1, 21.11549985477484),
    ],
)
def test_annualisation_with_autocorrelation(q, rho, expected):
    assert statistics.annualisation_factor_ar1(q, rho) == pytest.approx(expected, rel=EXACT)
    series = rho ** np.arange(1, q)
    assert statistics.annualisation_factor(q, series) == pytest.approx(expected, rel=EXACT)


def test_sharpe_and_sortino_by_hand():
    years = np.array(
        [0.259, 0.198, 0.364, -0.081, 0.057, 0.055, 0.188, 0.317, 0.24, 0.184, -0.01, 0.526]
    )
    assert metrics.sharpe(years, 1.0, 0.05) == pytest.approx(0.8343639209671241, rel=EXACT)
    few = np.array([0.17, 0.15, 0.23, -0.05, 0.12, 0.09, 0.13, -0.04])
    assert metrics.sortino(few, 1.0) == pytest.approx(4.417261042993862, rel=EXACT)


def test_leaving_one_out_is_what_it_says():
    series = np.random.default_rng(2).standard_t(4, (40, 2)) * 0.02
    statistics_of = SharpeAndGrowth(365.0, 0.03)
    direct = [statistics_of(np.delete(series, row, axis=0)) for row in range(40)]
    np.testing.assert_allclose(statistics_of.leave_one_out(series), direct, rtol=1e-10)


def test_intervals_of_one_statistic_do_not_depend_on_the_others():
    series = np.random.default_rng(2).standard_t(4, (300, 2)) * 0.02
    settings = {"block": 4, "reps": 300, "seed": 9}
    alone = bootstrap_intervals(series[:, 0], SharpeAndGrowth(365.0), **settings)
    both = bootstrap_intervals(series, SharpeAndGrowth(365.0), **settings)
    assert both[:2] == alone
