"""What did not go as planned: unanswered decisions, missing prices, delistings, dead tokens."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np

from portfolio_platform.backtesting.decisions import Decision
from portfolio_platform.backtesting.market_path import MarketPath
from portfolio_platform.backtesting.outcomes import Reason
from portfolio_platform.backtesting.simulator import Simulation


def unanswered_periods(decisions: Sequence[Decision], times: Sequence[str]) -> list[dict[str, Any]]:
    """Return the stretches of decisions without an answer of the strategy's own problem.

    During them the weights were held, or a fallback the strategy names answered.
    """
    marked = [(d, (d.status, d.fallback)) for d in decisions]
    stretches = []
    for (status, fallback), group in groupby(marked, key=lambda pair: pair[1]):
        rows = [d for d, _ in group]
        if status == "optimal" and fallback is None:
            continue
        stretches.append(
            {
                "from": times[rows[0].bar],
                "to": times[rows[-1].bar],
                "decisions": len(rows),
                "status": status,
                "reason": rows[0].reason,
                "action": f"fallback {fallback}" if fallback else "weights held",
            }
        )
    return stretches


def holding_events(
    path: MarketPath, simulation: Simulation, times: Sequence[str]
) -> list[dict[str, Any]]:
    """Return what happened to prices of assets while they were held, oldest first."""
    events: list[tuple[int, dict[str, Any]]] = []
    held = np.vstack([np.zeros((1, len(path.assets))), simulation.units[:-1]]) > 0.0
    for column, asset in enumerate(path.assets):
        if not held[:, column].any():
            continue
        worthless = held[:, column] & (path.price[:, column] <= 0.0)
        if worthless.any():
            row = int(worthless.argmax())
            events.append((row, {"kind": "worthless_token", "asset": asset, "bars": 1}))
        silent = held[:, column] & ~path.tradable[:, column] & ~worthless
        edges = np.flatnonzero(np.diff(np.concatenate([[0], silent.astype(np.int8), [0]])))
        for start, stop in zip(edges[::2], edges[1::2], strict=True):
            settled = path.settle[start:stop, column].any()
            kind = "delisted" if settled else "prices_missing"
            row = int(start)
            events.append((row, {"kind": kind, "asset": asset, "bars": int(stop - start)}))
    events.sort(key=lambda event: (event[0], event[1]["asset"]))
    return [{"time": times[row], **event} for row, event in events]


def reasons_of(
    name: str,
    periods: Sequence[dict[str, Any]],
    events: Sequence[dict[str, Any]],
    simulation: Simulation,
) -> list[Reason]:
    """Return the reasons that make a result partial, or that its reader must know."""
    reasons = []
    failed = sum(p["decisions"] for p in periods if p["action"] == "weights held")
    if failed:
        first = next(p for p in periods if p["action"] == "weights held")
        reasons.append(
            Reason(
                "infeasible_periods",
                f"{name}: {failed} decisions had no answer and the weights were held; first "
                f"{first['from']}: {first['status']}: {first['reason']}",
                name,
            )
        )
    if not simulation.units.any():
        reasons.append(Reason("never_invested", f"{name}: nothing was ever bought", name))
    if simulation.equity[-1] <= 0.0:
        reasons.append(Reason("ruined", f"{name}: the capital is lost", name))
    for kind in ("delisted", "worthless_token", "prices_missing"):
        assets = sorted({e["asset"] for e in events if e["kind"] == kind})
        if assets:
            wording = {
                "delisted": "settled in cash after their price stopped",
                "worthless_token": "went to zero while held",
                "prices_missing": "held and marked at the last price while prices were missing",
            }[kind]
            listed = ", ".join(assets[:5]) + (" …" if len(assets) > 5 else "")
            reasons.append(Reason(kind, f"{name}: {listed} {wording}", name))  # type: ignore[arg-type]
    return reasons
