"""The verdict: what the evidence supports, and what it does not, in plain words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portfolio_platform.backtesting.spec import BacktestSpec


def verdict(
    spec: BacktestSpec, strategies: Mapping[str, Any], validation: Mapping[str, Any] | None
) -> dict[str, Any]:
    """Return the sentence and the lists of what is supported and what is not."""
    supports: list[str] = []
    against: list[str] = []
    for name, section in strategies.items():
        deflated = section["validation"].get("deflated_sharpe")
        if deflated is None:
            against.append(f"{name}: the evidence cannot be judged")
        elif deflated >= spec.validation.confidence:
            supports.append(f"{name}: skill survives the deflation for the trials made")
        else:
            against.append(f"{name}: luck and the number of trials explain the result")
    sentence = "; ".join(supports + against) + "."
    return {"sentence": sentence, "supports": supports, "does_not_support": against}
