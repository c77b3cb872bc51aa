"""Answering stored backtest requests: trials counted, lineage, kills, cancellation, versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from psycopg import Connection
from psycopg.types.json import Jsonb

from portfolio_platform.defs.backtest.reports import answer_backtest
from portfolio_platform.settings import Settings
from portfolio_platform_tests.defs.world import World
from portfolio_platform_tests.store.postgres import Database

SPEC: dict[str, Any] = {
    "family": "tested",
    "strategies": ["mine"],
    "rebalance": {"every": 1},
    "validation": {"bootstraps": 100, "cscv_blocks": 4, "cpcv": None},
    "risk_simulation": {"paths": 100, "horizon": 10, "stress": []},
    "seed": 5,
}


@pytest.fixture
def world(fresh_database: Database) -> World:
    made = World.make(fresh_database, days=180)
    made.strategy("mine")
    return made


def ask(world: World, **changes: Any) -> str:
    ((key,),) = world.execute(
        "insert into public.backtest_requests (user_id, spec) values (%s, %s) "
        "returning request_id::text",
        world.user,
        Jsonb({**SPEC, **changes}),
    )
    return str(key)


def transaction(world: World) -> Connection:
    """A connection as the platform's: committed when its block ends."""
    return world.database.connect(autocommit=False)


def cancel_when(world: World, condition: str) -> None:
    """Cancel every request, from a connection of its own, once `condition` holds."""
    world.execute(
        f"update public.backtest_requests set state = 'cancelled' where exists ({condition})"
    )


def answer(world: World, key: str, connect: Any = None, said: list[str] | None = None) -> Any:
    say = (said if said is not None else []).append
    return answer_backtest(
        connect or (lambda: transaction(world)), Settings(), key, "code-1", "run", say
    )


def published(world: World, key: str) -> tuple[str, list[dict[str, Any]], dict[str, Any]]:
    """Content hash and inputs of the version, and the report."""
    ((digest, inputs, report),) = world.execute(
        "select v.content_hash, v.inputs, r.report from public.backtest_reports as r "
        "join public.versions as v using (version) where r.request_id::text = %s",
        key,
    )
    return digest, inputs, report


def test_an_identical_request_is_no_new_trial_and_the_count_is_in_the_lineage(world: World) -> None:
    first, again = ask(world), ask(world)
    assert answer(world, first)["state"] == "done"
    assert answer(world, again)["state"] == "done"
    one, two = published(world, first), published(world, again)
    assert one[0] == two[0]
    assert one[2]["content_hash"] == two[2]["content_hash"]
    trials = [item for item in one[1] if item["kind"] == "trials"]
    assert [(item["id"], item["count"]) for item in trials] == [(f"{world.user}/tested", 1)]
    assert answer(world, ask(world, execution_lag=2))["state"] == "done"
    rows = world.execute(
        "select status, code_version, seed, requested_by, request_id::text "
        "from ops.trials order by trial_id"
    )
    assert rows[0] == ("done", "code-1", 5, world.user, first)
    assert len(rows) == 2
    deflated = ask(world)
    answer(world, deflated)
    third = published(world, deflated)
    assert third[2]["validation"]["family"]["count"] == 2
    assert third[0] != one[0]


class Killed(RuntimeError):
    """The process is gone."""


def dying(world: World, after: int) -> Any:
    """Connections of a process that dies once `after` blocks are stored."""

    @contextmanager
    def connect() -> Iterator[Connection]:
        with transaction(world) as connection:
            ((stored,),) = connection.execute("select count(*) from ops.backtest_blocks").fetchall()
            if stored >= after:
                raise Killed
            yield connection

    return connect


def test_a_killed_run_continues_from_its_last_stored_block(world: World) -> None:
    whole, killed = ask(world), ask(world)
    answer(world, whole)
    with pytest.raises(Killed):
        answer(world, killed, dying(world, after=1))
    state = "select state, progress from public.backtest_requests where request_id::text = %s"
    ((left, progress),) = world.execute(state, killed)
    assert left == "running"
    assert 0.0 < progress < 1.0
    # A block that was kept is taken as it stands: no decision of it is made again.
    world.execute(
        "update ops.backtest_blocks set decisions = jsonb_set(decisions, '{0,weights}', '{}')"
    )
    said: list[str] = []
    assert answer(world, killed, said=said)["state"] == "done"
    assert "continues after 64 stored decisions" in said
    resumed, unbroken = published(world, killed)[2], published(world, whole)[2]
    mine, other = resumed["strategies"]["mine"], unbroken["strategies"]["mine"]
    assert mine["decisions"] == other["decisions"] > 64
    assert mine["equity"][:2] != other["equity"][:2]
    assert world.execute("select count(*) from ops.backtest_blocks") == [(0,)]


def test_a_cancelled_run_stops_at_the_next_block_and_counts_as_tried(world: World) -> None:
    key = ask(world)

    @contextmanager
    def connect() -> Iterator[Connection]:
        cancel_when(world, "select from ops.backtest_blocks")
        with transaction(world) as connection:
            yield connection

    assert answer(world, key, connect) == {"request": key, "state": "cancelled", "reason": None}
    assert world.execute("select status from ops.trials") == [("abandoned",)]
    assert world.execute("select count(*) from public.backtest_reports") == [(0,)]
    assert world.execute("select count(*) from ops.backtest_blocks") == [(0,)]
    assert answer(world, ask(world))["state"] == "done"
    assert world.execute("select status from ops.trials") == [("done",)]


def test_a_request_cancelled_at_the_last_moment_publishes_nothing(world: World) -> None:
    key = ask(world)

    @contextmanager
    def connect() -> Iterator[Connection]:
        cancel_when(world, "select from ops.trials where status = 'done'")
        with transaction(world) as connection:
            yield connection

    assert answer(world, key, connect)["state"] == "cancelled"
    assert world.execute("select count(*) from public.versions where kind = 'backtest'") == [(0,)]
    assert world.execute("select status from ops.trials") == [("done",)]


def test_a_trial_taken_out_of_the_registry_is_seen(world: World) -> None:
    for lag in (1, 2, 3):
        answer(world, ask(world, execution_lag=lag))
    world.execute("delete from ops.trials where trial_id = (select min(trial_id) from ops.trials)")
    said = answer(world, ask(world, execution_lag=4))
    assert said["outcome"] == "partial"
    assert "trials were removed or changed" in said["reason"]


def test_the_previous_version_of_a_strategy_is_a_benchmark(world: World) -> None:
    rivals = [{"kind": "equal_weight"}, {"kind": "previous"}]
    said = answer(world, ask(world, benchmarks=rivals))
    assert said["outcome"] == "partial"
    assert "changed before" in said["reason"]
    ((key,),) = world.execute("select strategy_id::text from public.strategies where slug = 'mine'")
    world.execute(
        "update public.strategies set spec = spec || %s where strategy_id::text = %s",
        Jsonb({"model": "Classic", "bounds": {"upper": 0.4}}),
        key,
    )
    changed = ask(world, benchmarks=rivals)
    assert answer(world, changed)["outcome"] == "complete"
    _, inputs, report = published(world, changed)
    assert list(report["benchmarks"]) == ["equal weight", "previous version"]
    before = report["benchmarks"]["previous version"]["equity"]
    assert before != report["strategies"]["mine"]["equity"]
    assert f"{key}/previous" in [item["id"] for item in inputs]
