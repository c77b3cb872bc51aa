"""One look of a sensor at the change feed.

Events are gathered into a batch that stays open until everything it names has been materialised
or set aside; only then the cursor moves. What was tried is read from the tags of run records, so
that a crash anywhere repeats a look and never a result.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from dagster import AssetKey, DagsterInstance, RunRequest, RunsFilter
from psycopg import Connection

from portfolio_platform.defs.sensors import attempts
from portfolio_platform.defs.sensors.watch import Unit, Watch
from portfolio_platform.store import batches, feed
from portfolio_platform.store.batches import Batch
from portfolio_platform.store.database import connect
from portfolio_platform.store.feed import Consumer, Event, LeaseHeld, Position, SqlTransport

_BATCHES_PER_LOOK = 20
_EVENTS_PER_READ = 10_000


@dataclass
class Look:
    """Outcome of one look: runs to request, what to say when there are none, what stays open."""

    requests: list[RunRequest] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    open: bool = False

    @property
    def message(self) -> str:
        """One line for the tick."""
        return "; ".join(self.said) or "nothing new in the change feed"


@dataclass
class _Settlement:
    """How far a batch is: what to run now, what to wait for, what cannot be done."""

    launches: dict[str, tuple[int, RunRequest]] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    poison: dict[str, str] = field(default_factory=dict)
    done: int = 0


def look(watch: Watch, instance: DagsterInstance, database_url: str) -> Look:
    """Gather, settle and close batches until there is something to run or to wait for."""
    with (
        connect(
            database_url, autocommit=True, application_name="portfolio_platform sensor"
        ) as conn,
        SqlTransport(database_url) as transport,
    ):
        consumer = Consumer(transport, watch.consumer)
        try:
            consumer.acquire()
        except LeaseHeld as held:
            return Look(said=[str(held)], open=True)
        try:
            return _look(watch, instance, conn, consumer, transport)
        except LeaseHeld as held:
            return Look(said=[str(held)])
        finally:
            consumer.release()


def _look(
    watch: Watch,
    instance: DagsterInstance,
    conn: Connection,
    consumer: Consumer,
    transport: SqlTransport,
) -> Look:
    found = Look()
    for _ in range(_BATCHES_PER_LOOK):
        batch = _open_batch(watch, conn, consumer) or _gather(watch, conn, consumer, found)
        if batch is None:
            return found
        settled = _settle(watch, instance, conn, batch)
        if settled.launches:
            batches.note_asked(
                conn, batch, {label: number for label, (number, _) in settled.launches.items()}
            )
            found.requests += [request for _, request in settled.launches.values()]
        if settled.launches or settled.waiting:
            found.said += settled.waiting
            found.open = True
            return found
        _close(watch, conn, consumer, transport, batch, settled)
        found.said.append(
            f"{batch.n_events} events settled: {settled.done} units done, "
            f"{len(settled.poison)} keys set aside"
        )
    return found


def _open_batch(watch: Watch, conn: Connection, consumer: Consumer) -> Batch | None:
    batch = batches.current(conn, watch.consumer)
    if batch is None:
        return None
    outdated = consumer.must_reconcile and batch.reconcile_at is None
    if batch.epoch != consumer.epoch or outdated:
        batches.close(conn, batch, {"superseded": "the database was restored"})
        return None
    if batch.reconcile_at is None:
        consumer.rewind()
        if batch.to <= consumer.position:
            batches.close(conn, batch, {"closed": "after a crash; the cursor had moved"})
            return None
    return batch


def _gather(watch: Watch, conn: Connection, consumer: Consumer, found: Look) -> Batch | None:
    if consumer.must_reconcile:
        return _reconcile(watch, conn, consumer)
    consumer.rewind()
    passed = 0
    rested = batches.rested(conn, watch.consumer) if watch.rests else None
    if rested is not None and rested < watch.policy.rest:
        found.said.append(f"resting for another {watch.policy.rest - rested:.0f} s")
        return None
    while True:
        events = consumer.poll(watch.policy.max_events)
        if not events:
            if passed:
                found.said.append(f"{passed} events passed over: nothing to recompute")
            return None
        seen = [event for event in events if event.table in watch.tables]
        work = watch.resolve(conn, seen) if seen else {}
        if work:
            assert consumer.epoch is not None
            return batches.begin(
                conn,
                watch.consumer,
                batch_id=batches.identify(consumer.epoch, seen),
                epoch=consumer.epoch,
                to=events[-1].position,
                n_events=len(seen),
                n_rows=sum(event.n_rows for event in seen),
                work=work,
            )
        consumer.advance(events[-1].position)
        passed += len(events)


def _reconcile(watch: Watch, conn: Connection, consumer: Consumer) -> Batch:
    """After a restore every key there is counts as changed."""
    watermark = consumer.begin_reconcile()
    assert consumer.epoch is not None
    return batches.begin(
        conn,
        watch.consumer,
        batch_id=f"reconcile-{consumer.epoch}",
        epoch=consumer.epoch,
        to=Position(int(watermark), 0),
        n_events=0,
        n_rows=0,
        work={key: (Position(int(watermark), 0),) for key in watch.all_keys(conn)},
        reconcile_at=watermark,
    )


def _settle(watch: Watch, instance: DagsterInstance, conn: Connection, batch: Batch) -> _Settlement:
    settled = _Settlement()
    needed = watch.needed(conn, batch.work)
    if not needed:
        return settled
    if watch.waits_for and _age(batch.opened_at) < watch.policy.patience:
        busy = attempts.full_run_in_progress(instance, watch.waits_for)
        if busy is not None:
            settled.waiting.append(f"run {busy} may cover {len(needed)} keys")
            return settled
    spent = instance.get_runs_count(
        RunsFilter(tags={attempts.CONSUMER_TAG: watch.consumer, attempts.BATCH_TAG: batch.batch_id})
    )
    judge = _Judge(watch, instance, conn, batch, needed, watch.policy.run_budget - spent, settled)
    for unit in watch.units(sorted(batch.work)):
        judge.settle(unit, watch.policy.max_attempts)
    return settled


def _age(since: datetime) -> float:
    return (datetime.now(UTC) - since).total_seconds()


@dataclass
class _Judge:
    """Decides what becomes of each unit of a batch."""

    watch: Watch
    instance: DagsterInstance
    conn: Connection
    batch: Batch
    needed: Collection[str]
    budget: int
    settled: _Settlement

    def settle(self, unit: Unit, allowed: int) -> None:
        """Done, in flight, to be run (again), to be split, or given up."""
        todo = [key for key in unit.keys if key in self.needed]
        if not todo:
            self.settled.done += 1
            return
        policy = self.watch.policy
        identity = attempts.unit_id(self.watch.consumer, self.batch.batch_id, unit.label)
        made = attempts.attempts_of(self.instance, identity, self.conn, policy.silence)
        if made.running is not None:
            self.settled.waiting.append(f"run {made.running} is working on {len(todo)} keys")
        elif made.succeeded:
            self.settled.done += 1
        elif made.number >= allowed:
            self._exhausted(unit, todo, attempts.reason_of(self.instance, made))
        else:
            self._try(unit, identity, todo, made)

    def _exhausted(self, unit: Unit, todo: list[str], reason: str) -> None:
        if unit.alone or self.watch.whole:
            self.settled.poison |= dict.fromkeys(todo, reason)
            return
        # One of these keys spoils the run of all: find it by halving.
        for half in unit.halves():
            self.settle(half, allowed=1)

    def _try(self, unit: Unit, identity: str, todo: list[str], made: attempts.Attempts) -> None:
        policy = self.watch.policy
        attempt = made.number + 1
        asked = self.batch.asked.get(unit.label)
        if asked and asked.attempt >= attempt and _age(asked.at) < policy.launch_grace:
            self.settled.waiting.append(
                f"attempt {asked.attempt} of {len(todo)} keys is on its way"
            )
            return
        if made.number and made.failed_at is not None:
            rest = made.failed_at + policy.delay(made.number) - datetime.now(UTC).timestamp()
            if rest > 0:
                self.settled.waiting.append(
                    f"attempt {made.number} failed; the next one in {rest:.0f} s"
                )
                return
        if self.budget <= 0:
            said = attempts.reason_of(self.instance, made) if made.number else "not tried"
            reason = f"the {policy.run_budget} runs of this batch are used up; {said}"
            self.settled.poison |= dict.fromkeys(todo, reason)
            return
        self.budget -= 1
        self.settled.launches[unit.label] = attempt, self._request(unit, identity, todo, attempt)

    def _request(self, unit: Unit, identity: str, todo: list[str], attempt: int) -> RunRequest:
        launch = self.watch.launch(self.batch.batch_id, unit, todo)
        return RunRequest(
            run_key=f"{identity}:{attempt}",
            job_name=launch.job_name,
            partition_key=launch.partition_key,
            asset_selection=[AssetKey(name) for name in launch.asset_names] or None,
            run_config=dict(launch.run_config) or None,
            tags={
                attempts.CONSUMER_TAG: self.watch.consumer,
                attempts.BATCH_TAG: self.batch.batch_id,
                attempts.UNIT_TAG: identity,
                attempts.ATTEMPT_TAG: str(attempt),
            },
        )


def _close(
    watch: Watch,
    conn: Connection,
    consumer: Consumer,
    transport: SqlTransport,
    batch: Batch,
    settled: _Settlement,
) -> None:
    if settled.poison:
        _set_aside(watch, conn, consumer, transport, batch, settled.poison)
    if batch.reconcile_at is not None:
        consumer.reconciled(batch.reconcile_at)
    else:
        consumer.advance(batch.to)
    batches.close(
        conn,
        batch,
        {
            "keys": len(batch.work),
            "units_done": settled.done,
            "set_aside": dict(list(settled.poison.items())[:50]),
            "n_set_aside": len(settled.poison),
        },
    )


def _set_aside(
    watch: Watch,
    conn: Connection,
    consumer: Consumer,
    transport: SqlTransport,
    batch: Batch,
    poison: Mapping[str, str],
) -> None:
    """Dead-letter the events that name poisoned keys, each with the reason."""
    reasons: dict[Position, str] = {}
    for key, reason in poison.items():
        for position in batch.work[key]:
            reasons.setdefault(position, reason if watch.whole else f"{key}: {reason}")
    events = [event for event in _events(batch, consumer, transport) if event.position in reasons]
    if watch.whole:
        # Such events only say "look again": the newest of each table stands for all of them.
        events = list({event.table: event for event in events}.values())
    for event in events:
        consumer.dead_letter(event, reasons[event.position])
    if watch.give_up is not None:
        for key, reason in poison.items():
            watch.give_up(conn, (key,), reason)


def _events(batch: Batch, consumer: Consumer, transport: SqlTransport) -> list[Event]:
    """The events of a batch once more: they stay in the log until every consumer has passed."""
    found: list[Event] = []
    after = consumer.acquire()
    while events := feed.read(transport, after, _EVENTS_PER_READ):
        found += [event for event in events if event.position <= batch.to]
        after = events[-1].position
        if after >= batch.to:
            break
    return found
