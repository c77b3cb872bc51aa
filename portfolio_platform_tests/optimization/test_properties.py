"""Invariants that hold for every panel."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portfolio_platform.optimization import PricePanel, StrategySpec, decide
from portfolio_platform.optimization.checks import to_budget
from portfolio_platform.optimization.engines.rules import fill

SHORT = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
LONG = settings(max_examples=600, deadline=None, database=None)


@st.composite
def panels(draw, smallest=2, largest=12):
    """Random one-factor panels, T above and below n."""
    count = draw(st.integers(smallest, largest))
    rows = draw(st.integers(max(6, count // 2), 4 * count + 20))
    seed = draw(st.integers(0, 2**32 - 1))
    generator = np.random.default_rng(seed)
    scale = 10.0 ** draw(st.integers(-4, -1))
    market = generator.standard_normal((rows, 1))
    returns = scale * (
        0.1 + market * generator.uniform(0, 1.5, count) + generator.standard_normal((rows, count))
    )
    growth = 1 + np.clip(returns, -0.9, 3.0)
    close = np.vstack([np.ones(count), np.cumprod(growth, axis=0)])
    times = np.datetime64("2024-01-01", "ns") + np.arange(rows + 1) * np.timedelta64(1, "D")
    return PricePanel(tuple(f"M{place:02d}" for place in range(count)), times, close)


FIELDS = st.sampled_from(
    [
        {},
        {"obj": "Sharpe"},
        {"obj": "Utility"},
        {"rm": "CVaR", "tail": {"alpha": 0.2}},
        {"rm": "MAD"},
        {"rm": "CDaR", "tail": {"alpha": 0.3}},
        {"model": "RP"},
        {"model": "HRP"},
        {"model": "inverse_volatility"},
        {"bounds": {"upper": 0.7}},
        {"bounds": {"upper": 0.7}, "obj": "Sharpe"},
    ]
)


def strategy(panel, fields):
    rows = len(panel.times) - 1
    return StrategySpec.model_validate(
        {"lookback": rows, "covariance": {"method": "hist"}} | fields
    )


def check_answer(answer):
    assert answer.status in {"optimal", "no_positive_excess_return"}, (answer.status, answer.reason)
    if answer.ok:
        weights = np.array(list(answer.weights.values()))
        assert abs(weights.sum() - 1) <= 1e-9
        assert weights.min() >= 0
        assert answer.violation <= 1e-9
        assert answer.gap is None or answer.gap <= 1e-8


def permuted(panel, seed):
    order = np.random.default_rng(seed).permutation(len(panel.assets))
    return replace(
        panel,
        assets=tuple(panel.assets[place] for place in order),
        close=panel.close[:, order],
    )


def holds_under_permutation(panel, fields, seed):
    asked = strategy(panel, fields)
    straight = decide(asked, panel, panel.times[-1])
    check_answer(straight)
    shuffled = decide(asked, permuted(panel, seed), panel.times[-1])
    assert straight.content() == shuffled.content()


@SHORT
@given(panels(), FIELDS, st.integers(0, 1000))
def test_permutation_of_assets_permutes_weights_to_the_bit(panel, fields, seed):
    holds_under_permutation(panel, fields, seed)


@pytest.mark.nightly
@LONG
@given(panels(largest=40), FIELDS, st.integers(0, 1000))
def test_permutation_of_assets_permutes_weights_long(panel, fields, seed):
    holds_under_permutation(panel, fields, seed)


@SHORT
@given(panels(), st.sampled_from([0.01, 0.1, 3.0]))
def test_scaling_of_returns_leaves_minimum_variance(panel, factor):
    asked = strategy(panel, {"returns": "log"})
    scaled = replace(panel, close=np.exp(factor * np.log(panel.close)))
    first, second = (decide(asked, each, panel.times[-1]) for each in (panel, scaled))
    covariance = first.moments.covariance
    a = np.array(list(first.weights.values()))
    b = np.array(list(second.weights.values()))
    assert b @ covariance @ b == pytest.approx(a @ covariance @ a, rel=1e-8)
    if first.condition_number < 1e6:
        np.testing.assert_allclose(a, b, atol=1e-8)


@SHORT
@given(panels(largest=8), st.sampled_from([{}, {"obj": "Sharpe"}, {"rm": "CVaR"}]))
def test_duplicate_changes_nothing_but_the_split(panel, fields):
    asked = strategy(panel, fields | {"universe": {"duplicates": "keep"}})
    twin = PricePanel(
        (*panel.assets, "TWIN"),
        panel.times,
        np.hstack([panel.close, 5 * panel.close[:, :1]]),
    )
    alone, both = (decide(asked, each, panel.times[-1]) for each in (panel, twin))
    check_answer(alone)
    check_answer(both)
    assert alone.status == both.status
    if alone.ok:
        assert both.objective == pytest.approx(alone.objective, rel=1e-8, abs=1e-14)
    dropped = decide(strategy(panel, fields), twin, panel.times[-1])
    assert dropped.weights == alone.weights


@SHORT
@given(panels(largest=8))
def test_dominated_asset_is_not_held(panel):
    """An asset with the first one's returns and more noise on top adds nothing to least risk."""
    asked = strategy(panel, {"covariance": {"method": "hist"}})
    alone = decide(asked, panel, panel.times[-1])
    growth = panel.close[1:] / panel.close[:-1] - 1
    others = np.hstack([growth - growth.mean(axis=0), np.ones((len(growth), 1))])
    noise = np.random.default_rng(0).standard_normal(len(growth))
    noise -= others @ np.linalg.lstsq(others, noise, rcond=None)[0]
    if np.abs(noise).max() < 1e-6:
        return
    worse = growth[:, 0] + noise * growth[:, 0].std() / noise.std() * 0.5
    close = np.concatenate([[1.0], np.cumprod(1 + worse)])
    if close.min() <= 0:
        return
    wider = PricePanel((*panel.assets, "WORSE"), panel.times, np.column_stack([panel.close, close]))
    both = decide(asked, wider, panel.times[-1])
    assert both.weights["WORSE"] <= 1e-9
    assert both.objective == pytest.approx(alone.objective, rel=1e-9)


@SHORT
@given(panels(), FIELDS, st.integers(1, 5))
def test_nothing_after_the_decision_matters(panel, fields, later):
    asked = strategy(panel, fields)
    end = len(panel.times) - 1 - later
    shorter = asked.model_copy(update={"lookback": max(2, end)})
    spoiled = panel.close.copy()
    spoiled[end + 1 :] *= 7.0
    first = decide(shorter, panel, panel.times[end])
    second = decide(shorter, replace(panel, close=spoiled), panel.times[end])
    assert first.content() == second.content()


@SHORT
@given(panels(largest=9), st.integers(0, 1000))
def test_risk_parity_equalises_contributions(panel, seed):
    budget = np.random.default_rng(seed).uniform(0.2, 1.0, len(panel.assets))
    asked = strategy(
        panel,
        {
            "model": "RP",
            "covariance": {"method": "ledoit"},
            "risk_budget": dict(zip(panel.assets, budget.tolist(), strict=True)),
        },
    )
    answer = decide(asked, panel, panel.times[-1])
    weights = np.array(list(answer.weights.values()))
    parts = weights * (answer.moments.covariance @ weights)
    np.testing.assert_allclose(parts / parts.sum(), budget / budget.sum(), rtol=1e-9)


@given(st.integers(1, 30), st.integers(0, 10_000))
@settings(max_examples=200, deadline=None, database=None)
def test_projections_hold_budget_and_bounds(count, seed):
    generator = np.random.default_rng(seed)
    lower = generator.uniform(0, 0.9 / count, count)
    upper = lower + generator.uniform(0, 2.0, count)
    upper *= max(1.0, 1.01 / upper.sum())
    start = generator.dirichlet(np.ones(count)) + generator.normal(0, 0.2, count)
    shares = np.abs(start) / np.abs(start).sum()
    for answer in (to_budget(start, lower, upper), fill(shares, lower, upper)):
        assert answer.sum() == pytest.approx(1.0, abs=1e-12)
        assert (answer >= lower - 1e-15).all()
        assert (answer <= upper + 1e-15).all()
    nearest = to_budget(start, lower, upper)
    other = to_budget(generator.dirichlet(np.ones(count)), lower, upper)
    assert np.linalg.norm(nearest - start) <= np.linalg.norm(other - start) + 1e-12
