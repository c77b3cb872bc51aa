"""A portfolio follows only strategies that its owner can read."""

import uuid

import psycopg
import pytest

from portfolio_platform_tests.store.postgres import Database


def _strategy(conn: psycopg.Connection, owner: uuid.UUID | None) -> uuid.UUID:
    (strategy,) = conn.execute(
        "insert into public.strategies (user_id, slug, name, spec) values (%s, %s, 'x', '{}') "
        "returning strategy_id",
        [owner, f"s{uuid.uuid4().hex[:12]}"],
    ).fetchone()
    return strategy


def test_another_users_strategy_cannot_be_followed(database: Database) -> None:
    with database.connect("supabase_admin") as admin:
        mine, theirs = (
            admin.execute(
                "insert into auth.users (email) values (%s) returning id",
                [f"{uuid.uuid4()}@example.org"],
            ).fetchone()[0]
            for _ in range(2)
        )
    with database.connect() as owner:
        shared, own, foreign = (_strategy(owner, who) for who in (None, mine, theirs))

    def open_portfolio(strategy: uuid.UUID) -> None:
        with database.acting_as("authenticated", mine) as conn:
            conn.execute(
                "insert into public.portfolios (user_id, name, wallet, hub_mint, strategy_id) "
                "values (%s, 'p', 'w', 'h', %s)",
                [mine, strategy],
            )

    open_portfolio(shared)
    open_portfolio(own)
    for strategy in (foreign, uuid.uuid4()):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            open_portfolio(strategy)
