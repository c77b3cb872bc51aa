"""The consumers of the change feed: what each event can have changed, and how to recompute it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import partial
from typing import Any

from psycopg import Connection

from portfolio_platform.defs.sensors.watch import FULL_RUNS, Launch, Unit, Watch, Work
from portfolio_platform.store import affected, alerts, coverage, requests
from portfolio_platform.store.affected import RequestTable
from portfolio_platform.store.feed import Event, Position

Found = dict[str, set[Position]]

# Each stage is computed from those before it.
CHAIN = (
    "market_bars",
    "market_metrics",
    "optimal_weights",
    "portfolio_states",
    "reallocation_plans",
)
_FIRST_STAGE = {
    "price_bars": 0,
    "market_bars": 1,
    "tokens": 1,
    "token_prices": 1,
    "pool_states": 1,
    "lending_reserves": 1,
    "stake_pool_rates": 1,
}
_STAGE_AFTER_METRICS = 2


def _named(events: Iterable[Event]) -> list[str]:
    return [str(key) for event in events for key in event.keys or ()]


def _plan_transactions(
    conn: Connection, events: Sequence[Event]
) -> tuple[dict[str, affected.PublishedVersion], set[int]]:
    """Versions that the events name, and the transactions that published a plan.

    A plan that must move something reads the chain afresh in its own transaction. Those prices,
    pools and holdings are its inputs; they are no news, or every plan would cause the next.
    """
    published = [event for event in events if event.table == "versions"]
    kinds = affected.versions(conn, _named(published))
    plans = {
        event.position.xid
        for event in published
        if any(kinds[key].kind == "plan" for key in map(str, event.keys or ()) if key in kinds)
    }
    return kinds, plans


def market_work(conn: Connection, events: Sequence[Event]) -> Found:
    """Stages that market data can have changed, by asset."""
    kinds, plans = _plan_transactions(conn, events)
    found: Found = defaultdict(set)
    for event in events:
        if event.table == "versions":
            named = [kinds[key].kind for key in map(str, event.keys or ()) if key in kinds]
            if event.keys is not None and "metrics" not in named:
                continue
            stage = _STAGE_AFTER_METRICS
        elif event.position.xid in plans:
            continue
        else:
            stage = _FIRST_STAGE[event.table]
        for asset in CHAIN[stage:]:
            found[asset].add(event.position)
    return found


def alert_work(conn: Connection, events: Sequence[Event]) -> Found:
    """The evaluation of alert rules, where there are any."""
    if not alerts.has_rules(conn):
        return {}
    return {"alerts": {event.position for event in events}}


def _uncovered_assets(conn: Connection, work: Work) -> set[str]:
    return {
        asset
        for asset, positions in work.items()
        if coverage.uncovered(conn, asset, [("", position.xid) for position in positions])
    }


def _uncovered_keys(conn: Connection, target: str, work: Work, existing: set[str]) -> set[str]:
    wanted = [
        (key, position.xid)
        for key, positions in work.items()
        if key in existing
        for position in positions
    ]
    return coverage.uncovered(conn, target, wanted)


def strategy_work(conn: Connection, events: Sequence[Event]) -> Found:
    """Strategies that were written."""
    found: Found = defaultdict(set)
    for event in events:
        keys = affected.strategies(conn) if event.keys is None else map(str, event.keys)
        for key in keys:
            found[key].add(event.position)
    return found


def _strategies_to_weigh(conn: Connection, work: Work) -> set[str]:
    existing = affected.strategies(conn, enabled_only=True)
    return _uncovered_keys(conn, "optimal_weights", work, existing)


_PORTFOLIO_COLUMN = {"wallet_holdings": "wallet", "user_settings": "user_id"}


def portfolio_work(conn: Connection, events: Sequence[Event]) -> Found:
    """Portfolios whose own row, owner's settings, holdings or target changed."""
    kinds, plans = _plan_transactions(conn, events)
    found: Found = defaultdict(set)
    by_value: dict[str, dict[str, set[Position]]] = defaultdict(lambda: defaultdict(set))
    everyone: set[Position] = set()
    for event in events:
        if event.position.xid in plans and event.table == "wallet_holdings":
            continue
        if event.keys is None:
            everyone.add(event.position)
            continue
        for key in map(str, event.keys):
            if event.table == "portfolios":
                found[key].add(event.position)
            elif event.table == "versions":
                version = kinds.get(key)
                if version is not None and version.strategy_id is not None:
                    by_value["strategy_id"][version.strategy_id].add(event.position)
            else:
                by_value[_PORTFOLIO_COLUMN[event.table]][key].add(event.position)
    for column, values in by_value.items():
        for value, ids in affected.portfolios_by(conn, column, values).items():  # type: ignore[arg-type]
            for portfolio in ids:
                found[portfolio] |= values[value]
    if everyone:
        for portfolio in affected.portfolios(conn):
            found[portfolio] |= everyone
    return found


def _portfolios_to_plan(conn: Connection, work: Work) -> set[str]:
    return _uncovered_keys(conn, "reallocation_plans", work, affected.portfolios(conn))


def request_work(table: RequestTable, conn: Connection, events: Sequence[Event]) -> Found:
    """Requests that wait for an answer; what a run wrote about its progress names none."""
    found: Found = defaultdict(set)
    everyone = {event.position for event in events if event.keys is None}
    waiting = affected.open_requests(conn, table, None if everyone else _named(events))
    for event in events:
        for key in map(str, event.keys or ()):
            if key in waiting:
                found[key].add(event.position)
    if everyone:
        for key in waiting:
            found[key] |= everyone
    return found


def _requests_to_answer(table: RequestTable, conn: Connection, work: Work) -> set[str]:
    return affected.open_requests(conn, table, list(work))


def _fail_request(
    table: RequestTable, conn: Connection, keys: Collection[str], reason: str
) -> None:
    for key in keys:
        requests.mark_request(conn, table, key, "failed", reason=f"given up: {reason}")


def _assets(job_name: str, batch_id: str, unit: Unit, todo: Collection[str]) -> Launch:
    return Launch(job_name, asset_names=tuple(name for name in CHAIN if name in set(todo)))


def keyed_launch(
    job_name: str, consumer: str, batch_id: str, unit: Unit, todo: Collection[str]
) -> Launch:
    """One key as its partition; more in one run that reads them from the batch."""
    if unit.alone:
        return Launch(job_name, partition_key=unit.keys[0])
    start, _, stop = unit.label.partition(":")
    config: dict[str, Any] = {
        "consumer": consumer,
        "batch_id": batch_id,
        "start": int(start),
        "stop": int(stop),
    }
    return Launch("settle_many", run_config={"ops": {"settle_keys": {"config": config}}})


MARKET = Watch(
    consumer="market_data_changed",
    tables=frozenset(_FIRST_STAGE) | {"versions"},
    resolve=market_work,
    needed=_uncovered_assets,
    all_keys=lambda conn: CHAIN,
    launch=partial(_assets, "recompute"),
    whole=True,
    rests=True,
    waits_for=FULL_RUNS,
)

ALERTS = Watch(
    consumer="alerts_concerned",
    tables=frozenset(
        {
            "token_prices",
            "market_bars",
            "pool_states",
            "lending_reserves",
            "versions",
            "alert_rules",
        }
    ),
    resolve=alert_work,
    needed=_uncovered_assets,
    all_keys=lambda conn: ("alerts",),
    launch=lambda batch_id, unit, todo: Launch("watch_alerts"),
    whole=True,
    rests=True,
    waits_for=FULL_RUNS,
)

STRATEGIES = Watch(
    consumer="strategies_changed",
    tables=frozenset({"strategies"}),
    resolve=strategy_work,
    needed=_strategies_to_weigh,
    all_keys=affected.strategies,
    launch=partial(keyed_launch, "weigh_strategy", "strategies_changed"),
    waits_for=FULL_RUNS,
    partitions="strategies",
)

PORTFOLIOS = Watch(
    consumer="portfolios_changed",
    tables=frozenset({"portfolios", "user_settings", "wallet_holdings", "versions"}),
    resolve=portfolio_work,
    needed=_portfolios_to_plan,
    all_keys=affected.portfolios,
    launch=partial(keyed_launch, "plan_portfolio", "portfolios_changed"),
    waits_for=FULL_RUNS,
    partitions="portfolios",
)


def _request_watch(consumer: str, table: RequestTable, job_name: str, partitions: str) -> Watch:
    return Watch(
        consumer=consumer,
        tables=frozenset({table}),
        resolve=partial(request_work, table),
        needed=partial(_requests_to_answer, table),
        all_keys=partial(affected.open_requests, table=table),
        launch=partial(keyed_launch, job_name, consumer),
        give_up=partial(_fail_request, table),
        partitions=partitions,
    )


OPTIMIZATIONS = _request_watch(
    "optimizations_requested",
    "optimization_requests",
    "answer_optimization",
    "optimization_requests",
)
BACKTESTS = _request_watch(
    "backtests_requested", "backtest_requests", "answer_backtest", "backtest_requests"
)
KEYED = {watch.consumer: watch for watch in (STRATEGIES, PORTFOLIOS, OPTIMIZATIONS, BACKTESTS)}
