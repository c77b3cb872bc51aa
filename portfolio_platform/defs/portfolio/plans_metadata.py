"""What the UI shows of plans: the same for all portfolios at once and for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from dagster import MetadataValue

from portfolio_platform.defs.metadata import table, table_text
from portfolio_platform.defs.portfolio.plots import weights_before_and_after
from portfolio_platform.reallocation import PlanInputs, capacity_curve

_DRAWN = 20
#: Sizes of the capacity table, in percent of the portfolio's value.
_PERCENTS = (1, 5, 10, 25, 50, 100, 200, 500, 1_000, 2_000)
_STEPS = ("number", "side", "pool", "kind", "sell", "get", "amount in", "expected out", "min out")


def plans_metadata(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Outcomes of all portfolios; report and picture of each while there are not too many."""
    shown: dict[str, Any] = {
        "portfolios": len(rows),
        "plans": table(rows, ["portfolio", "outcome", "reasons", "trades", "cost_bps"]),
    }
    names = [row["portfolio"] for row in rows]
    for row in rows[:_DRAWN]:
        name = row["portfolio"]
        if names.count(name) > 1:
            name = f"{name} {row['portfolio_id']}"
        shown |= {f"{part} {name}": value for part, value in _report(row).items()}
    return shown


def _report(row: Mapping[str, Any]) -> dict[str, Any]:
    report = {
        "plan": MetadataValue.md(plan_text(row["document"])),
        "weights": weights_before_and_after(row["document"]),
    }
    points = capacity_points(row["inputs"], row["document"])
    if points:
        report["capacity"] = table(points, ["size", "moved", "cost_bps", "limited"])
    return report


def plan_metadata(row: dict[str, Any], *, pictures: bool = True) -> dict[str, Any]:
    """Outcome, report and picture of one portfolio's plan."""
    shown = {name: row[name] for name in ("portfolio", "outcome", "reasons", "trades", "cost_bps")}
    shown["version"] = str(row["version"])
    return shown | _report(row) if pictures else shown


def capacity_points(inputs: PlanInputs, document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What it would cost to deploy parts and multiples of the portfolio's value, in whole hub.

    Empty where there is no value, no target, or a target without a price.
    """
    state, hub = document["before"], inputs.portfolio.hub
    weights = {mint: weight for mint, weight in inputs.targets.items() if weight and mint != hub}
    value = int(Decimal(state["nav"] or 0))
    if inputs.refusals or value <= 0 or not weights or weights.keys() - inputs.prices.keys():
        return []
    sizes = [value * percent // 100 for percent in _PERCENTS]
    points = capacity_curve(inputs.pools, hub, weights, inputs.prices, sizes, inputs.settings)
    return [
        {
            "size": f"{percent} % = {_whole(str(point.size), state['hub_decimals'])}",
            "moved": _whole(str(point.moved), state["hub_decimals"]),
            "cost_bps": None if point.cost_bps is None else f"{float(point.cost_bps):.4f}",
            "limited": ", ".join(_symbol(state, mint) for mint in point.limited),
        }
        for percent, point in zip(_PERCENTS, points, strict=True)
    ]


def _symbol(state: Mapping[str, Any], mint: str) -> str:
    return next((one["symbol"] for one in state["assets"] if one["mint"] == mint), None) or mint


def plan_text(document: Mapping[str, Any]) -> str:
    """A plan as a person reads it: outcome, holdings, cost, performance, steps in order."""
    summary = document["summary"]
    said = ", ".join([*document["reasons"], *document["triggers"]])
    parts = [
        f"**{document['outcome']}**: {said}",
        table_text(_assets(document), list(_COLUMNS)),
        _figures(summary),
    ]
    if summary["performance"]:
        parts.append(_performance(summary["performance"]))
    if document["failures"]:
        parts.append(
            table_text(
                document["failures"], ["asset", "side", "reason", "need", "available", "detail"]
            )
        )
    if document["skipped"]:
        parts.append(table_text(document["skipped"], ["asset", "side", "amount", "reason"]))
    if document["steps"]:
        parts.append(table_text(_steps(document), [*_STEPS, "price limit", "impact bps"], 100))
    parts.append(_provenance(document))
    return "\n\n".join(parts)


_COLUMNS = (
    *("token", "held", "weight", "target weight", "utilization"),
    *("held after", "weight after"),
)


def _assets(document: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    after = {one["mint"]: one for one in document["after"]["assets"]}
    for one in document["before"]["assets"]:
        then = after[one["mint"]]
        yield {
            "token": one["symbol"] or one["mint"],
            "held": _whole(one["quantity"], one["decimals"]),
            "weight": _percent(one["weight"]),
            "target weight": _percent(one["target_weight"]),
            "utilization": _ratio(one["utilization"]),
            "held after": _whole(then["quantity"], one["decimals"]),
            "weight after": _percent(then["weight"]),
        }
    places = document["before"]["hub_decimals"]
    yield {
        "token": "cash",
        "held": _whole(document["before"]["cash"], places),
        "held after": _whole(document["after"]["cash"], places),
    }


def _whole(units: str, decimals: int | None) -> str:
    if decimals is None:
        return f"{units} base units"
    return f"{Decimal(units).scaleb(-decimals):f}"


def _percent(weight: str | None) -> str | None:
    return None if weight is None else f"{float(weight):.4%}"


def _ratio(exact: str | None) -> str | None:
    if exact is None:
        return None
    above, _, below = exact.partition("/")
    return f"{int(above) / int(below or 1):.6f}"


def _figures(summary: Mapping[str, Any]) -> str:
    cost = summary["cost"]
    split = ", ".join(f"{part} {cost[part]}" for part in cost if part != "total")
    return (
        f"Net asset value {summary['nav_before']} before, {summary['nav_after']} after; turnover "
        f"{summary['turnover']}; tracking error {summary['tracking_error_before']} before, "
        f"{summary['tracking_error_after']} after. Cost {summary['cost_bps']} bps, in base units "
        f"of the hub {cost['total']}: {split}. Expected benefit {summary['expected_benefit']}."
    )


def _performance(performance: Mapping[str, Mapping[str, Any]]) -> str:
    names = ("expected_return", "volatility", "sharpe")
    return table_text(
        [{"expected": when, **performance[when]} for when in ("before", "after")],
        ["expected", *names],
    )


def _steps(document: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    symbols = {one["mint"]: one["symbol"] for one in document["before"]["assets"]}
    symbols[document["hub"]] = "cash"
    for step in document["steps"]:
        yield {
            **step,
            "sell": symbols.get(step["mint_in"]) or step["mint_in"],
            "get": symbols.get(step["mint_out"]) or step["mint_out"],
            "amount in": step["amount_in"],
            "expected out": step["expected_out"],
            "min out": step["min_out"],
            "price limit": step["price_limit"],
            "impact bps": step["impact_bps"],
        }


def _provenance(document: Mapping[str, Any]) -> str:
    snapshot = document["snapshot"]
    slots = f"slots {snapshot['min_slot']} to {snapshot['max_slot']}" if snapshot else "no snapshot"
    return f"As of {document['as_of']}, {slots}, inputs {document['inputs_hash']}."
