"""Materialising single keys: thin calls into the functions that materialise all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from dagster import MetadataValue

from portfolio_platform.defs.resources import Platform, code_version
from portfolio_platform.defs.sensors.covering import living

Say = Callable[[str], None]
Rows = Iterator[tuple[str, dict[str, Any]]]


@dataclass(frozen=True)
class Keyed:
    """How the keys of one per-key asset are materialised.

    Attributes
    ----------
    asset : str
        Its name.
    partitions : str
        Its dynamic partitions.
    materialise : callable
        From platform, keys, run id and logger to each key with what became of it.
    """

    asset: str
    partitions: str
    materialise: Callable[[Platform, Sequence[str], str, Say], Rows]


def shown(said: dict[str, Any]) -> dict[str, Any]:
    """What became of a key as metadata: what Dagster knows how to show, the rest as text."""
    return {name: _shown(value) for name, value in said.items() if value is not None}


def _shown(value: Any) -> Any:
    if isinstance(value, bool | int | MetadataValue):
        return value
    # numpy's float is a float that Dagster cannot store.
    return float(value) if isinstance(value, float) else str(value)


def weigh(platform: Platform, keys: Sequence[str], run_id: str, say: Say) -> Rows:
    """Weights of these strategies."""
    from portfolio_platform.defs.portfolio.materialise import materialise_weights
    from portfolio_platform.defs.portfolio.weights_metadata import strategy_metadata

    with platform.covering("optimal_weights", run_id, *keys), platform.connect() as conn:
        rows = materialise_weights(
            conn, platform.settings, code_version(), run_id, only={UUID(key) for key in keys}
        )
    said = {str(row.get("strategy_id")): row for row in rows}
    refused = [row for row in rows if "strategy_id" not in row]
    for row in refused:
        say(f"{row['strategy']}: {row['status']}: {row['reason']}")
    for key in keys:
        row = said.get(key) or (refused[0] if len(keys) == 1 and refused else {})
        yield key, strategy_metadata(row, pictures=len(keys) == 1) if row else {}


def plan(platform: Platform, keys: Sequence[str], run_id: str, say: Say) -> Rows:
    """State and plan of these portfolios."""
    from portfolio_platform.defs.portfolio.materialise import materialise_plans, materialise_states
    from portfolio_platform.defs.portfolio.plans_metadata import plan_metadata

    only = {UUID(key) for key in keys}
    with platform.covering("portfolio_states", run_id, *keys), platform.connect() as conn:
        materialise_states(conn, code_version(), run_id, only=only)
    with platform.covering("reallocation_plans", run_id, *keys):
        rows = materialise_plans(
            platform.connect, platform.settings, code_version(), run_id, only=only
        )
    said = {str(row.get("portfolio_id")): row for row in rows}
    for key in keys:
        row = said.get(key)
        yield key, plan_metadata(row, pictures=len(keys) == 1) if row else {}


def optimize(platform: Platform, keys: Sequence[str], run_id: str, say: Say) -> Rows:
    """Answers to these optimization requests."""
    from portfolio_platform.defs.requests.optimization import answer_optimization

    yield from _in_turn(answer_optimization, platform, keys, run_id, say)


def backtest(platform: Platform, keys: Sequence[str], run_id: str, say: Say) -> Rows:
    """Answers to these backtest requests."""
    from portfolio_platform.defs.backtest.reports import answer_backtest

    yield from _in_turn(answer_backtest, platform, keys, run_id, say)


def _in_turn(
    answer: Callable[..., dict[str, Any]],
    platform: Platform,
    keys: Sequence[str],
    run_id: str,
    say: Say,
) -> Rows:
    settings, version = platform.settings, code_version()
    started = time.monotonic()
    with living(settings.resolve_database_url(), run_id):
        for done, key in enumerate(keys, start=1):
            yield key, answer(platform.connect, settings, key, version, run_id, say)
            if len(keys) > 1 and (done % 20 == 0 or done == len(keys)):
                rate = done / max(time.monotonic() - started, 1e-9)
                left = (len(keys) - done) / rate
                say(f"{done} of {len(keys)} requests, {rate:.1f}/s, {left:.0f} s left")


BY_CONSUMER = {
    "strategies_changed": Keyed("strategy_weights", "strategies", weigh),
    "portfolios_changed": Keyed("portfolio_plan", "portfolios", plan),
    "optimizations_requested": Keyed("optimization_answer", "optimization_requests", optimize),
    "backtests_requested": Keyed("backtest_report", "backtest_requests", backtest),
}
