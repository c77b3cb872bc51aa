"""Sensors on the change feed: exactly one effect per event, whatever fails in between."""

import random
import time

import pytest
from dagster import DagsterEvent, DagsterEventType, DagsterRunStatus
from dagster._core.scheduler.instigation import TickStatus

from portfolio_platform.cli.dead_letters import run_dead_letters
from portfolio_platform.defs.sensors import reconcile, watches
from portfolio_platform.settings import Settings
from portfolio_platform.store.feed import Consumer, SqlTransport, read
from portfolio_platform_tests.defs.daemon import Daemon
from portfolio_platform_tests.defs.world import World
from portfolio_platform_tests.store.postgres import Database

STRATEGIES = "strategies_changed"
OPTIMIZATIONS = "optimizations_requested"


@pytest.fixture
def world(fresh_database: Database) -> World:
    return World.make(fresh_database)


def statuses(daemon: Daemon, world: World, consumer: str) -> list[str]:
    """Statuses of the runs that this test's batches caused."""
    mine = {
        row[0]
        for row in world.execute(
            "select batch_id from ops.feed_batches where consumer = %s", consumer
        )
    }
    return [
        run.status.value for run in daemon.runs_of(consumer) if run.tags["portfolio/batch"] in mine
    ]


def missing(world: World, watch: watches.Watch) -> tuple[str, ...]:
    with world.database.connect() as connection:
        return reconcile.account(connection, watch).missing


def test_the_cursor_advances_after_the_run_has_succeeded(daemon: Daemon, world: World) -> None:
    key = world.strategy("mine")
    tick = daemon.tick(STRATEGIES)[STRATEGIES]
    assert tick.status is TickStatus.SUCCESS
    assert world.cursor(STRATEGIES) < world.end(), "a requested run is not a finished one"
    (run,) = [run for run in daemon.runs_of(STRATEGIES) if run.run_id in tick.run_ids]
    assert run.status is DagsterRunStatus.SUCCESS
    assert run.tags["dagster/partition"] == key
    assert [status for status, _ in world.weights_of(key)] == ["optimal"]

    daemon.tick(STRATEGIES)
    assert world.cursor(STRATEGIES) == world.end()
    assert world.open_batches() == 0
    assert missing(world, watches.STRATEGIES) == ()
    assert key in daemon.instance.get_dynamic_partitions("strategies")

    daemon.tick(STRATEGIES)
    assert statuses(daemon, world, STRATEGIES) == ["SUCCESS"]


def test_a_failed_run_is_tried_again_and_the_cursor_waits(daemon: Daemon, world: World) -> None:
    key = world.strategy("mine")
    world.refuse_publishing(key)
    before = world.end()
    daemon.tick(STRATEGIES)
    daemon.tick(STRATEGIES)
    assert statuses(daemon, world, STRATEGIES) == ["FAILURE", "FAILURE"]
    assert world.cursor(STRATEGIES) < before
    assert missing(world, watches.STRATEGIES) == (), "what was not passed is not missing"

    world.allow_publishing()
    daemon.tick(STRATEGIES)
    daemon.tick(STRATEGIES)
    assert statuses(daemon, world, STRATEGIES) == ["FAILURE", "FAILURE", "SUCCESS"]
    attempts = [run.tags["portfolio/attempt"] for run in daemon.runs_of(STRATEGIES)[-3:]]
    assert attempts == ["1", "2", "3"]
    assert world.cursor(STRATEGIES) == world.end()
    assert len(world.weights_of(key)) == 1


def test_poison_is_set_aside_with_the_reason_and_can_be_replayed(
    daemon: Daemon, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTFOLIO_SENSOR_MAX_ATTEMPTS", "2")
    poisoned, healthy = world.optimization(), world.optimization(lookback=40)
    world.refuse_publishing(poisoned)
    for _ in range(3):
        daemon.tick(OPTIMIZATIONS)
    assert world.request(healthy)["state"] == "done"
    given_up = world.request(poisoned)
    assert given_up["state"] == "failed"
    assert "given up" in given_up["reason"]
    assert "disk of" in given_up["reason"]
    assert statuses(daemon, world, OPTIMIZATIONS).count("FAILURE") == 2
    assert world.open_batches() == 0
    (letter,) = run_dead_letters(Settings())
    assert letter["keys"] == [poisoned]
    assert letter["consumer"] == OPTIMIZATIONS
    assert missing(world, watches.OPTIMIZATIONS) == ()

    world.allow_publishing()
    run_dead_letters(Settings(), replay=letter["id"])
    assert run_dead_letters(Settings()) == []
    daemon.tick(OPTIMIZATIONS)
    daemon.tick(OPTIMIZATIONS)
    assert world.request(poisoned)["state"] == "done"


def test_one_poisoned_key_of_many_is_found_and_the_rest_proceed(
    daemon: Daemon, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTFOLIO_SENSOR_MAX_ATTEMPTS", "1")
    keys = [world.strategy(f"s{number}") for number in range(6)]
    world.refuse_publishing(keys[2])
    for _ in range(6):
        daemon.tick(STRATEGIES)
    assert world.open_batches() == 0
    assert [len(world.weights_of(key)) for key in keys] == [1, 1, 0, 1, 1, 1]
    (letter,) = run_dead_letters(Settings())
    assert letter["keys"] == [keys[2]]


def test_what_events_name_does_not_depend_on_their_order_or_repetition(world: World) -> None:
    dice = random.Random(4)
    for number in range(3):
        world.touch(world.strategy(f"s{number}"), lookback=25)
        world.optimization(lookback=30 + number)
        world.execute(
            "insert into public.portfolios (user_id, name, wallet, hub_mint) "
            "values (%s, %s, %s, 'mintSOL')",
            world.user,
            f"p{number}",
            f"wallet{number % 2}",
        )
    world.execute("truncate public.user_settings")
    with SqlTransport(world.database.url()) as transport, world.database.connect() as connection:
        events = read(transport)
        for watch in (
            watches.MARKET,
            watches.STRATEGIES,
            watches.PORTFOLIOS,
            watches.OPTIMIZATIONS,
        ):
            mine = [event for event in events if event.table in watch.tables]
            expected = {key: set(at) for key, at in watch.resolve(connection, mine).items()}
            assert expected
            for _ in range(20):
                shuffled = mine + dice.sample(mine, k=len(mine) // 2)
                dice.shuffle(shuffled)
                found = watch.resolve(connection, shuffled)
                assert {key: set(at) for key, at in found.items()} == expected


def test_a_burst_causes_a_bounded_number_of_runs_and_the_newest_state_wins(
    daemon: Daemon, world: World
) -> None:
    keys = [world.strategy(f"s{number}") for number in range(3)]
    world.execute(
        "create function ops.burst(n int) returns void language plpgsql as $$ begin "
        "for i in 1..n loop "
        "update public.strategies set spec = spec || jsonb_build_object('lookback', 20 + i % 30) "
        "where strategy_id = (select strategy_id from public.strategies "
        "                     order by slug offset i % 3 limit 1); "
        "end loop; end $$"
    )
    world.execute("select ops.burst(9999)")
    for key in keys:
        world.touch(key, lookback=33)
    ((events,),) = world.execute("select count(*) from ops.change_log where relname = 'strategies'")
    assert events == 10_005
    for _ in range(4):
        daemon.tick(STRATEGIES)
    runs = statuses(daemon, world, STRATEGIES)
    assert set(runs) == {"SUCCESS"}
    assert len(runs) <= 3
    assert world.cursor(STRATEGIES) == world.end()
    assert missing(world, watches.STRATEGIES) == ()
    for key in keys:
        ((lookback,),) = world.execute(
            "select spec ->> 'lookback' from public.strategies where strategy_id::text = %s", key
        )
        assert lookback == "33"
        assert len(world.weights_of(key)) == 1


def test_a_burst_of_requests_is_answered_in_one_run_and_cancelled_ones_are_not(
    daemon: Daemon, world: World
) -> None:
    keys = [world.optimization(lookback=20 + number) for number in range(12)]
    refused = world.optimization(model="astrology")
    for key in keys[:4]:
        world.execute(
            "update public.optimization_requests set state = 'cancelled' "
            "where request_id::text = %s",
            key,
        )
    daemon.tick(OPTIMIZATIONS)
    daemon.tick(OPTIMIZATIONS)
    assert statuses(daemon, world, OPTIMIZATIONS) == ["SUCCESS"]
    states = [world.request(key) for key in keys]
    assert [one["state"] for one in states] == ["cancelled"] * 4 + ["done"] * 8
    assert all((one["version"] is None) == (one["state"] == "cancelled") for one in states)
    assert world.request(refused)["state"] == "failed"
    assert world.request(refused)["reason"].startswith("invalid_spec: model")
    ((own, subject),) = world.execute(
        "select v.user_id = %s, v.subject from public.versions as v where version::text = %s",
        world.user,
        states[-1]["version"],
    )
    assert (own, subject) == (True, keys[-1])
    assert world.open_batches() == 0


def test_two_daemons_cause_one_effect(daemon: Daemon, world: World) -> None:
    key = world.strategy("mine")
    with SqlTransport(world.database.url()) as transport:
        other = Consumer(transport, STRATEGIES)
        other.acquire()  # as a second daemon does in the middle of its tick
        tick = daemon.tick(STRATEGIES)[STRATEGIES]
        assert tick.status is TickStatus.SKIPPED
        assert "leased" in (tick.skip_reason or "")
        other.release()
    daemon.tick(STRATEGIES)
    daemon.tick(STRATEGIES)
    assert statuses(daemon, world, STRATEGIES) == ["SUCCESS"]
    assert len(world.weights_of(key)) == 1


def test_a_request_on_its_way_is_not_made_again_by_the_second_daemon(
    daemon: Daemon, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first daemon has evaluated and dies before it has created the run."""
    monkeypatch.setenv("PORTFOLIO_SENSOR_LAUNCH_GRACE_SECONDS", "60")
    key = world.strategy("mine")
    daemon.tick(STRATEGIES, crash={"RUN_IDS_RESERVED": RuntimeError("the daemon died here")})
    assert statuses(daemon, world, STRATEGIES) == []
    tick = daemon.tick(STRATEGIES)[STRATEGIES]
    resumed = statuses(daemon, world, STRATEGIES)
    assert resumed == ["SUCCESS"] or "on its way" in (tick.skip_reason or "")
    monkeypatch.setenv("PORTFOLIO_SENSOR_LAUNCH_GRACE_SECONDS", "0.01")
    daemon.tick(STRATEGIES)
    daemon.tick(STRATEGIES)
    assert statuses(daemon, world, STRATEGIES) == ["SUCCESS"]
    assert len(world.weights_of(key)) == 1
    assert world.cursor(STRATEGIES) == world.end()


def test_what_a_full_run_has_taken_in_is_not_recomputed(daemon: Daemon, world: World) -> None:
    from portfolio_platform.definitions import defs

    job = defs.resolve_job_def("recompute")
    world.strategy("mine")
    assert job.execute_in_process(instance=daemon.instance).success
    for _ in range(2):
        daemon.tick("market_data_changed", STRATEGIES, "portfolios_changed")
    for consumer in ("market_data_changed", STRATEGIES, "portfolios_changed"):
        assert statuses(daemon, world, consumer) == []
        assert world.cursor(consumer) == world.end()

    world.execute(
        "update public.market_bars set close = close * 1.01 where observed_at = "
        "(select max(observed_at) from public.market_bars)"
    )
    for _ in range(3):
        daemon.tick("market_data_changed")
    assert statuses(daemon, world, "market_data_changed") == ["SUCCESS"], "no feedback loop"
    assert world.cursor("market_data_changed") == world.end()
    with world.database.connect() as connection:
        account = reconcile.account(connection, watches.MARKET)
    assert account.consumed > 0
    assert account.missing == ()


def test_a_stream_of_prices_is_recomputed_at_intervals(
    daemon: Daemon, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    market = "market_data_changed"
    daemon.tick(market)
    daemon.tick(market)
    assert statuses(daemon, world, market) == ["SUCCESS"]
    monkeypatch.setenv("PORTFOLIO_SENSOR_REST_SECONDS", "600")
    for _ in range(3):
        world.execute("update public.market_bars set close = close * 1.001 where volume = 1")
        tick = daemon.tick(market)[market]
        assert "resting" in (tick.skip_reason or "")
    monkeypatch.setenv("PORTFOLIO_SENSOR_REST_SECONDS", "0")
    daemon.tick(market)
    daemon.tick(market)
    assert statuses(daemon, world, market) == ["SUCCESS", "SUCCESS"]
    assert world.cursor(market) == world.end()


def test_the_reconciliation_notices_an_event_that_was_passed_and_not_taken_in(
    daemon: Daemon, world: World
) -> None:
    key = world.strategy("mine")
    daemon.tick(STRATEGIES)
    daemon.tick(STRATEGIES)
    world.touch(key, lookback=45)
    with (
        SqlTransport(world.database.url()) as transport,
        Consumer(transport, STRATEGIES) as consumer,
    ):
        consumer.poll()
        consumer.advance()  # a consumer that loses events
    assert missing(world, watches.STRATEGIES) == (key,)


@pytest.mark.parametrize("reached", ["starting", "started"])
def test_a_dead_run_is_noticed_and_its_work_done(
    daemon: Daemon, world: World, reached: str
) -> None:
    """The run worker was killed: the run goes on for ever and nobody holds its lock."""
    key = world.strategy("mine")
    daemon.tick(STRATEGIES, crash={"RUN_CREATED": RuntimeError("the daemon died here")})
    run = daemon.runs_of(STRATEGIES)[-1]
    assert run.tags["dagster/partition"] == key
    kinds = [DagsterEventType.RUN_STARTING, DagsterEventType.RUN_START]
    for kind in kinds[: 1 if reached == "starting" else 2]:
        daemon.instance.report_dagster_event(DagsterEvent(kind.value, run.job_name), run.run_id)
    deadline = time.monotonic() + 20
    while world.open_batches() and time.monotonic() < deadline:
        daemon.tick(STRATEGIES)
    assert len(world.weights_of(key)) == 1
    assert "FAILURE" in statuses(daemon, world, STRATEGIES)
    assert statuses(daemon, world, STRATEGIES)[-1] == "SUCCESS"


def test_a_restored_database_is_looked_at_as_a_whole(daemon: Daemon, world: World) -> None:
    key = world.strategy("mine")
    daemon.tick(STRATEGIES)
    daemon.tick(STRATEGIES)
    world.execute("update ops.feed_epoch set cluster_identity = 'another cluster'")
    world.touch(key, lookback=45)
    for _ in range(3):
        daemon.tick(STRATEGIES)
    assert len(world.weights_of(key)) == 2
    assert world.open_batches() == 0
    assert missing(world, watches.STRATEGIES) == ()


def test_deleted_strategies_leave_no_partition_behind(daemon: Daemon, world: World) -> None:
    key = world.strategy("mine")
    daemon.tick(STRATEGIES)
    daemon.tick(STRATEGIES)
    world.execute("delete from public.strategies where strategy_id::text = %s", key)
    daemon.tick(STRATEGIES)
    assert key not in daemon.instance.get_dynamic_partitions("strategies")
    assert world.cursor(STRATEGIES) == world.end()
