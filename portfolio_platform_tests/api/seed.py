"""A small world to read: two users, shared facts, and results of every kind."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from portfolio_platform.store.publish import Input, Published, publish
from portfolio_platform_tests.store.postgres import Database

SOL = "So11111111111111111111111111111111111111112"
USDC = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
JUP = "JUPyiwrYJFskUPiHa7hkeR8VUtAeFoSYbKedZNsDvCN"
POOL = "Czfq3xZZDmsdGdUyrNLtRhGc47cXcZtLG4crryfu44zE"
WALLET = {"a": "7YttLkHDoNj9wyDur5pM1ejNaAvT9X4eqaYcHQqtj2G5", "b": USDC}
NOW = datetime.now(UTC).replace(microsecond=0)


@dataclass
class Person:
    """A user and what they own."""

    user_id: uuid.UUID
    portfolio_id: uuid.UUID
    strategy_id: uuid.UUID
    backtest_id: uuid.UUID
    optimization_id: uuid.UUID
    rule_id: uuid.UUID
    alert_id: uuid.UUID
    channel_id: uuid.UUID
    versions: dict[str, uuid.UUID] = field(default_factory=dict)


@dataclass
class World:
    """What `build` stored."""

    a: Person
    b: Person
    versions: dict[str, uuid.UUID]


def build(database: Database) -> World:
    """Store the world; two users, A and B, own one of everything each."""
    with database.connect() as conn:
        _facts(conn)
        shared = _shared_results(conn)
        people = [_person(database, conn, name) for name in ("a", "b")]
    return World(people[0], people[1], shared)


def weights(
    conn: psycopg.Connection[Any],
    strategy_id: uuid.UUID,
    subject: str,
    *,
    sol: float = 0.6,
    status: str = "optimal",
    user_id: uuid.UUID | None = None,
    as_of: datetime = NOW,
    salt: str = "",
    inputs: list[Input] | None = None,
) -> Published:
    """Publish a weight set (two assets), or a failed attempt."""
    good = status == "optimal"
    table: list[tuple[str, float]] = [(SOL, sol), (USDC, 1.0 - sol)] if good else []
    return publish(
        conn,
        kind="weights",
        subject=subject,
        content={"weights": dict(table), "status": status, "salt": salt},
        inputs=inputs or [Input("strategy", str(strategy_id))],
        rows={
            "weight_sets": [
                {
                    "strategy_id": strategy_id,
                    "status": status,
                    "reason": None if good else "caps sum to 0.9",
                    "solution": {"objective": 0.25, "status": status, "salt": salt},
                    "report": {"assets": len(table)},
                }
            ],
            "weights": [{"mint": mint, "weight": weight} for mint, weight in table],
        },
        as_of=as_of,
        code_version="test",
        user_id=user_id,
    )


def platform_strategy(conn: psycopg.Connection[Any], slug: str) -> uuid.UUID:
    """A strategy that every user may read."""
    row = conn.execute(
        "insert into public.strategies (slug, name, spec) values (%s, %s, %s) "
        "returning strategy_id",
        (slug, slug.replace("-", " "), Jsonb({"version": 1})),
    ).fetchone()
    assert row is not None
    return row[0]


def _facts(conn: psycopg.Connection[Any]) -> None:
    for mint, symbol, decimals in ((SOL, "SOL", 9), (USDC, "USDC", 6), (JUP, "JUP", 6)):
        conn.execute(
            "insert into public.tokens (mint, symbol, decimals, is_stable) values (%s, %s, %s, %s)",
            (mint, symbol, decimals, symbol == "USDC"),
        )
    digest = "ab" * 32
    conn.execute("insert into chain.account_data values (%s, %s)", (digest, b"bytes"))
    conn.execute(
        "insert into chain.account_snapshots (pubkey, owner, slot, sha256, observed_at) "
        "values (%s, 'whirLbMiicVdio4qvUfM5KAg6Ct8VwpYzGff3uctyCc', 7, %s, %s)",
        (POOL, digest, NOW),
    )
    for price, verdict, source in ((150.25, "accepted", "pyth"), (99.0, "refused", "pool")):
        conn.execute(
            "insert into public.token_prices (mint, source, pubkey, snapshot_id, slot, price, "
            "verdict, reasons, observed_at) values (%s, %s, %s, 1, 7, %s, %s, %s, %s)",
            (SOL, source, POOL, price, verdict, [] if verdict == "accepted" else ["stale"], NOW),
        )
    _bars(conn)


def _bars(conn: psycopg.Connection[Any]) -> None:
    series = conn.execute(
        "insert into public.bar_series (mint, venue, symbol, instrument) "
        "values (%s, 'pyth', 'Crypto.SOL/USD', 'oracle') returning series_id",
        (SOL,),
    ).fetchone()
    assert series is not None
    day = NOW.replace(hour=0, minute=0, second=0) - timedelta(days=60)
    with conn.cursor().copy(
        "copy public.market_bars (series_id, bar_interval, observed_at, recorded_at, open, high, "
        "low, close, volume) from stdin"
    ) as copy:
        for n in range(60):
            close = 100.0 + n / 3.0
            copy.write_row(
                (series[0], "1d", day + timedelta(days=n), day + timedelta(days=n + 1), close,
                 close + 1, close - 1, close, 1e6 / 7.0)
            )  # fmt: skip


def _shared_results(conn: psycopg.Connection[Any]) -> dict[str, uuid.UUID]:
    metrics = publish(
        conn,
        kind="metrics",
        subject="market",
        content={"sol": 1},
        inputs=[Input("price", "1")],
        rows={"token_metrics": [{"mint": SOL, "metrics": {"volatility": 0.8123456789012345}}]},
        as_of=NOW,
        code_version="test",
    )
    strategy_id = platform_strategy(conn, "min-variance")
    platform_strategy(conn, "never-run")
    made = weights(
        conn,
        strategy_id,
        "min-variance",
        inputs=[Input("version", str(metrics.version)), Input("strategy", str(strategy_id))],
    )
    return {"metrics": metrics.version, "weights": made.version}


def _person(database: Database, conn: psycopg.Connection[Any], name: str) -> Person:
    user_id = database.add_user(f"{name}-{uuid.uuid4().hex[:8]}@example.org")
    row = conn.execute(
        "insert into public.strategies (user_id, slug, name, spec) values (%s, 'mine', %s, %s) "
        "returning strategy_id",
        (user_id, f"of {name}", Jsonb({"version": 1})),
    ).fetchone()
    assert row is not None
    strategy_id = row[0]
    row = conn.execute(
        "insert into public.portfolios (user_id, name, wallet, strategy_id, hub_mint) "
        "values (%s, %s, %s, %s, %s) returning portfolio_id",
        (user_id, f"portfolio {name}", WALLET[name], strategy_id, USDC),
    ).fetchone()
    assert row is not None
    requests = []
    for table in ("backtest_requests", "optimization_requests"):
        stored = conn.execute(
            f"insert into public.{table} (user_id, spec) values (%s, %s) returning request_id",
            (user_id, Jsonb({"version": 1})),
        ).fetchone()
        assert stored is not None
        requests.append(stored[0])
    rule_id, alert_id = _alert(conn, user_id)
    channel = conn.execute(
        "insert into public.notification_channels (user_id, name, kind, secret, hint) "
        "values (%s, 'c', 'webhook', 'gAAAA', 'example.org') returning channel_id",
        (user_id,),
    ).fetchone()
    assert channel is not None
    person = Person(
        user_id, row[0], strategy_id, requests[0], requests[1], rule_id, alert_id, channel[0]
    )
    made = weights(conn, strategy_id, str(strategy_id), user_id=user_id, salt=name)
    person.versions["weights"] = made.version
    person.versions |= _results(conn, person)
    return person


def _alert(conn: psycopg.Connection[Any], user_id: uuid.UUID) -> tuple[uuid.UUID, uuid.UUID]:
    row = conn.execute(
        "with r as (insert into public.alert_rules (user_id, name, kind) "
        "values (%(user)s, 'depeg', 'depeg') returning rule_id) "
        "insert into public.alerts (rule_id, user_id, kind, subject, severity, message, "
        "observed_at) select rule_id, %(user)s, 'depeg', %(mint)s, 'critical', 'off its peg', "
        "now() from r returning rule_id, alert_id",
        {"user": user_id, "mint": USDC},
    ).fetchone()
    assert row is not None
    return row[0], row[1]


def _results(conn: psycopg.Connection[Any], person: Person) -> dict[str, uuid.UUID]:
    common: dict[str, Any] = {
        "as_of": NOW,
        "code_version": "test",
        "user_id": person.user_id,
        "inputs": [Input("version", str(person.versions["weights"]))],
    }
    state = publish(
        conn,
        kind="portfolio_state",
        subject=str(person.portfolio_id),
        content={"nav": "12345678901234567890"},
        rows={
            "portfolio_states": [
                {
                    "portfolio_id": person.portfolio_id,
                    "nav": 12345678901234567890,
                    "state": {"holdings": []},
                }
            ]
        },
        **common,
    )
    plan = publish(
        conn,
        kind="plan",
        subject=str(person.portfolio_id),
        content={"outcome": "reallocation"},
        rows={
            "reallocation_plans": [
                {
                    "portfolio_id": person.portfolio_id,
                    "outcome": "reallocation",
                    "reasons": ["utilization_out_of_band"],
                    "plan": {"n": 1},
                    "plan_inputs": {"band": [0.95, 1.05]},
                }
            ],
            "plan_trades": [
                {
                    "step": 1, "side": "sell", "mint_in": SOL, "mint_out": USDC, "pool": POOL,
                    "amount_in": 10**24, "expected_out": 5, "min_out": 4, "fee": 1,
                    "impact_bps": 1.5,
                }
            ],
        },
        **common,
    )  # fmt: skip
    report = publish(
        conn,
        kind="backtest",
        subject=str(person.backtest_id),
        content={"sharpe": 1.0},
        rows={
            "backtest_reports": [
                {
                    "request_id": person.backtest_id,
                    "outcome": "done",
                    "report": {"sharpe": 1.0},
                    "html": "<!doctype html><title>report</title>",
                }
            ]
        },
        **common,
    )
    conn.execute(
        "update public.backtest_requests set state = 'done', version = %s, finished_at = now() "
        "where request_id = %s",
        (report.version, person.backtest_id),
    )
    return {"state": state.version, "plan": plan.version, "report": report.version}
