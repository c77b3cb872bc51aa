"""Laws that the statistics obey for any input, and inputs they refuse."""

from math import sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio_platform.backtesting import metrics
from portfolio_platform.backtesting import sharpe_statistics as statistics
from portfolio_platform.backtesting.comparison import (
    model_confidence_set,
    superior_predictive_ability,
)
from portfolio_platform.backtesting.intervals import SharpeAndGrowth, bootstrap_intervals
from portfolio_platform.backtesting.outcomes import NotDefined
from portfolio_platform.backtesting.overfitting import backtest_overfitting

ratios = st.floats(-0.3, 0.3)
lengths = st.integers(10, 5000)
skews = st.floats(-1.5, 1.5)
kurtoses = st.floats(3.5, 15.0)


@given(ratios, lengths, skews, kurtoses)
def test_half_the_probability_at_its_own_value(sharpe, length, skew, kurt):
    value = statistics.probabilistic_sharpe(sharpe, length, skew, kurt, threshold=sharpe)
    assert value == pytest.approx(0.5, abs=1e-12)


@given(ratios, lengths, skews, kurtoses, st.floats(0.001, 0.2))
def test_longer_records_convince_more(sharpe, length, skew, kurt, margin):
    short = statistics.probabilistic_sharpe(sharpe, length, skew, kurt, sharpe - margin)
    long = statistics.probabilistic_sharpe(sharpe, 2 * length, skew, kurt, sharpe - margin)
    assert long >= short > 0.5


@given(ratios, lengths, skews, kurtoses, st.floats(1e-8, 1e-2), st.floats(2, 1e4))
def test_more_trials_convince_less(sharpe, length, skew, kurt, variance, trials):
    plain = statistics.probabilistic_sharpe(sharpe, length, skew, kurt)
    few = statistics.deflated_sharpe(sharpe, length, skew, kurt, variance, trials)
    many = statistics.deflated_sharpe(sharpe, length, skew, kurt, variance, 2 * trials)
    assert many <= few <= plain


@given(st.floats(0.01, 0.3), skews, kurtoses, st.floats(-0.1, 0.0), st.floats(0.6, 0.999))
def test_the_minimum_record_reaches_its_confidence(sharpe, skew, kurt, threshold, level):
    length = statistics.minimum_track_record(sharpe, skew, kurt, threshold, level)
    factor = statistics.sharpe_variance_factor(sharpe, skew, kurt)
    score = (sharpe - threshold) * sqrt(length - 1.0) / sqrt(factor)
    assert score == pytest.approx(statistics.ndtri(level), rel=1e-9)


def test_no_record_is_long_enough_below_the_threshold():
    lengths = [
        statistics.minimum_track_record(0.1 + gap, threshold=0.1) for gap in (1e-2, 1e-4, 1e-6)
    ]
    assert lengths == sorted(lengths)
    assert lengths[-1] > 1e11
    for sharpe in (0.1, 0.05, -0.2):
        with pytest.raises(NotDefined):
            statistics.minimum_track_record(sharpe, threshold=0.1)


def test_a_bound_of_the_minimum_backtest():
    for trials in (2, 5, 50, 1000):
        length = statistics.minimum_backtest_length(trials, 1.0)
        assert 0.0 < length <= statistics.minimum_backtest_bound(trials, 1.0)


@given(st.integers(0, 2**32 - 1), st.floats(0.01, 100.0))
def test_overfitting_ignores_order_and_scale(seed, scale):
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal((67, 6)) * 0.01 + generator.normal(0, 0.002, 6)
    found = backtest_overfitting(matrix, 8)
    shuffled = backtest_overfitting(matrix[:, generator.permutation(6)] * scale, 8)
    assert shuffled.probability == found.probability
    assert shuffled.slope == pytest.approx(found.slope, rel=1e-6, abs=1e-9)


@given(st.integers(0, 2**32 - 1))
def test_overfitting_ignores_the_order_of_blocks(seed):
    generator = np.random.default_rng(seed)
    matrix = generator.standard_normal((64, 5)) * 0.01
    blocks = np.split(matrix, 8)
    mixed = np.vstack([blocks[place] for place in generator.permutation(8)])
    one, other = backtest_overfitting(matrix, 8), backtest_overfitting(mixed, 8)
    assert other.probability == one.probability
    np.testing.assert_allclose(np.sort(one.logits), np.sort(other.logits))


def test_overfitting_against_a_direct_count():
    """The definition written out, ties and unequal blocks included."""
    from itertools import combinations

    from scipy.stats import rankdata

    generator = np.random.default_rng(3)
    matrix = generator.standard_normal((83, 7)) * 0.01
    matrix = np.column_stack([matrix, matrix[:, 2]])
    sizes = [14 if block < 83 % 6 else 13 for block in range(6)]
    edges = np.concatenate([[0], np.cumsum(sizes)])
    logits = []
    for chosen in combinations(range(6), 3):
        inside = np.zeros(83, bool)
        for block in chosen:
            inside[edges[block] : edges[block + 1]] = True
        fit = matrix[inside].mean(0) / matrix[inside].std(0, ddof=1)
        test = matrix[~inside].mean(0) / matrix[~inside].std(0, ddof=1)
        omega = rankdata(np.round(test, 12))[np.argmax(np.round(fit, 12))] / 9
        logits.append(np.log(omega / (1 - omega)))
    found = backtest_overfitting(matrix, 6)
    np.testing.assert_allclose(np.sort(found.logits), np.sort(logits), atol=1e-12)


def test_noise_overfits_half_the_time_and_a_dominating_strategy_never():
    probabilities = []
    for seed in range(40):
        noise = np.random.default_rng(seed).standard_normal((400, 12)) * 0.01
        probabilities.append(backtest_overfitting(noise, 10).probability)
    assert np.mean(probabilities) == pytest.approx(0.5, abs=0.08)
    noise[:, 4] += 0.01
    assert backtest_overfitting(noise, 10).probability < 0.01


def test_same_seed_same_interval():
    series = np.random.default_rng(1).standard_t(4, 300) * 0.01
    drawn = [
        bootstrap_intervals(series, SharpeAndGrowth(365.0), block=3, reps=200, seed=seed)
        for seed in (5, 5, 6)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_refusals():
    flat = np.zeros(100)
    with pytest.raises(NotDefined, match="variance"):
        metrics.sharpe_per_period(flat)
    with pytest.raises(NotDefined, match="finite"):
        metrics.sharpe_per_period(np.array([0.1, np.nan, 0.2, 0.0]))
    with pytest.raises(NotDefined, match="observations"):
        statistics.probabilistic_sharpe(0.1, 3)
    with pytest.raises(NotDefined, match="2 trials"):
        statistics.expected_maximum(1)
    with pytest.raises(NotDefined, match="variance"):
        statistics.deflated_threshold(float("nan"), 5)
    with pytest.raises(NotDefined, match="variance factor"):
        statistics.probabilistic_sharpe(2.0, 100, skewness=5.0, kurtosis=1.0)
    with pytest.raises(NotDefined, match="even"):
        backtest_overfitting(np.eye(20), 3)
    with pytest.raises(NotDefined, match="never varies"):
        backtest_overfitting(np.column_stack([flat, np.arange(100.0)]), 4)
    with pytest.raises(NotDefined, match="at least 2 in each"):
        backtest_overfitting(np.eye(6), 4)
    noise = np.random.default_rng(0).standard_normal((100, 2))
    settings = {"block_size": 5, "reps": 100, "seed": 1}
    with pytest.raises(NotDefined, match="never differs"):
        superior_predictive_ability(noise[:, 0], noise, **settings)
    with pytest.raises(NotDefined, match="finite"):
        superior_predictive_ability(noise[:, 0] * np.nan, noise, **settings)
    with pytest.raises(NotDefined, match="2 models that differ"):
        model_confidence_set({"a": noise[:, 0], "b": noise[:, 0]}, size=0.05, **settings)


def test_identical_models_share_one_place_in_the_confidence_set():
    generator = np.random.default_rng(3)
    good = generator.standard_normal(300) * 0.01 + 0.004
    bad = generator.standard_normal(300) * 0.01 - 0.004
    settings = {"size": 0.05, "block_size": 3, "reps": 200, "seed": 1}
    models = {"good": good, "copy": good.copy(), "bad": bad}
    included, values = model_confidence_set(models, **settings)
    assert included == ["good", "copy"]
    assert list(values) == list(models)
    assert values["good"] == values["copy"] > values["bad"]
