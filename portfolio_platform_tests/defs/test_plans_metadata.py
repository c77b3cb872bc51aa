"""What the UI shows of plans, for every outcome."""

from typing import Any
from uuid import uuid4

from portfolio_platform.defs.portfolio.plans_metadata import (
    capacity_points,
    plan_metadata,
    plan_text,
    plans_metadata,
)
from portfolio_platform.reallocation import Failure, Plan, Reason
from portfolio_platform_tests.reallocation.markets import BALANCED, DRIFTED, planned, pool, pools


def row(made: Plan, name: str = "treasury") -> dict[str, Any]:
    document = made.to_json()
    return {
        "portfolio": name,
        "portfolio_id": uuid4(),
        "version": uuid4(),
        "outcome": document["outcome"],
        "reasons": ", ".join(document["reasons"]),
        "trades": len(made.trades),
        "cost_bps": document["summary"]["cost_bps"],
        "document": document,
        "inputs": made.inputs,
    }


def test_a_reallocation_reads_as_a_report() -> None:
    made = planned(DRIFTED, 0)
    text = plan_text(made.to_json())
    assert "**reallocation**: weight_band" in text
    assert "SOL | 600.000000000 | 60.0000% | 50.0000% | 1.200000 | 500.000000000 |" in text
    assert "cash | 0.000000 |" in text
    assert "Cost 8.474706 bps" in text
    for part in ("fee", "impact", "rounding"):
        assert f"{part} " in text
    (sell, *_) = made.steps
    assert f"100000000000 | 14932709245 | 14858045698 | {sell.to_json()['price_limit']}" in text
    assert made.inputs_hash in text


def test_failures_show_what_is_needed_and_there() -> None:
    shallow = pools(SOL=pool("SOL", 500_000_000_000, 75_000_000_000))
    text = plan_text(planned(DRIFTED, 0, states=shallow).to_json())
    assert "SOL | sell | insufficient_liquidity | 100000000000 | 5063162957" in text
    unread = Failure(None, None, None, None, Reason.RPC_UNAVAILABLE, "a|b")
    assert "a\\|b" in plan_text(planned(DRIFTED, 0, refusals=[unread]).to_json())


def test_portfolios_of_one_name_are_all_shown() -> None:
    rows = [row(planned(BALANCED, 0)), row(planned({}, 0)), row(planned(DRIFTED, 0), "other")]
    shown = plans_metadata(rows)
    assert sum(name.startswith("plan ") for name in shown) == 3
    assert {"plan other", "weights other", "plans"} <= set(shown)
    assert {"plan", "weights", "version"} <= set(plan_metadata(rows[0]))
    assert "plan" not in plan_metadata(rows[0], pictures=False)


def test_capacity_rises_in_cost_until_the_limit() -> None:
    made = planned(DRIFTED, 0)
    points = capacity_points(made.inputs, made.to_json())
    costs = [float(point["cost_bps"]) for point in points]
    assert costs == sorted(costs)
    assert points[0]["size"] == "1 % = 1500.000000"
    assert points[0]["limited"] == ""
    assert "SOL" in points[-1]["limited"]
    assert "capacity" in plan_metadata(row(made))
    for nothing in (planned({}, 0), planned(DRIFTED, 0, prices={"SOL": 1})):
        assert capacity_points(nothing.inputs, nothing.to_json()) == []
