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
            [
                {"strategy": row["strategy"], "symbol": symbol, "weight": weight}
                for row in rows
                for symbol, weight in row["weights"].items()
            ],
            ["strategy", "symbol", "weight"],
            limit=200,
        ),
        "inputs": table(inputs.values(), ["kind", "id", "sha256"], limit=100),
        **{f"plot {row['strategy']}": risk_and_frontier(row) for row in drawn},
    }
