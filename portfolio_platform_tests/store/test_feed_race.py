"""Eight writers that commit late and roll back: the feed loses nothing, a naive cursor does."""

import random
import threading
import time
import uuid
from collections import Counter

import pytest

from portfolio_platform.store import feed
from portfolio_platform_tests.store.postgres import Database

WRITERS = 8


class Writers:
    """Threads that insert tokens, 30 % holding the transaction open, 10 % rolling back."""

    def __init__(self, database: Database, commits: int, longest_hold: float) -> None:
        self._database = database
        self._each = commits // WRITERS
        self._hold = longest_hold
        self.committed: set[str] = set()
        self._guard = threading.Lock()
        self._threads = [
            threading.Thread(target=self._write, args=(seed,)) for seed in range(WRITERS)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    @property
    def busy(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _write(self, seed: int) -> None:
        dice = random.Random(seed)
        done = 0
        with self._database.connect(autocommit=False) as connection:
            while done < self._each:
                mint = uuid.UUID(int=dice.getrandbits(128)).hex
                connection.execute(
                    "insert into public.tokens (mint, symbol) values (%s, 'T')", [mint]
                )
                if dice.random() < 0.3:
                    time.sleep(dice.random() * self._hold)
                if dice.random() < 0.1:
                    connection.rollback()
                    continue
                connection.commit()
                done += 1
                with self._guard:
                    self.committed.add(mint)


class NaiveCursor(threading.Thread):
    """What polling by max(seq) would have seen."""

    def __init__(self, database: Database) -> None:
        super().__init__()
        self._database = database
        self.leave = threading.Event()
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        last = 0
        with self._database.connect() as connection:
            while True:
                final = self.leave.is_set()
                rows = connection.execute(
                    "select seq, keys ->> 0 from ops.change_log where seq > %s order by seq", [last]
                ).fetchall()
                for seq, mint in rows:
                    last = seq
                    self.seen[mint] += 1
                if final:
                    return
                time.sleep(0.01)


def race(database: Database, commits: int, longest_hold: float) -> tuple[Writers, Counter, set]:
    writers = Writers(database, commits, longest_hold)
    naive = NaiveCursor(database)
    seen: Counter[str] = Counter()
    with (
        feed.SqlTransport(database.url()) as transport,
        feed.Consumer(transport, "race") as consumer,
    ):
        naive.start()
        writers.start()
        while True:
            final = not writers.busy
            for batch in consumer.drain(limit=50):
                for event in batch:
                    assert event.keys is not None
                    seen.update(event.keys)
                consumer.advance()
            if final:
                break
            time.sleep(0.01)
        writers.join()
        naive.leave.set()
        naive.join()
    return writers, seen, writers.committed - set(naive.seen)


def assert_exact(writers: Writers, seen: Counter, lost_by_naive: set) -> None:
    assert set(seen) == writers.committed, "nothing lost, nothing of what was rolled back"
    assert max(seen.values()) == 1, "nothing doubled"
    assert lost_by_naive, "the race did not happen: a naive cursor would have done as well"


def test_no_commit_is_lost_or_doubled(fresh_database: Database) -> None:
    assert_exact(*race(fresh_database, commits=1200, longest_hold=0.02))


@pytest.mark.nightly
def test_no_commit_of_eight_thousand_is_lost_or_doubled(fresh_database: Database) -> None:
    writers, seen, lost = race(fresh_database, commits=8000, longest_hold=0.05)
    assert_exact(writers, seen, lost)
    assert len(writers.committed) == 8000
    assert len(lost) > 0.02 * 8000
