"""Answering stored optimization requests: cancellation at the last moment."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg import Connection

from portfolio_platform.defs.requests.optimization import answer_optimization
from portfolio_platform.settings import Settings
from portfolio_platform_tests.defs.world import World
from portfolio_platform_tests.store.postgres import Database


@pytest.fixture
def world(fresh_database: Database) -> World:
    return World.make(fresh_database, days=180)


def test_a_request_cancelled_while_it_is_decided_publishes_nothing(world: World) -> None:
    key = world.optimization()
    said: list[str] = []

    def connect() -> Connection[Any]:
        return world.database.connect(autocommit=False)

    def cancel(text: str) -> None:
        said.append(text)
        world.execute("update public.optimization_requests set state = 'cancelled'")

    answered = answer_optimization(connect, Settings(), key, "code-1", "run", cancel)
    assert said, "the request was not decided at all"
    assert answered == {"request": key, "state": "cancelled", "reason": None}
    assert world.execute("select count(*) from public.versions where kind = 'weights'") == [(0,)]
