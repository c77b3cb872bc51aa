"""What a sensor watches: which tables, what an event can have changed, how it is recomputed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from psycopg import Connection

from portfolio_platform.settings import Settings
from portfolio_platform.store.feed import Event, Position

Work = Mapping[str, Collection[Position]]
FULL_RUNS = frozenset({"everything", "refresh", "recompute", "__ASSET_JOB"})


@dataclass(frozen=True)
class Policy:
    """Bounds of a sensor.

    Attributes
    ----------
    max_attempts : int
        Runs of one unit of work before it is split or set aside.
    first_delay, longest_delay : float
        Seconds of back-off after the first failure, doubled after each further one up to a limit.
    few : int
        Up to this many keys get a run of their own; more share one.
    run_budget : int
        Runs of one batch, splits included, after which the rest is set aside.
    launch_grace : float
        Seconds that a requested run may take to appear before it is requested again.
    silence : float
        Seconds without a sign of life after which a started run counts as dead.
    patience : float
        Seconds to wait for a full run in progress that may cover the events.
    max_events : int
        Events gathered into one batch.
    rest : float
        Seconds between two batches of a watch that rests.
    """

    max_attempts: int = 3
    first_delay: float = 10.0
    longest_delay: float = 600.0
    few: int = 4
    run_budget: int = 40
    launch_grace: float = 30.0
    silence: float = 60.0
    patience: float = 120.0
    max_events: int = 10_000
    rest: float = 30.0

    def delay(self, attempt: int) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1)."""
        return min(self.longest_delay, self.first_delay * 2 ** (attempt - 1))


@dataclass(frozen=True)
class Unit:
    """Keys of a batch that one run materialises.

    Attributes
    ----------
    label : str
        Names the unit within its batch: the range of its keys in their order.
    alone : bool
        The unit is one key, which has a partition of its own.
    """

    label: str
    keys: tuple[str, ...]
    alone: bool

    def halves(self) -> tuple[Unit, Unit]:
        """The same keys in two units."""
        start = int(self.label.partition(":")[0])
        middle = len(self.keys) // 2
        return unit_of(start, self.keys[:middle]), unit_of(start + middle, self.keys[middle:])


def unit_of(start: int, keys: tuple[str, ...]) -> Unit:
    """The unit of `keys`, which begin at `start` in the order of the batch."""
    return Unit(f"{start}:{start + len(keys)}", keys, alone=len(keys) == 1)


@dataclass(frozen=True)
class Launch:
    """How a unit is run: a job, and its partition, its assets or its configuration."""

    job_name: str
    partition_key: str | None = None
    asset_names: tuple[str, ...] = ()
    run_config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Watch:
    """One consumer of the change feed.

    Attributes
    ----------
    consumer : str
        Name of cursor, lease, dead letters and sensor.
    tables : frozenset of str
        Events of other tables are passed over.
    resolve : callable
        From events to the work they name: key to positions. Empty: nothing can have changed.
    needed : callable
        The keys of some work that are still to do, by the state of the tables.
    all_keys : callable
        Every key there is; asked after a restore, and where an event does not list its own.
    launch : callable
        How the still needed keys of a unit are run.
    whole : bool
        All keys of a batch belong to one run that is never split.
    waits_for : frozenset of str
        Jobs whose run in progress may make the work unnecessary.
    give_up : callable or None
        Records against the keys themselves that they were set aside, with the reason.
    partitions : str or None
        Dynamic partitions that follow the keys.
    rests : bool
        Pauses between two batches that caused runs; events gather meanwhile.
    """

    consumer: str
    tables: frozenset[str]
    resolve: Callable[[Connection, Sequence[Event]], Work]
    needed: Callable[[Connection, Work], set[str]]
    all_keys: Callable[[Connection], Collection[str]]
    launch: Callable[[str, Unit, Collection[str]], Launch]
    whole: bool = False
    waits_for: frozenset[str] = frozenset()
    give_up: Callable[[Connection, Collection[str], str], None] | None = None
    partitions: str | None = None
    rests: bool = False
    policy: Policy = field(default_factory=Policy)

    def tuned(self, settings: Settings) -> Watch:
        """The same watch under the bounds of the settings."""
        return replace(
            self,
            policy=replace(
                self.policy,
                max_attempts=settings.sensor_max_attempts,
                first_delay=settings.sensor_retry_seconds,
                silence=settings.sensor_silence_seconds,
                launch_grace=settings.sensor_launch_grace_seconds,
                rest=settings.sensor_rest_seconds,
            ),
        )

    def units(self, keys: Sequence[str]) -> list[Unit]:
        """The first division of a batch's keys into runs."""
        if self.whole:
            return [Unit("all", tuple(keys), alone=False)]
        if len(keys) <= self.policy.few:
            return [unit_of(start, (key,)) for start, key in enumerate(keys)]
        return [unit_of(0, tuple(keys))]
