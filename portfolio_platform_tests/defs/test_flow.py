"""What is noticed when events do not flow, and that none is lost by it."""

import shutil
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from dagster import RunRequest, SkipReason, build_schedule_context

from portfolio_platform.defs.monitoring import flow
from portfolio_platform.defs.monitoring.assets import alerts_every_five_minutes
from portfolio_platform.defs.sensors import reconcile, watches
from portfolio_platform.store import migrate
from portfolio_platform.store.feed import Consumer, SqlTransport
from portfolio_platform_tests.defs.daemon import Daemon
from portfolio_platform_tests.defs.world import World
from portfolio_platform_tests.store.postgres import Database

STRATEGIES = "strategies_changed"
# A run holds the lock that proves it alive.
RUNNING = (
    "select exists (select from pg_locks as l join pg_database as d on d.oid = l.database "
    "where l.locktype = 'advisory' and l.mode = 'ShareLock' and d.datname = current_database())"
)


@pytest.fixture
def world(fresh_database: Database) -> World:
    return World.make(fresh_database)


def checks(daemon: Daemon) -> dict[str, bool]:
    """Outcome of each check that runs with the alerts."""
    from portfolio_platform.definitions import defs

    result = defs.resolve_job_def("watch_alerts").execute_in_process(instance=daemon.instance)
    return {one.check_name: one.passed for one in result.get_asset_check_evaluations()}


def at_minute(minute: int) -> object:
    moment = datetime(2026, 6, 1, 12, minute, tzinfo=UTC)
    with build_schedule_context(scheduled_execution_time=moment) as context:
        return alerts_every_five_minutes(context)


def test_a_writer_idle_in_its_transaction_is_noticed_and_loses_nothing(
    daemon: Daemon, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.tick(STRATEGIES)
    assert checks(daemon)["change_feed_is_flowing"]
    assert isinstance(at_minute(5), SkipReason)
    assert isinstance(at_minute(0), RunRequest), "the checks are made once an hour in any case"

    monkeypatch.setattr(flow, "LONGEST_HOLD_SECONDS", 0.0)
    with world.database.connect(autocommit=False) as idle:
        idle.execute("insert into public.tokens (mint, symbol) values ('idle', 'I')")
        key = world.strategy("held-back")
        daemon.tick(STRATEGIES)
        assert world.weights_of(key) == [], "the event waits behind the open transaction"
        assert isinstance(at_minute(5), RunRequest), "no rule is needed to notice"
        assert not checks(daemon)["change_feed_is_flowing"]
        idle.commit()
    for _ in range(2):
        daemon.tick(STRATEGIES)
    assert len(world.weights_of(key)) == 1
    assert world.cursor(STRATEGIES) == world.end()
    with world.database.connect() as connection:
        assert reconcile.account(connection, watches.STRATEGIES).missing == ()
    assert checks(daemon)["change_feed_is_flowing"]
    assert isinstance(at_minute(5), SkipReason)


def test_a_consumer_that_passes_an_event_without_its_effect_fails_the_reconciliation(
    daemon: Daemon, world: World
) -> None:
    world.strategy("mine")
    for _ in range(2):
        daemon.tick(STRATEGIES)
    assert checks(daemon)["consumed_events_are_materialised"]
    world.strategy("forgotten")
    with (
        SqlTransport(world.database.url()) as transport,
        Consumer(transport, STRATEGIES) as consumer,
    ):
        consumer.poll()
        consumer.advance()
    assert not checks(daemon)["consumed_events_are_materialised"]


def migration_of_the_day(directory: Path) -> None:
    """Everything shipped, and one more that locks what runs read and write."""
    for file in migrate.MIGRATIONS.glob("*.sql"):
        shutil.copy(file, directory)
    (directory / "29990101000000_while_running.sql").write_text(
        "alter table public.strategies add column remark text not null default '';\n"
        "alter table public.versions add column remark text;\n"
        "alter table public.weight_sets alter column reason type varchar;\n"
        "create index weight_sets_remark on public.weight_sets (status);\n"
        "alter table public.market_bars add column remark text;\n"
    )


def test_a_migration_while_runs_are_going_costs_no_effect(
    daemon: Daemon, world: World, tmp_path: Path
) -> None:
    migration_of_the_day(tmp_path)
    keys = [world.strategy(f"s{number}") for number in range(2)]
    applied: list[object] = []

    def apply() -> None:
        while world.execute(RUNNING) == [(False,)]:
            time.sleep(0.002)
        applied.extend(migrate.migrate(world.database.url(), tmp_path))

    migrating = threading.Thread(target=apply)
    migrating.start()
    while migrating.is_alive():
        world.touch(keys[0], lookback=30)
        daemon.tick(STRATEGIES)
    assert len(applied) == 1
    for _ in range(6):
        if world.open_batches() == 0 and world.cursor(STRATEGIES) == world.end():
            break
        daemon.tick(STRATEGIES)
    assert world.cursor(STRATEGIES) == world.end()
    with world.database.connect() as connection:
        assert reconcile.account(connection, watches.STRATEGIES).missing == ()
    for key in keys:
        statuses = [status for status, _ in world.weights_of(key)]
        assert statuses
        assert set(statuses) == {"optimal"}
    assert world.execute("select count(*) from ops.dead_letters") == [(0,)]
