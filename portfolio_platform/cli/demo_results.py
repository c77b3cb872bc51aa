"""What the demo shows: weights, reallocation outcome, backtest headline, read from the database."""

from __future__ import annotations

import json
import sys
from typing import Any

from rich.table import Table

from portfolio_platform.cli.progress import answers
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


def show(outcome: dict[str, Any]) -> None:
    """Print the weights as a table, the reallocation outcome and the backtest headline."""
    answers.print(weights_table(outcome["weights"]))
    plan = outcome["reallocation"]
    answers.print(
        f"Reallocation: [bold]{plan['outcome']}[/bold] ({plan['reason']}), "
        f"{plan['steps']} steps, cost {_figure(plan['cost_bps'], '{:.2f} bps')}"
    )
    answers.print(f"Backtest: {headline(outcome['backtest'])}")


def weights_table(weights: dict[str, dict[str, float]]) -> Table:
    """Strategies down, tokens across, in percent: twelve tokens fit a terminal of 80 columns."""
    symbols = {symbol: None for held in weights.values() for symbol in held}
    held = [
        symbol
        for symbol in sorted(symbols)
        if any(_shown(shares.get(symbol, 0.0)) for shares in weights.values())
    ]
    table = Table(title="Latest weights, %", title_justify="left", box=None, pad_edge=False)
    table.padding = (0, 1, 0, 0)
    table.add_column("strategy", no_wrap=True)
    for symbol in held:
        table.add_column(symbol, justify="right", no_wrap=True)
    for name, shares in weights.items():
        table.add_row(name, *(_shown(shares.get(symbol, 0.0)) or "·" for symbol in held))
    return table


def _shown(share: float) -> str:
    """Percent with one decimal; empty where that would be zero."""
    percent = f"{share * 100:.1f}"
    return "" if percent in ("0.0", "-0.0") else percent


def _figure(value: Any, form: str) -> str:
    return "–" if value is None else form.format(float(value))


def headline(backtest: dict[str, Any]) -> str:
    """The newest report's figures and its verdict."""
    if not backtest:
        return "none"
    figures = (
        ("Sharpe", "sharpe", "{:.2f}"),
        ("CAGR", "cagr", "{:.1%}"),
        ("volatility", "volatility", "{:.1%}"),
        ("largest drawdown", "max_drawdown", "{:.1%}"),
        ("final equity", "final_equity", "{:,.0f}"),
    )
    shown = [
        f"{title} {form.format(backtest[key])}" for title, key, form in figures if key in backtest
    ]
    subject = backtest.get("strategy", "no strategy")
    return (
        f"[bold]{backtest['outcome']}[/bold], {subject}: {', '.join(shown)}\n"
        f"  {backtest['verdict']}"
    )


def print_line(outcome: dict[str, Any]) -> None:
    """The one JSON line of ``--json``."""
    keys = ("weights", "reallocation", "backtest", "seconds_to_weights", "run_id", "succeeded")
    sys.stdout.write(json.dumps({key: outcome[key] for key in keys}, default=str) + "\n")
