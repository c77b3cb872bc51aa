"""Row security, table by table: every public table × {anon, A, B, service} × {select, insert,
update, delete}, generated from the catalog. A table that is not listed fails the test.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from portfolio_platform_tests.store.postgres import Database

ACTORS = ("anon", "owner", "other", "service")
ACTIONS = ("select", "insert", "update", "delete")

# What each actor may do to a row of `owner`: y does it, 0 sees or changes no row, - is refused.
# Order within a word: select, insert, update, delete.
READ_BY_ALL_USERS = {"anon": "----", "owner": "y---", "other": "y---", "service": "yyyy"}
READ_BY_OWNER = {"anon": "----", "owner": "y---", "other": "0---", "service": "yyyy"}
WRITTEN_BY_OWNER = {"anon": "----", "owner": "yyyy", "other": "0-00", "service": "yyyy"}
REQUESTED_BY_OWNER = {"anon": "----", "owner": "yyy-", "other": "0-0-", "service": "yyyy"}

EXPECTED: dict[str, Mapping[str, str]] = {
    "tokens": READ_BY_ALL_USERS,
    "source_batches": READ_BY_ALL_USERS,
    "token_prices": READ_BY_ALL_USERS,
    "pool_states": READ_BY_ALL_USERS,
    "lending_reserves": READ_BY_ALL_USERS,
    "stake_pool_rates": READ_BY_ALL_USERS,
    "bar_series": READ_BY_ALL_USERS,
    "price_bars": READ_BY_ALL_USERS,
    "market_bars": READ_BY_ALL_USERS,
    "swaps": READ_BY_ALL_USERS,
    "wallet_holdings": READ_BY_OWNER,
    "versions": READ_BY_OWNER,
    "token_metrics": READ_BY_OWNER,
    "weight_sets": READ_BY_OWNER,
    "weights": READ_BY_OWNER,
    "portfolio_states": READ_BY_OWNER,
    "reallocation_plans": READ_BY_OWNER,
    "plan_trades": READ_BY_OWNER,
    "backtest_reports": READ_BY_OWNER,
    "strategies": WRITTEN_BY_OWNER,
    "portfolios": WRITTEN_BY_OWNER,
    "user_settings": WRITTEN_BY_OWNER,
    "optimization_requests": REQUESTED_BY_OWNER,
    "backtest_requests": REQUESTED_BY_OWNER,
    "alert_rules": WRITTEN_BY_OWNER,
    "alerts": READ_BY_OWNER,
    "notification_channels": WRITTEN_BY_OWNER,
    "notification_deliveries": READ_BY_OWNER,
}

NOW = "2026-01-01T00:00:00Z"


@dataclass(frozen=True)
class World:
    """A database in which `owner` has one row in every table."""

    database: Database
    owner: uuid.UUID
    other: uuid.UUID
    rows: dict[str, dict[str, Any]]


def _on_chain(snapshot: int) -> dict[str, Any]:
    return {"snapshot_id": snapshot, "slot": 1, "observed_at": NOW}


def samples(owner: uuid.UUID) -> dict[str, dict[str, Any]]:
    """One row of each table, parents first; what users may insert is what these columns are."""
    version, strategy, portfolio, request, batch = (uuid.uuid4() for _ in range(5))
    rule, alert, channel = (uuid.uuid4() for _ in range(3))
    reserve = {"pubkey": "p", "program": "p", "mint": "m", "available": 1, "borrowed": 0}
    request_row = {"user_id": owner, "spec": Jsonb({}), "idempotency_key": "k"}
    bar = {"series_id": 1, "bar_interval": "1d", "observed_at": NOW}
    trade = {"mint_in": "m", "mint_out": "n", "pool": "p", "amount_in": 1, "expected_out": 1}
    return {
        "tokens": {"mint": "m", "symbol": "M"},
        "source_batches": {
            "batch_id": batch, "source": "file", "locator": "l", "sha256": "s", "n_rows": 1,
        },
        "token_prices": {
            "mint": "m", "source": "s", "pubkey": "p", "price": 1, "verdict": "accepted",
            **_on_chain(1),
        },
        "pool_states": {
            "pubkey": "p", "kind": "k", "mint_a": "m", "mint_b": "n", "account_ids": [1],
            **_on_chain(1),
        },
        "lending_reserves": {**reserve, **_on_chain(1)},
        "stake_pool_rates": {
            "pubkey": "p", "mint": "m", "total_lamports": 1, "supply": 1, **_on_chain(1),
        },
        "wallet_holdings": {
            "wallet": "wallet", "mint": "m", "token_account": "t", "amount": 1, **_on_chain(1),
        },
        "bar_series": {"mint": "m", "venue": "v", "symbol": "s", "instrument": "spot"},
        "price_bars": {**bar, "batch_id": batch},
        "market_bars": bar,
        "swaps": {
            "signature": "s", "pool": "p", "slot": 1, "mint_a": "m", "mint_b": "n", "mint_in": "m",
            "mint_out": "n", "amount_in": 1, "amount_out": 1, "decimals_in": 6,
            "decimals_out": 9, "price": 1, "volume_a": 1, "volume_b": 1,
        },
        "strategies": {"user_id": owner, "slug": "s", "name": "n", "spec": Jsonb({})},
        "portfolios": {"user_id": owner, "name": "n", "wallet": "wallet", "hub_mint": "m"},
        "user_settings": {"user_id": owner},
        "optimization_requests": request_row,
        "backtest_requests": request_row,
        "versions": {
            "version": version, "kind": "weights", "subject": "s", "user_id": owner,
            "content_hash": "h", "inputs": Jsonb([]), "code_version": "c", "as_of": NOW,
        },
        "token_metrics": {"version": version, "mint": "m", "metrics": Jsonb({})},
        "weight_sets": {
            "version": version, "strategy_id": strategy, "status": "optimal",
            "solution": Jsonb({}),
        },
        "weights": {"version": version, "mint": "m", "weight": 1},
        "portfolio_states": {
            "version": version, "portfolio_id": portfolio, "nav": 1, "state": Jsonb({}),
        },
        "reallocation_plans": {
            "version": version, "portfolio_id": portfolio, "outcome": "failed", "reasons": ["r"],
            "plan": Jsonb({}), "plan_inputs": Jsonb({}),
        },
        "plan_trades": {
            "version": version, "step": 1, "side": "buy", "min_out": 1, "fee": 0,
            "impact_bps": 0, **trade,
        },
        "backtest_reports": {
            "version": version, "request_id": request, "outcome": "done", "report": Jsonb({}),
            "html": "",
        },
        "alert_rules": {"user_id": owner, "name": "n", "kind": "price_move"},
        "alerts": {
            "alert_id": alert, "rule_id": rule, "user_id": owner, "kind": "price_move",
            "subject": "m", "severity": "info", "message": "n", "observed_at": NOW,
        },
        "notification_channels": {
            "user_id": owner, "name": "n", "kind": "webhook", "secret": "gAAAA",
        },
        "notification_deliveries": {
            "alert_id": alert, "channel_id": channel, "user_id": owner, "event": "raised",
        },
    }  # fmt: skip


# Columns that a test row needs and users may not choose: given when the world is made only.
IDENTITIES = {
    "strategies": "strategy_id",
    "portfolios": "portfolio_id",
    "backtest_requests": "request_id",
    "alert_rules": "rule_id",
    "notification_channels": "channel_id",
}
REFERRED = {
    "strategies": "weight_sets",
    "portfolios": "portfolio_states",
    "backtest_requests": "backtest_reports",
    "alert_rules": "alerts",
    "notification_channels": "notification_deliveries",
}

# What to set in an update; a column that users may write where they may write any.
CHANGES = {
    "tokens": "symbol", "source_batches": "n_rows", "token_prices": "source",
    "pool_states": "kind", "lending_reserves": "program", "stake_pool_rates": "pubkey",
    "wallet_holdings": "amount", "bar_series": "quote", "price_bars": "close",
    "market_bars": "close", "swaps": "fee", "strategies": "name", "portfolios": "name",
    "user_settings": "settings", "versions": "run_id", "token_metrics": "metrics",
    "weight_sets": "reason", "weights": "weight", "portfolio_states": "nav",
    "reallocation_plans": "outcome", "plan_trades": "step", "backtest_reports": "outcome",
    "alert_rules": "name", "alerts": "kind", "notification_channels": "name",
    "notification_deliveries": "state",
}  # fmt: skip
CANCELLED = ("optimization_requests", "backtest_requests")


def insertion(table: str, row: Mapping[str, Any]) -> sql.Composed:
    return sql.SQL("insert into public.{} ({}) values ({})").format(
        sql.Identifier(table),
        sql.SQL(", ").join(map(sql.Identifier, row)),
        sql.SQL(", ").join(sql.Placeholder(name) for name in row),
    )


@pytest.fixture(scope="module")
def world(cluster) -> Any:
    from portfolio_platform_tests.store.postgres import clone, drop

    database = clone(cluster, f"t_rls_{uuid.uuid4().hex[:8]}")
    owner, other = database.add_user(), database.add_user()
    rows = samples(owner)
    with database.connect() as connection:
        for table, row in rows.items():
            identity = IDENTITIES.get(table)
            extra = {} if identity is None else {identity: rows[REFERRED[table]][identity]}
            connection.execute(insertion(table, {**row, **extra}), {**row, **extra})
    yield World(database, owner, other, rows)
    drop(database)


def public_tables(database: Database) -> list[str]:
    with database.connect() as connection:
        return [
            name
            for (name,) in connection.execute(
                "select relname from pg_class where relnamespace = 'public'::regnamespace "
                "and relkind in ('r', 'p', 'v', 'm', 'f') order by 1"
            )
        ]


def attempt(connection: psycopg.Connection, world: World, table: str, action: str) -> str:
    """Do one thing to the owner's row (for insert: make another such row)."""
    if action == "insert":
        # The same row again: the owner's may only be in the way once permission was given.
        statement, values = insertion(table, world.rows[table]), world.rows[table]
    else:
        change = CHANGES.get(table, "state")
        value = "'cancelled'" if table in CANCELLED else change
        text = {
            "select": f"select 1 from public.{table}",
            "update": f"update public.{table} set {change} = {value} where true",
            "delete": f"delete from public.{table} where true",
        }[action]
        statement, values = sql.SQL(text), None  # type: ignore[arg-type]
    try:
        cursor = connection.execute(statement, values)
    except psycopg.errors.InsufficientPrivilege:
        return "-"
    except (psycopg.errors.UniqueViolation, psycopg.errors.ForeignKeyViolation):
        return "y"  # permitted, and stopped by something that is not row security
    return "y" if cursor.rowcount else "0"


def enter(world: World, actor: str) -> Any:
    if actor in ("owner", "other"):
        return world.database.acting_as("authenticated", getattr(world, actor))
    return world.database.acting_as("service_role" if actor == "service" else "anon")


def test_every_public_table_is_listed_and_guarded(world: World) -> None:
    tables = public_tables(world.database)
    assert tables == sorted(EXPECTED), "list every new table in EXPECTED, with a sample row"
    with world.database.connect() as connection:
        unguarded = connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace "
            "and relkind in ('r', 'p') and not relrowsecurity"
        ).fetchall()
        views = connection.execute(
            "select relname from pg_class where relnamespace = 'public'::regnamespace "
            "and relkind = 'v' and not coalesce(reloptions, '{}') @> '{security_invoker=true}'"
        ).fetchall()
    assert unguarded == []
    assert views == []


@pytest.mark.parametrize("table", sorted(EXPECTED))
def test_who_may_do_what(world: World, table: str) -> None:
    found = {}
    for actor in ACTORS:
        word = ""
        for action in ACTIONS:
            with enter(world, actor) as connection:
                word += attempt(connection, world, table, action)
        found[actor] = word
    assert found == EXPECTED[table]


def test_rows_of_nobody_are_read_by_every_user_and_written_by_none(world: World) -> None:
    with world.database.acting_as("authenticated", world.other) as connection:
        connection.execute("reset role")
        for table in ("strategies", "optimization_requests", "backtest_requests"):
            row = {**world.rows[table], "user_id": None}
            connection.execute(insertion(table, row), row)
        connection.execute("set local role authenticated")
        for table in ("strategies", "optimization_requests", "backtest_requests"):
            assert attempt(connection, world, table, "select") == "y"
            assert attempt(connection, world, table, "update") == "0"


def test_users_cannot_set_what_the_platform_decides(world: World) -> None:
    for table, column, value in (
        ("optimization_requests", "version", "gen_random_uuid()"),
        ("optimization_requests", "progress", "1"),
        ("backtest_requests", "reason", "'x'"),
        ("strategies", "user_id", f"'{world.other}'"),
        ("portfolios", "portfolio_id", "gen_random_uuid()"),
    ):
        with (
            world.database.acting_as("authenticated", world.owner) as connection,
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            connection.execute(f"update public.{table} set {column} = {value} where true")
    with (
        world.database.acting_as("authenticated", world.owner) as connection,
        pytest.raises(psycopg.errors.CheckViolation, match="only be cancelled"),
    ):
        connection.execute("update public.optimization_requests set state = 'done' where true")


def test_a_user_without_a_subject_sees_nothing_of_users(world: World) -> None:
    with world.database.acting_as("authenticated") as connection:
        for table, expected in EXPECTED.items():
            if expected is not READ_BY_ALL_USERS:
                assert attempt(connection, world, table, "select") == "0", table


def test_an_identity_ends_with_its_transaction(world: World) -> None:
    from portfolio_platform.store import database as db

    with world.database.connect(autocommit=False) as connection:
        db.as_role(connection, "authenticated", f'{{"sub": "{world.owner}"}}')
        assert connection.execute("select auth.uid()").fetchone() == (world.owner,)
        connection.commit()
        assert connection.execute("select current_user, auth.uid()").fetchone() == (
            "postgres",
            None,
        )


def test_the_login_of_the_api_can_become_a_user_and_nothing_more(world: World) -> None:
    with world.database.connect("portfolio_api", autocommit=False) as connection:
        for forbidden in ("service_role", "postgres", "supabase_admin", "authenticator"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"set local role {forbidden}")
            connection.rollback()
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("select 1 from public.tokens")
        connection.rollback()
        connection.execute("set local role authenticated")
        assert attempt(connection, world, "tokens", "select") == "y"
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("delete from public.strategies where true")


def test_definer_functions_are_closed_to_the_public_and_pin_their_path(world: World) -> None:
    with world.database.connect() as connection:
        loose = connection.execute(
            "select p.oid::regprocedure::text from pg_proc as p "
            "where p.pronamespace in ('public'::regnamespace, 'ops'::regnamespace) "
            "and (has_function_privilege('anon', p.oid, 'execute') and p.prosecdef "
            "     or not coalesce(p.proconfig, '{}') @> array['search_path=\"\"'])"
        ).fetchall()
    assert loose == []


def test_internal_schemas_are_closed_to_users(world: World) -> None:
    for schema in ("ops", "chain", "partitions"):
        for role in ("anon", "authenticated"):
            with world.database.connect() as connection:
                allowed = connection.execute(
                    "select has_schema_privilege(%s, %s, 'usage')", [role, schema]
                ).fetchone()
            assert allowed == (False,)
