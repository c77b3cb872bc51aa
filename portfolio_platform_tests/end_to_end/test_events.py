"""Events to effects through real processes: killed daemons, lost backends, a dead channel."""

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from dagster import DagsterInstance

from portfolio_platform.cli.listen import listen
from portfolio_platform.defs.portfolio.materialise import materialise_weights
from portfolio_platform.defs.sensors import reconcile, watches
from portfolio_platform.settings import Settings
from portfolio_platform.store.database import connect
from portfolio_platform_tests.defs.conftest import (
    cluster,
    daemon,
    daemon_of_session,
    dagster_home,
    fresh_database,
    instance,
    platform_home,
)
from portfolio_platform_tests.defs.daemon import Daemon
from portfolio_platform_tests.defs.world import World
from portfolio_platform_tests.store.postgres import Database

__all__ = [
    "cluster",
    "daemon",
    "daemon_of_session",
    "dagster_home",
    "fresh_database",
    "instance",
    "platform_home",
]

SENSORS = ("strategies_changed", "optimizations_requested")


@pytest.fixture
def world(fresh_database: Database, platform_home: Path) -> World:
    return World.make(fresh_database)


class Lives:
    """A daemon process that is killed and started again."""

    def __init__(self, home: Path) -> None:
        self._host = subprocess.Popen(
            [sys.executable, "-m", "portfolio_platform_tests.defs.daemon", str(home), *SENSORS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=dict(os.environ),
        )
        self._child = 0

    def begin(self) -> None:
        assert self._host.stdin is not None
        assert self._host.stdout is not None
        self._host.stdin.write("\n")
        self._host.stdin.flush()
        self._child = int(self._host.stdout.readline())
        assert self._host.stdout.readline() == "ticking\n"

    def kill(self) -> None:
        os.kill(self._child, signal.SIGKILL)

    def end(self) -> None:
        self.kill()
        assert self._host.stdin is not None
        self._host.stdin.close()
        self._host.wait(10)


@contextmanager
def lives(home: Path) -> Iterator[Lives]:
    running = Lives(home)
    running.begin()
    yield running
    running.end()


def settled(world: World) -> bool:
    """Whether every request is answered and every event passed."""
    ((open_requests,),) = world.execute(
        "select count(*) from public.optimization_requests where state in ('queued', 'running')"
    )
    ((behind,),) = world.execute(
        "select count(*) from public.feed_lag() where consumer = any (%s) and events > 0",
        list(SENSORS),
    )
    return open_requests == 0 and behind == 0 and world.open_batches() == 0


def wait_until_settled(world: World, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not settled(world):
        assert time.monotonic() < deadline, "events were not settled in time"
        time.sleep(0.2)


def assert_exact(world: World, strategies: list[str], asked: list[str]) -> None:
    """Every event had its effect once, and the results are those of an undisturbed run."""
    assert world.execute("select count(*) from ops.dead_letters") == [(0,)]
    for key in asked:
        assert world.request(key)["state"] == "done"
    answers = dict(
        world.execute(
            "select s.request_id::text, count(*) from public.weight_sets as s "
            "where s.request_id is not null group by 1"
        )
    )
    assert answers == dict.fromkeys(asked, 1)
    with world.database.connect() as connection:
        for watch in (watches.STRATEGIES, watches.OPTIMIZATIONS):
            assert reconcile.account(connection, watch).missing == ()
    with connect(world.database.url()) as connection:
        again = materialise_weights(connection, Settings(), "undisturbed", None)
    assert {str(row["strategy_id"]) for row in again} == set(strategies)
    assert not any(row["new"] for row in again), "an undisturbed run publishes the same content"


# When to kill: in the middle of an asset (its run holds the lock that proves it alive), between
# the tick that requested a run and the cursor that follows it, or whenever.
MOMENTS = {
    "an asset is being materialised": (
        "select exists (select from pg_locks as l join pg_database as d on d.oid = l.database "
        "where l.locktype = 'advisory' and l.mode = 'ShareLock' "
        "and d.datname = current_database())"
    ),
    "a batch is open": "select exists (select from ops.feed_batches where closed_at is null)",
    "now": "select true",
}


def wait_for_moment(world: World, moment: str) -> None:
    deadline = time.monotonic() + 5
    with world.database.connect() as connection:
        while time.monotonic() < deadline:
            if connection.execute(MOMENTS[moment].encode()).fetchone() == (True,):
                return
            time.sleep(0.002)


def disturb(
    world: World, home: Path, events: int, kills: int, seed: int, *, second: bool = False
) -> None:
    """Events while a daemon is killed again and again, with a second one beside it or not."""
    dice = random.Random(seed)
    strategies = [world.strategy(f"s{number}") for number in range(5)]
    asked: list[str] = []
    kill_at = set(dice.sample(range(1, events), kills))
    with lives(home) as daemon_process, lives(home) if second else nullcontext():
        for number in range(events):
            if dice.random() < 0.5:
                asked.append(world.optimization(lookback=dice.randint(20, 50)))
            else:
                world.touch(dice.choice(strategies), lookback=dice.randint(20, 50))
            if number in kill_at:
                wait_for_moment(world, dice.choice(list(MOMENTS)))
                daemon_process.kill()
                daemon_process.begin()
            if number == events // 2:
                world.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )
        for key in strategies[: max(1, kills // 5)]:
            # Nothing comes after these that would hide their loss.
            wait_until_settled(world, 60 + events)
            world.touch(key, lookback=51)
            wait_for_moment(world, "an asset is being materialised")
            daemon_process.kill()
            daemon_process.begin()
        wait_until_settled(world, 60 + events)
    assert_exact(world, strategies, asked)


def test_killed_daemons_and_lost_backends_lose_and_double_nothing(
    world: World, dagster_home: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTFOLIO_SENSOR_MAX_ATTEMPTS", "50")
    disturb(world, dagster_home, events=18, kills=2, seed=5)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_a_thousand_events_and_twenty_kills(
    world: World, dagster_home: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTFOLIO_SENSOR_MAX_ATTEMPTS", "50")
    disturb(world, dagster_home, events=1000, kills=20, seed=11)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
def test_two_daemons_at_once_of_which_one_is_killed(
    world: World, dagster_home: Path, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORTFOLIO_SENSOR_MAX_ATTEMPTS", "50")
    disturb(world, dagster_home, events=200, kills=8, seed=3, second=True)


@contextmanager
def listening(said: list[str]) -> Iterator[None]:
    """`portfolio-platform listen` in a thread."""
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(listen(Settings(), said.append, stop))
    )
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        assert not thread.is_alive()
        loop.close()


def wait_for(condition: object, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def test_the_listener_answers_at_once_and_sensors_find_what_it_missed(
    world: World,
    daemon: Daemon,
    dagster_home: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    monkeypatch.setenv("PORTFOLIO_UI_PORT", "1")  # nothing answers there: runs are in process
    said: list[str] = []
    with listening(said):
        wait_for(lambda: any("listening" in line for line in said))
        first = world.optimization()
        wait_for(lambda: world.request(first)["state"] == "done")
        strategy = world.strategy("mine")
        wait_for(lambda: len(world.weights_of(strategy)) == 1)

        world.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity "
            "where application_name = 'portfolio_platform listen' "
            "and datname = current_database()"
        )
        unheard = world.optimization(lookback=40)
        wait_for(lambda: world.request(unheard)["state"] == "done")
        wait_for(lambda: sum("listening at" in line for line in said) == 2)
        assert not any("password" in line for line in said)

    while_down = world.optimization(lookback=45)
    # A daemon killed by another test may have left a tick that comes first: look until settled.
    deadline = time.monotonic() + 30
    while not settled(world):
        assert time.monotonic() < deadline, "the sensors did not find what the listener missed"
        daemon.tick(*SENSORS)
    assert world.request(while_down)["state"] == "done"
    assert_exact(world, [strategy], [first, unheard, while_down])
    batches = {row[0] for row in world.execute("select batch_id from ops.feed_batches")}
    tags = [
        run.tags["portfolio/unit"]
        for run in daemon.runs_of("optimizations_requested")
        if run.tags["portfolio/batch"] in batches
    ]
    assert len(tags) >= 3
    assert len(tags) == len(set(tags)), "listener and sensor never ran the same work twice"
