"""Every bad input of the specification, with the exact outcome expected."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from portfolio_platform.optimization import PanelError, PricePanel, decide


def spoiled(panel, row, column, value):
    close = panel.close.copy()
    close[row, column] = value
    return replace(panel, close=close)


def outcome(strategy, panel, **asked):
    answer = decide(strategy, panel, panel.times[-1], **asked)
    assert answer.ok == bool(answer.weights)
    assert answer.ok or answer.reason
    if answer.ok:
        assert abs(sum(answer.weights.values()) - 1) <= 1e-9
        assert np.isfinite(list(answer.weights.values())).all()
    return answer


MODELS = [
    {},
    {"obj": "Sharpe"},
    {"rm": "CVaR"},
    {"model": "RP"},
    {"model": "HRP"},
    {"model": "inverse_volatility"},
    {"model": "equal_weight"},
]


@pytest.mark.parametrize("fields", MODELS)
def test_missing_bar_is_filled_and_too_many_exclude(fields, panel_of, spec):
    panel = panel_of(6, 101)
    strategy = spec(lookback=100, **fields)
    one = outcome(strategy, spoiled(panel, 50, 2, np.nan))
    assert one.status == "optimal"
    assert "M02" in one.weights
    many = outcome(strategy, spoiled(panel, slice(50, 60), 2, np.nan))
    assert many.status == "optimal"
    assert "M02" not in many.weights
    assert many.excluded == {"M02": "9.9% of bars missing, at most 5.0% allowed"}


@pytest.mark.parametrize("fields", MODELS)
def test_infinite_price_excludes_the_asset(fields, panel_of, spec):
    answer = outcome(spec(lookback=100, **fields), spoiled(panel_of(6, 101), 50, 2, np.inf))
    assert answer.status == "optimal"
    assert answer.excluded["M02"].startswith("infinite price at 2024-02-20")


@pytest.mark.parametrize("value", [0.0, -3.0])
def test_price_that_is_not_positive_excludes_the_asset(value, panel_of, spec):
    answer = outcome(spec(lookback=100), spoiled(panel_of(6, 101), 50, 2, value))
    assert answer.excluded["M02"].startswith(f"price {value:g} at 2024-02-20")


@pytest.mark.parametrize("fields", MODELS)
def test_one_asset_takes_all(fields, panel_of, spec):
    panel = panel_of(1, 101)
    panel = replace(panel, close=panel.close * np.exp(0.01 * np.arange(101))[:, None])
    answer = outcome(spec(lookback=100, **fields), panel)
    assert answer.status == "optimal"
    assert answer.weights == {"M00": 1.0}


@pytest.mark.parametrize("fields", MODELS)
def test_identical_assets_keep_the_first_by_id(fields, panel_of, spec):
    panel = panel_of(6, 101)
    close = panel.close.copy()
    close[:, 4] = 3 * close[:, 1]
    answer = outcome(spec(lookback=100, **fields), replace(panel, close=close))
    assert answer.status == "optimal"
    assert answer.excluded == {"M04": "same returns as M01"}


@pytest.mark.parametrize("fields", MODELS[:4])
def test_identical_assets_may_be_kept(fields, panel_of, spec):
    panel = panel_of(6, 101)
    close = panel.close.copy()
    close[:, 4] = 3 * close[:, 1]
    twice = outcome(
        spec(lookback=100, universe={"duplicates": "keep"}, **fields), replace(panel, close=close)
    )
    once = outcome(spec(lookback=100, **fields), replace(panel, close=close))
    assert twice.status == once.status == "optimal"
    if once.objective is not None:
        assert twice.objective == pytest.approx(once.objective, rel=1e-9)
        both = twice.weights["M01"] + twice.weights["M04"]
        assert both == pytest.approx(once.weights["M01"], abs=1e-7)


@pytest.mark.parametrize("fields", MODELS)
def test_constant_price_is_named(fields, panel_of, spec):
    panel = spoiled(panel_of(6, 101), slice(None), 2, 7.0)
    answer = outcome(spec(lookback=100, **fields), panel)
    assert answer.status == "optimal"
    assert answer.excluded == {
        "M02": "constant price over the window; declare it stable to hold it as cash"
    }
    alone = outcome(spec(lookback=100, universe={"assets": ["M02"]}, **fields), panel)
    assert alone.status == "empty_universe"
    assert alone.reason == "every price is constant"


@pytest.mark.parametrize("fields", MODELS[:3])
def test_stablecoin_takes_its_cap_and_no_more(fields, panel_of, spec):
    names = ("BONK", "POPCAT", "USDC", "WIF")
    panel = panel_of(4, 101, stable=("USDC",), names=names)
    answer = outcome(spec(lookback=100, cash_cap=0.25, **fields), panel)
    assert answer.status == "optimal"
    assert answer.weights["USDC"] <= 0.25 + 1e-9
    if fields.get("obj") != "Sharpe":
        assert answer.weights["USDC"] == pytest.approx(0.25, abs=1e-9)


@pytest.mark.parametrize("fields", MODELS[3:])
def test_rules_hold_stablecoins_as_budgeted_cash(fields, panel_of, spec):
    names = ("BONK", "POPCAT", "USDC", "WIF")
    panel = panel_of(4, 101, stable=("USDC",), names=names)
    without = outcome(spec(lookback=100, **fields), panel)
    assert without.excluded == {"USDC": "stablecoin: hold it as cash with a budget below 1"}
    budgeted = outcome(spec(lookback=100, budget=0.6, **fields), panel)
    assert budgeted.weights["USDC"] == pytest.approx(0.4, abs=1e-12)
    for name in ("BONK", "POPCAT", "WIF"):
        assert budgeted.weights[name] == pytest.approx(0.6 * without.weights[name], abs=1e-12)
    assert budgeted.volatility == pytest.approx(0.6 * without.volatility, rel=1e-12)


def test_budget_without_stablecoin_is_infeasible(panel_of, spec):
    answer = outcome(spec(lookback=100, budget=0.6), panel_of(4, 101))
    assert answer.status == "infeasible"
    assert answer.reason == "budget 0.6 leaves 0.4 for cash, and no stablecoin is held"


def test_thirty_bars_for_fifty_tokens(panel_of, spec):
    panel = panel_of(50, 31)
    long = outcome(spec(lookback=252), panel)
    assert long.status == "insufficient_history"
    assert long.reason == "30 returns are known, the strategy needs 252"
    short = outcome(spec(lookback=30), panel)
    assert short.status == "optimal"
    assert short.moments.covariance_method == "ledoit"
    singular = outcome(spec(lookback=30, covariance={"method": "hist"}), panel)
    assert singular.status == "optimal"
    assert singular.condition_number == float("inf")


@pytest.mark.parametrize("fields", [{}, {"obj": "Sharpe"}, {"rm": "CVaR"}, {"model": "HRP"}])
def test_caps_that_sum_to_nine_tenths(fields, panel_of, spec):
    answer = outcome(spec(lookback=100, bounds={"upper": 0.15}, **fields), panel_of(6, 101))
    assert answer.status == "infeasible"
    assert answer.reason == "caps sum to 0.9, below 1"


def test_lower_bounds_above_one(panel_of, spec):
    answer = outcome(spec(lookback=100, bounds={"lower": 0.2}), panel_of(6, 101))
    assert answer.status == "infeasible"
    assert answer.reason == "lower bounds sum to 1.2, above 1"


@pytest.mark.parametrize("fields", [{}, {"obj": "Sharpe"}, {"rm": "CVaR"}, {"rm": "EVaR"}])
def test_group_that_contradicts_a_bound_is_named(fields, panel_of, spec):
    panel = panel_of(6, 101, groups={"M00": "meme", "M01": "meme"})
    strategy = spec(
        lookback=100,
        bounds={"upper": 0.2},
        groups=[{"group": "meme", "lower": 0.5}],
        linear=[{"name": "harmless", "coefficients": {"M05": 1}, "upper": 0.3}],
        **fields,
    )
    answer = outcome(strategy, panel)
    assert answer.status == "infeasible"
    assert answer.reason == "conflict: group meme ≥ 0.5; caps of 0.2 per asset"


def test_two_rows_that_exclude_each_other_are_named(panel_of, spec):
    panel = panel_of(6, 101, groups={"M00": "meme", "M01": "meme"})
    strategy = spec(
        lookback=100,
        groups=[{"group": "meme", "lower": 0.5}],
        linear=[
            {"name": "pair", "coefficients": {"M00": 1, "M01": 1}, "upper": 0.4},
            {"name": "other", "coefficients": {"M05": 1}, "upper": 0.3},
        ],
    )
    answer = outcome(strategy, panel)
    assert answer.reason == "conflict: group meme ≥ 0.5; constraint pair ≤ 0.4"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"cardinality": 2, "bounds": {"upper": 0.3}},
            "caps of 0.3 per asset; cardinality ≤ 2",
        ),
        (
            {
                "cardinality": 1,
                "bounds": {"assets": {"M00": {"lower": 0.2}, "M04": {"lower": 0.1}}},
            },
            "M00 ≥ 0.2; M04 ≥ 0.1; cardinality ≤ 1",
        ),
        (
            {
                "minimum_weight": 0.4,
                "linear": [{"name": "even", "coefficients": {"M00": 1}, "upper": 0.39}],
                "bounds": {"assets": {"M00": {"lower": 0.1}, "M03": {"upper": 0.5}}},
            },
            "constraint even ≤ 0.39; M00 ≥ 0.1; minimum weight 0.4",
        ),
        (
            {
                "groups": [{"group": "meme", "lower": 0.5}],
                "bounds": {
                    "assets": {
                        "M00": {"upper": 0.2},
                        "M01": {"upper": 0.1},
                        "M05": {"upper": 0.3},
                    }
                },
            },
            "group meme ≥ 0.5; M00 ≤ 0.2; M01 ≤ 0.1",
        ),
    ],
)
def test_smallest_conflict_names_single_bounds_and_choices(fields, words, panel_of, spec):
    panel = panel_of(6, 101, groups={"M00": "meme", "M01": "meme"})
    answer = outcome(spec(lookback=100, **fields), panel)
    assert answer.status == "infeasible"
    assert answer.reason == f"conflict: {words}"


def test_turnover_that_cannot_reach_the_constraints(panel_of, spec):
    panel = panel_of(4, 101)
    strategy = spec(lookback=100, turnover=0.1, bounds={"upper": 0.3})
    answer = outcome(strategy, panel, current={"M00": 1.0})
    assert answer.status == "infeasible"
    assert answer.reason == (
        "conflict: caps of 0.3 per asset; turnover ≤ 0.1 from the current weights"
    )
    gone = outcome(strategy, panel, current={"M00": 0.5, "RUGGED": 0.5})
    assert gone.status == "infeasible"
    assert "0.5 must be traded outside" in gone.reason


def falling(panel_of, names=6):
    panel = panel_of(names, 101)
    drift = np.exp(-0.05 * np.arange(101))[:, None]
    return replace(panel, close=panel.close * drift)


@pytest.mark.parametrize("rm", ["MV", "CVaR", "EVaR"])
def test_negative_means_everywhere(rm, panel_of, spec):
    panel = falling(panel_of)
    answer = outcome(spec(lookback=100, obj="Sharpe", rm=rm), panel)
    assert answer.status == "no_positive_excess_return"
    assert outcome(spec(lookback=100, rm=rm), panel).status == "optimal"


def test_means_below_the_risk_free_rate(panel_of, spec):
    answer = outcome(spec(lookback=100, obj="Sharpe", risk_free_rate=50.0), panel_of(6, 101))
    assert answer.status == "no_positive_excess_return"
    assert "(50 a year)" in answer.reason


def test_constraints_that_force_a_loss(panel_of, spec):
    panel = panel_of(6, 101, groups={"M00": "meme"})
    close = panel.close.copy()
    close[:, 0] *= np.exp(-0.05 * np.arange(101))
    strategy = spec(lookback=100, obj="Sharpe", groups=[{"group": "meme", "lower": 0.9}])
    answer = outcome(strategy, replace(panel, close=close))
    assert answer.status == "no_positive_excess_return"


def test_view_on_an_unknown_mint(panel_of, spec):
    strategy = spec(
        lookback=100, model="BL", views=[{"weights": {"NOPE": 1}, "annual_return": 0.1}]
    )
    answer = outcome(strategy, panel_of(6, 101))
    assert answer.status == "infeasible"
    assert answer.reason == (
        "a view names NOPE, which cannot be held: unknown mint: not in the price panel"
    )


def test_universe_that_became_empty(panel_of, spec):
    panel = panel_of(3, 101)
    close = panel.close.copy()
    close[-1] = np.nan
    answer = outcome(spec(lookback=100), replace(panel, close=close))
    assert answer.status == "empty_universe"
    assert answer.excluded["M00"].startswith("no price since 2024-04-09")
    named = outcome(spec(lookback=100, universe={"assets": ["GONE"]}), panel)
    assert named.status == "empty_universe"
    assert named.excluded == {"GONE": "not in the price panel"}


def test_new_token_waits_for_its_history(panel_of, spec):
    panel = panel_of(5, 101)
    close = panel.close.copy()
    close[:60, 3] = np.nan
    young = replace(panel, close=close)
    strict = outcome(spec(lookback=100), young)
    assert strict.excluded == {"M03": "history of 40 returns, needs 100"}
    lenient = outcome(spec(lookback=100, universe={"min_history": 30}), young)
    assert "M03" in lenient.weights
    assert lenient.moments.observations == 40


def test_only_young_tokens_is_insufficient_history(panel_of, spec):
    panel = panel_of(3, 101)
    close = panel.close.copy()
    close[:60] = np.nan
    answer = outcome(spec(lookback=100), replace(panel, close=close))
    assert answer.status == "insufficient_history"


def test_zero_variance_with_excess_return_is_unbounded(panel_of, spec):
    panel = panel_of(3, 101, stable=("M01",))
    close = panel.close.copy()
    close[:, 1] = 1.0001 ** np.arange(101)
    strategy = spec(lookback=100, obj="Sharpe", cash_cap=1.0)
    answer = outcome(strategy, replace(panel, close=close))
    assert answer.status in {"unbounded", "optimal"}
    if answer.ok:
        assert answer.weights["M01"] == pytest.approx(1.0, abs=1e-3)


def test_time_without_zone_and_misfitting_panels_are_refused(panel_of, spec):
    panel = panel_of(3, 101)
    with pytest.raises(PanelError, match="no time zone"):
        decide(spec(), panel, datetime(2024, 3, 1))
    aware = decide(spec(lookback=20), panel, datetime(2024, 3, 1, tzinfo=UTC))
    naive = decide(spec(lookback=20), panel, np.datetime64("2024-03-01"))
    assert aware.content() == naive.content()
    with pytest.raises(PanelError, match="shape"):
        PricePanel(("A",), panel.times, panel.close)
    with pytest.raises(PanelError, match="twice"):
        PricePanel(("A", "A", "B"), panel.times, panel.close)
    with pytest.raises(PanelError, match="increasing"):
        PricePanel(panel.assets, panel.times[::-1], panel.close)


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [(("min_variance",), "min_variance"), (("previous",), "previous"), ((), None)],
)
def test_other_problem_only_when_named(fallback, expected, panel_of, spec):
    panel = falling(panel_of)
    strategy = spec(lookback=100, obj="Sharpe", fallback=list(fallback))
    answer = decide(strategy, panel, panel.times[-1], current={"M00": 0.5, "M01": 0.5})
    assert answer.fallback == expected
    assert answer.ok == (expected is not None)
    assert "no_positive_excess_return" in (answer.status, (answer.reason or "").split(":")[0]) or (
        expected == "previous" and "risk-free" in answer.reason
    )
