"""What is noticed when events do not flow, and that none is lost by it."""

from datetime import UTC, datetime

import pytest
from dagster import RunRequest, SkipReason, build_schedule_context

from portfolio_platform.defs.monitoring import flow
from portfolio_platform.defs.monitoring.assets import alerts_every_five_minutes
from portfolio_platform.defs.sensors import reconcile, watches
from portfolio_platform.store.feed import Consumer, SqlTransport
from portfolio_platform_tests.defs.daemon import Daemon
from portfolio_platform_tests.defs.world import World
from portfolio_platform_tests.store.postgres import Database

STRATEGIES = "strategies_changed"


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
