"""Frontier, risk report and the stored form of a solution."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from portfolio_platform.optimization import (
    decide,
    efficient_frontier,
    estimate_moments,
    risk_report,
    solve,
)


@pytest.fixture(scope="module")
def chosen(sp20, spec):
    strategy = spec(obj="Sharpe", bounds={"upper": 0.3})
    moments = estimate_moments(strategy, sp20, sp20.times[1000])
    return strategy, moments, solve(strategy, moments)


def test_frontier_rises_and_holds_the_chosen_point(chosen):
    strategy, moments, solution = chosen
    frontier = efficient_frontier(strategy, moments, points=12, solution=solution)
    points = frontier["points"]
    returns = np.array([point["expected_return"] for point in points])
    risks = np.array([point["volatility"] for point in points])
    assert len(points) == 12
    assert (np.diff(returns) > 0).all()
    assert (np.diff(risks) > 0).all()
    assert (np.diff(np.diff(returns) / np.diff(risks)) < 1e-9).all()
    assert all(max(point["weights"].values()) <= 0.3 + 1e-9 for point in points)
    assert frontier["chosen"]["volatility"] == pytest.approx(solution.volatility, rel=1e-12)
    sharpe = (returns / risks).max()
    assert solution.expected_return / solution.volatility >= sharpe - 1e-9
    json.dumps(frontier, allow_nan=False)


@pytest.mark.parametrize(
    "fields", [{"rm": "CVaR"}, {"model": "HRP"}, {"rm": "EVaR"}, {"rm": "UCI"}, {"rm": "KT"}]
)
def test_frontier_of_other_strategies(fields, sp20, spec):
    strategy = spec(**fields)
    moments = estimate_moments(strategy, sp20, sp20.times[1000])
    frontier = efficient_frontier(strategy, moments, points=5)
    assert len(frontier["points"]) == 5
    drawn = {"CVaR", "EVaR", "UCI"}
    assert frontier["measure"] == (fields["rm"] if fields.get("rm") in drawn else "MV")
    risks = [point["risk"] for point in frontier["points"]]
    assert risks == sorted(risks)


def test_frontier_of_an_infeasible_strategy_says_why(sp20, spec):
    strategy = spec(bounds={"upper": 0.01})
    moments = estimate_moments(strategy, sp20, sp20.times[1000])
    frontier = efficient_frontier(strategy, moments)
    assert frontier["points"] == []
    assert "infeasible" in frontier["reason"] or "numerical" in frontier["reason"]


def test_risk_report_adds_up(chosen):
    strategy, moments, solution = chosen
    report = risk_report(strategy, moments, solution)
    assert sum(report["contributions"].values()) == pytest.approx(1, abs=1e-12)
    assert sum(report["group_weights"].values()) == pytest.approx(1, abs=1e-12)
    assert report["volatility"] == pytest.approx(solution.volatility, rel=1e-12)
    assert report["conditional_value_at_risk"] >= report["value_at_risk"] > 0
    assert 1 <= report["effective_bets"] <= 20
    assert report["diversification_ratio"] >= 1
    assert report["effective_assets"] >= 1 / 0.3
    json.dumps(report, allow_nan=False)


def test_equal_contributions_mean_as_many_assets_in_risk_parity(sp20, spec):
    strategy = spec(model="RP")
    moments = estimate_moments(strategy, sp20, sp20.times[1000])
    report = risk_report(strategy, moments, solve(strategy, moments))
    np.testing.assert_allclose(list(report["contributions"].values()), 0.05, rtol=1e-9)


def test_report_of_no_answer_keeps_the_reason(sp20, spec):
    strategy = spec(bounds={"upper": 0.01})
    moments = estimate_moments(strategy, sp20, sp20.times[1000])
    report = risk_report(strategy, moments, solve(strategy, moments))
    assert report["status"] == "infeasible"
    assert report["reason"] == "caps sum to 0.2, below 1"


def test_content_has_no_clock_and_repeats(sp20, spec):
    for fields in ({}, {"rm": "CVaR"}, {"model": "HRP"}, {"bounds": {"upper": 0.01}}):
        first, second = (decide(spec(**fields), sp20, sp20.times[1000]) for _ in range(2))
        assert json.dumps(first.content(), sort_keys=True, allow_nan=False) == json.dumps(
            second.content(), sort_keys=True, allow_nan=False
        )
        assert "seconds" not in json.dumps(first.content())
        assert set(first.content()) < set(first.to_json())


def test_import_stays_light():
    """The package must not pull a solver, numba or riskfolio in."""
    code = (
        "import sys, portfolio_platform.optimization; "
        "heavy = {'riskfolio', 'cvxpy', 'numba', 'scipy', 'piqp', 'highspy', 'sklearn', 'pandas'}; "
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_fast_path_does_not_import_riskfolio(tmp_path):
    code = (
        "import sys, numpy as np\n"
        "from portfolio_platform.optimization import PricePanel, StrategySpec, decide\n"
        "g = np.random.default_rng(0)\n"
        "close = np.cumprod(1 + g.normal(0, .01, (120, 5)), axis=0)\n"
        "t = np.datetime64('2024-01-01', 'ns') + np.arange(120) * np.timedelta64(1, 'D')\n"
        "p = PricePanel(tuple('ABCDE'), t, close)\n"
        "for f in ({}, {'rm': 'CVaR'}, {'model': 'RP'}, {'model': 'HRP'}, {'rm': 'EVaR'}):\n"
        "    a = decide(StrategySpec.model_validate({'lookback': 100, **f}), p, t[-1])\n"
        "    assert a.ok, a\n"
        "print(sorted({'riskfolio', 'cvxpy', 'numba'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
