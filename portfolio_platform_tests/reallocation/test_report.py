"""The stored form of a plan: exact, hashable, comparable, computable again."""

import doctest
import json
import os
import subprocess
import sys
from fractions import Fraction
from math import sqrt
from pathlib import Path
from typing import Any

import pytest

from portfolio_platform import reallocation
from portfolio_platform.reallocation import (
    Failure,
    Outlook,
    Plan,
    PlanInputs,
    PlanSettings,
    Reason,
    UnreadableInputs,
    capacity_curve,
    first_difference,
    replay,
)
from portfolio_platform.reallocation.performance import expected_performance
from portfolio_platform.reallocation.rationals import decimal_text, ratio
from portfolio_platform_tests.reallocation.cases import seeded
from portfolio_platform_tests.reallocation.markets import (
    BALANCED,
    DRIFTED,
    HUB,
    WEIGHTS,
    mids,
    planned,
    pool,
    pools,
)

OUTLOOK = Outlook(
    ("BONK", "JUP", "SOL"),
    (0.004, 0.002, 0.001),
    ((0.01, 0.0, 0.0), (0.0, 0.0025, 0.0), (0.0, 0.0, 0.0009)),
    periods_per_year=365,
    risk_free=0.02,
)


def leaves(value: object) -> list[object]:
    if isinstance(value, dict):
        return [leaf for child in value.values() for leaf in leaves(child)]
    if isinstance(value, list):
        return [leaf for child in value for leaf in leaves(child)]
    return [value]


def test_documentation_shows_a_call_that_works() -> None:
    assert doctest.testmod(reallocation).failed == 0
    assert doctest.testmod(reallocation).attempted > 3


@pytest.mark.parametrize("plan", [planned(DRIFTED, 0), planned(BALANCED, 0), planned({}, 0)])
def test_json_is_text_exact_and_round(plan: Plan) -> None:
    document = plan.to_json()
    assert json.loads(json.dumps(document)) == document
    assert not [leaf for leaf in leaves(document) if isinstance(leaf, float)]
    assert document["outcome"] == plan.outcome.value
    assert document["reasons"] == [reason.value for reason in plan.reasons]
    assert document["inputs_hash"] == plan.inputs.content_hash


def test_steps_say_what_to_do() -> None:
    document = planned(DRIFTED, 0).to_json()
    first = document["steps"][0]
    assert first["number"] == 1
    assert (first["pool"], first["mint_in"], first["mint_out"]) == ("pool-SOL", "SOL", "USDC")
    assert (first["amount_in"], first["expected_out"], first["min_out"]) == (
        "100000000000",
        "14932709245",
        "14858045698",
    )
    assert Fraction(first["price_limit"]) == Fraction(14858045698, 100000000000)
    before = {a["mint"]: a for a in document["before"]["assets"]}
    assert before["SOL"]["utilization"] == "6/5"
    assert before["SOL"]["weight"] == "0.600000000000"
    assert document["before"]["overlap"] == "9/10"


def test_equal_inputs_give_equal_bytes_in_other_processes() -> None:
    inputs = [seeded(seed).inputs().to_json() for seed in range(12)]
    here = [reallocation.compute(PlanInputs.from_json(one)).content_hash for one in inputs]
    code = (
        "import json,sys\n"
        "from portfolio_platform.reallocation import PlanInputs, compute\n"
        "for one in json.load(sys.stdin):\n"
        "    print(compute(PlanInputs.from_json(one)).content_hash)\n"
    )
    for seed in ("1", "2"):
        there = subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps(inputs),
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert there.stdout.split() == here


def test_replay_finds_what_was_changed() -> None:
    made = planned(DRIFTED, 0)
    inputs, stored = made.inputs.to_json(), made.to_json()
    assert replay(inputs, stored) is None
    tampered = json.loads(json.dumps(stored))
    tampered["steps"][0]["min_out"] = "1"
    found = replay(inputs, tampered)
    assert found is not None
    assert (found.path, found.left, found.right) == ("$.steps[0].min_out", "1", "14858045698")
    moved = json.loads(json.dumps(inputs))
    moved["pools"][2]["reserve_a"] = "50000000000001"
    found = replay(moved, stored)
    assert found is not None
    with pytest.raises(ValueError, match="version"):
        replay(inputs | {"version": 2}, stored)


def test_first_difference_of_shapes() -> None:
    assert first_difference({"a": [1, 2]}, {"a": [1, 2]}) is None
    assert first_difference([1e16], [10**16]) is None
    for left, right, path in (
        ({"a": 1}, {"b": 1}, "$.a"),
        ([1], [1, 2], "$[1]"),
        ([1, 2], [1], "$[1]"),
        ({"a": {"b": [0, {"c": 1}]}}, {"a": {"b": [0, {"c": 2}]}}, "$.a.b[1].c"),
        (1, True, "$"),
        (1, "1", "$"),
        ({}, [], "$"),
    ):
        found = first_difference(left, right)
        assert found is not None
        assert found.path == path


def test_any_input_moves_the_hash() -> None:
    base = planned(DRIFTED, 0)
    others = [
        planned(DRIFTED, 1),
        planned(DRIFTED | {"SOL": DRIFTED["SOL"] + 1}, 0),
        planned(DRIFTED, 0, settings=PlanSettings(slippage_bps=51)),
        planned(DRIFTED, 0, references={"snapshot": "x"}),
        planned(
            DRIFTED,
            0,
            states=pools(SOL=pool("SOL", 50_000_000_000_001, 7_500_000_000_000)),
            prices=mids(pools()),
        ),
    ]
    assert len({plan.content_hash for plan in [base, *others]}) == len(others) + 1
    assert planned(DRIFTED, 0).content_hash == base.content_hash


def test_performance_before_and_after() -> None:
    result = planned(DRIFTED, 0, outlook=OUTLOOK)
    shown = result.to_json()["summary"]["performance"]
    w = {"SOL": 0.6, "JUP": 0.25, "BONK": 0.15}
    earned = 365 * sum(
        w[asset] * mean for asset, mean in zip(OUTLOOK.assets, OUTLOOK.mean, strict=True)
    )
    variance = 365 * (0.15**2 * 0.01 + 0.25**2 * 0.0025 + 0.6**2 * 0.0009)
    before = shown["before"]
    assert before["expected_return"] == pytest.approx(earned, rel=1e-11)
    assert before["volatility"] == pytest.approx(sqrt(variance), rel=1e-11)
    assert before["sharpe"] == pytest.approx((earned - 0.02) / sqrt(variance), rel=1e-11)
    assert shown["after"]["expected_return"] > before["expected_return"]


def test_cash_earns_the_riskless_rate_and_has_no_sharpe_ratio() -> None:
    cash = expected_performance({}, OUTLOOK)
    assert (cash.expected_return, cash.volatility, cash.sharpe) == (0.02, 0.0, None)
    with pytest.raises(ValueError):
        Outlook(("A",), (0.1, 0.2), ((1.0,),))


def test_capacity_costs_more_the_more_is_moved() -> None:
    sizes = [10**k for k in range(7, 14)]
    curve = capacity_curve(pools(), HUB, WEIGHTS, mids(pools()), sizes)
    costs = [point.cost_bps for point in curve]
    assert all(cost is not None for cost in costs)
    # Below, rounding to base units is all there is; the fee of 25 bps is the floor.
    assert 25 <= costs[0] < 26
    assert costs == sorted(costs)
    assert [point.size for point in curve] == sizes
    assert not curve[0].limited
    assert set(curve[-1].limited) == set(WEIGHTS)
    assert curve[-1].moved < sizes[-1]
    assert curve[0].to_json()["cost_bps"].startswith("25.")


def test_capacity_of_one_size_is_what_the_planner_pays() -> None:
    (point,) = capacity_curve(pools(), HUB, WEIGHTS, mids(pools()), [149_000_000_000])
    bought = planned({}, 149_000_000_000)
    assert bought.summary.nav_after is not None
    assert point.value == bought.summary.nav_after - bought.after.cash
    assert point.moved == 149_000_000_000 - bought.after.cash


def test_numbers_at_the_edge() -> None:
    assert ratio(0.1) == Fraction(1, 10)
    assert ratio("19/20") == ratio("0.95") == Fraction(19, 20)
    assert decimal_text(Fraction(-1, 3), 4) == "-0.3333"
    assert decimal_text(Fraction(1, 2), 0) == "0"
    assert decimal_text(Fraction(3, 2), 0) == "2"
    assert decimal_text(Fraction(-1, 10**9), 4) == "0.0000"
    for wrong in (None, True, "x", float("nan"), "1/0", [1]):
        with pytest.raises(ValueError):
            ratio(wrong)


def test_refusals_are_named_only_where_there_are_some() -> None:
    assert "refusals" not in planned(DRIFTED, 0).inputs.to_json()
    failure = Failure(None, None, None, None, Reason.RPC_UNAVAILABLE, "no endpoint answers")
    result = planned(DRIFTED, 0, weights={}, refusals=[failure])
    assert result.failures == (failure,)
    assert result.reasons == (Reason.RPC_UNAVAILABLE,)
    inputs = json.loads(json.dumps(result.inputs.to_json()))
    assert PlanInputs.from_json(inputs) == result.inputs
    assert replay(inputs, json.loads(json.dumps(result.to_json()))) is None


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"pools": [{"kind": "unheard of"}]},
        {"portfolio": {}},
        {"prices": None},
        {"settings": {"min_fill": 7}},
        {"as_of": "yesterday"},
    ],
)
def test_inputs_that_are_none_are_named(change: dict[str, Any]) -> None:
    made = planned(DRIFTED, 0)
    with pytest.raises(UnreadableInputs, match="not those of a plan"):
        replay({**made.inputs.to_json(), **change}, made.to_json())


def test_every_setting_and_every_reason_is_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reallocation.md").read_text()
    missing = [
        name
        for name in (*PlanSettings.model_fields, *(reason.value for reason in Reason))
        if f"`{name}`" not in page
    ]
    assert not missing
