"""Pictures for the UI: risk and frontier of weights, before and after of plans."""

from __future__ import annotations

import base64
import io
from typing import Any

from dagster import MetadataValue


def _picture(figure: Any) -> MetadataValue:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=80)
    encoded = base64.b64encode(stream.getvalue()).decode()
    return MetadataValue.md(f"![picture](data:image/png;base64,{encoded})")


def weights_before_and_after(document: dict[str, Any]) -> MetadataValue:
    """Weights of a plan before, wanted and after, token by token."""
    from matplotlib.figure import Figure

    after = {one["mint"]: one for one in document["after"]["assets"]}
    rows = [
        (
            one["symbol"] or one["mint"][:6],
            float(one["weight"] or 0),
            float(one["target_weight"] or 0),
            float((after.get(one["mint"]) or one)["weight"] or 0),
        )
        for one in document["before"]["assets"]
    ]
    rows.sort(key=lambda row: -max(row[1:]))
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    axes = figure.subplots()
    for place, (name, hatch) in enumerate((("before", ""), ("target", ".."), ("after", "//"))):
        axes.bar(
            [index + 0.27 * place for index in range(len(rows))],
            [row[1 + place] for row in rows],
            0.26,
            label=name,
            hatch=hatch,
        )
    axes.set_xticks([index + 0.27 for index in range(len(rows))], [row[0] for row in rows])
    axes.tick_params(labelsize=7)
    axes.set_ylabel("weight", fontsize=7)
    axes.legend(fontsize=7)
    return _picture(figure)


def risk_and_frontier(row: dict[str, Any]) -> MetadataValue:
    """Weights beside risk contributions, and the frontier with the chosen portfolio marked."""
    from matplotlib.figure import Figure

    risk = row["report"].get("risk", {})
    frontier = row["report"].get("frontier", {})
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    shares = risk.get("contributions", {})
    names = {
        row["symbols"].get(mint, mint): mint
        for mint, share in shares.items()
        if share or row["weights"].get(row["symbols"].get(mint, mint))
    }
    shown = sorted(names, key=lambda name: -abs(shares[names[name]]))[:12]
    places = range(len(shown))
    left.barh(places, [row["weights"].get(n, 0.0) for n in shown], 0.38, label="weight")
    left.barh(
        [p + 0.4 for p in places],
        [shares[names[n]] for n in shown],
        0.38,
        label="share of risk",
        hatch="//",
    )
    left.set_yticks([p + 0.2 for p in places], shown, fontsize=7)
    left.invert_yaxis()
    left.legend(fontsize=7)
    points, chosen = frontier.get("points", []), frontier.get("chosen")
    # a frontier of another measure bends back when it is drawn over volatility
    measure = frontier.get("measure", "MV")
    own = measure != "MV" and bool(chosen) and all(p["risk"] is not None for p in [*points, chosen])
    axis = "risk" if own else "volatility"
    right.plot([p[axis] for p in points], [p["expected_return"] for p in points], label="frontier")
    at = chosen if own else row
    right.plot([at[axis]], [at["expected_return"]], "D", label=row["strategy"])
    right.set_xlabel(f"{measure} per bar" if own else "volatility per year", fontsize=7)
    right.set_ylabel("expected return per year", fontsize=7)
    right.tick_params(labelsize=7)
    right.legend(fontsize=7)
    return _picture(figure)
