"""What the UI shows of decided weights: the same for all strategies at once and for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from portfolio_platform.defs.metadata import table
from portfolio_platform.defs.portfolio.plots import risk_and_frontier

_OUTCOMES = (
    *("strategy", "status", "engine", "gap", "volatility", "change", "new", "version"),
    "reason",
)
#: What Dagster plots over the versions of one strategy.
_FIGURES = (
    *("gap", "expected_return", "volatility", "conditional_value_at_risk"),
    *("diversification_ratio", "change"),
)


def weights_metadata(rows: Sequence[dict[str, Any]], *, pictures: bool = True) -> dict[str, Any]:
    """Outcomes, weights, inputs with their hashes, and a picture of each optimum.

    Parameters
    ----------
    rows : sequence of dict
        Of `materialise_weights`. ``change`` is the turnover against the version before.
    pictures : bool
        Whether to draw; a burst of thousands of keys is not looked at one by one.
    """
    drawn = [row for row in rows if pictures and row["status"] == "optimal"]
    inputs = {
        (one.kind, one.id): {"kind": one.kind, "id": one.id, "sha256": one.sha256}
        for row in rows
        for one in row.get("inputs", ())
    }
    return {
        "outcomes": table(rows, _OUTCOMES),
        "weights": table(
            [line for row in rows for line in _lines(row)],
            ["strategy", "symbol", "weight", "before", "change"],
            limit=200,
        ),
        "inputs": table(inputs.values(), ["kind", "id", "sha256"], limit=100),
        **{f"plot {row['strategy']}": risk_and_frontier(row) for row in drawn},
    }


def strategy_metadata(row: dict[str, Any], *, pictures: bool = True) -> dict[str, Any]:
    """What the UI shows of one strategy: outcome, figures to plot over its versions, details."""
    said = {name: row.get(name) for name in ("strategy", "status", "reason", "engine", "new")}
    said["version"] = str(row["version"]) if "version" in row else None
    figures = {name: row.get(name) for name in _FIGURES}
    if row["weights"]:
        figures["largest_weight"] = max(row["weights"].values())
        figures["assets_held"] = sum(weight != 0 for weight in row["weights"].values())
    known = {name: value for name, value in (said | figures).items() if value is not None}
    return known | weights_metadata([row], pictures=pictures)


def _lines(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Weights of a row beside those of the version before; tokens that were sold come last."""
    before = row.get("before")
    if before is None or not row["weights"]:
        return [
            {"strategy": row["strategy"], "symbol": symbol, "weight": weight}
            for symbol, weight in row["weights"].items()
        ]
    sold = {symbol: 0.0 for symbol in before if symbol not in row["weights"]}
    return [
        {
            "strategy": row["strategy"],
            "symbol": symbol,
            "weight": weight,
            "before": before.get(symbol, 0.0),
            "change": weight - before.get(symbol, 0.0),
        }
        for symbol, weight in (row["weights"] | sold).items()
    ]
