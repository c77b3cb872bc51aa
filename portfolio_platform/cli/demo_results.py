"""What the demo shows: weights, reallocation outcome, backtest headline, read from the database."""

from __future__ import annotations

import json
import sys
from typing import Any

from portfolio_platform.settings import Settings
from portfolio_platform.store.database import connect


def read(settings: Settings) -> dict[str, Any]:
    """Newest weights per strategy, newest plan, newest backtest report."""
    with connect(settings.resolve_database_url()) as conn:
        weights: dict[str, dict[str, float]] = {}
        for slug, symbol, weight in conn.execute(
            """
            with newest as (
                select distinct on (v.subject) v.subject, v.version
                from public.versions as v
                join public.weight_sets as s using (version)
                join public.strategies as t using (strategy_id)
                where s.status = 'optimal' and t.user_id is null
                order by v.subject, v.recorded_at desc, v.version)
            select n.subject, t.symbol, w.weight
            from newest as n join public.weights as w using (version)
            join public.tokens as t using (mint)
            order by n.subject, w.weight desc, t.symbol
            """
        ):
            weights.setdefault(slug, {})[symbol] = weight
        plan = conn.execute(
            """
            select p.outcome, p.reasons, jsonb_array_length(p.plan -> 'steps'),
                   p.plan -> 'summary' ->> 'cost_bps', v.version::text
            from public.reallocation_plans as p join public.versions as v using (version)
            order by v.recorded_at desc limit 1
            """
        ).fetchone()
        report = conn.execute(
            """
            select r.outcome, r.report, v.version::text, r.request_id::text
            from public.backtest_reports as r join public.versions as v using (version)
            order by v.recorded_at desc limit 1
            """
        ).fetchone()
    return {
        "weights": weights,
        "reallocation": {
            "outcome": plan[0] if plan else None,
            "reason": ", ".join(plan[1]) if plan else "no portfolio",
            "steps": plan[2] if plan else 0,
            "cost_bps": plan[3] if plan else None,
            "version": plan[4] if plan else None,
        },
        "backtest": _backtest(report),
    }


def _backtest(report: tuple[Any, ...] | None) -> dict[str, Any]:
    if report is None:
        return {}
    return {
        "outcome": report[0],
        "version": report[2],
        "request_id": report[3],
        **report[1].get("headline", {}),
    }


def headline(backtest: dict[str, Any]) -> str:
    """One line about the newest report."""
    if not backtest:
        return "none"
    shown = [
        f"{key} {value:.4g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in backtest.items()
        if key not in ("version", "request_id")
    ]
    return ", ".join(shown)


def print_line(outcome: dict[str, Any]) -> None:
    """The one JSON line of ``--json``."""
    keys = ("weights", "reallocation", "backtest", "seconds_to_weights", "run_id", "succeeded")
    sys.stdout.write(json.dumps({key: outcome[key] for key in keys}, default=str) + "\n")
