"""What the change feed costs and how fast it drains, against the same writes without it.

PYTHONPATH=. python benchmarks/feed.py [--commits N] [--race N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psycopg

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from portfolio_platform.store import feed
from portfolio_platform_tests.store import postgres
from portfolio_platform_tests.store.test_feed_race import race

ROUNDS = 5


def single_commits(connection: psycopg.Connection[Any], count: int, offset: int) -> float:
    """Seconds per commit of one row."""
    began = time.perf_counter()
    for number in range(count):
        connection.execute(
            "insert into public.tokens (mint, symbol) values (%s, 'T')", [f"m{offset + number}"]
        )
    return (time.perf_counter() - began) / count


def overhead(database: postgres.Database, commits: int) -> dict[str, float]:
    """Milliseconds that the outbox adds to a small commit; rounds alternate, medians are kept."""
    times: dict[str, list[float]] = {"with": [], "without": []}
    with database.connect() as connection:
        for number in range(ROUNDS * 2):
            kind = "with" if number % 2 else "without"
            action = "enable" if kind == "with" else "disable"
            connection.execute(f"alter table public.tokens {action} trigger user")  # type: ignore[call-overload]
            times[kind].append(single_commits(connection, commits, number * commits))
    plain, logged = (statistics.median(times[kind]) * 1e3 for kind in ("without", "with"))
    return {
        "plain_commit_ms": plain,
        "logged_commit_ms": logged,
        "added_ms": logged - plain,
        "ratio": logged / plain,
    }


def drain(database: postgres.Database, events: int) -> dict[str, float]:
    """Seconds to consume a backlog, cursor moved after each thousand; and an empty poll."""
    with database.connect(autocommit=False) as connection:
        for number in range(events):
            connection.execute(
                "insert into public.tokens (mint, symbol) values (%s, 'T')", [f"d{number}"]
            )
            if number % 10 == 9:
                connection.commit()
        connection.commit()
    with (
        feed.SqlTransport(database.url()) as transport,
        feed.Consumer(transport, "drain") as consumer,
    ):
        seen = 0
        began = time.perf_counter()
        for batch in consumer.drain(limit=1000):
            seen += len(batch)
            consumer.advance()
        seconds = time.perf_counter() - began
        began = time.perf_counter()
        for _ in range(200):
            consumer.poll()
        empty = (time.perf_counter() - began) / 200
    return {"events": seen, "seconds": seconds, "events_per_second": seen / seconds,
            "empty_poll_ms": empty * 1e3}  # fmt: skip


def wake_up(database: postgres.Database, count: int = 300) -> dict[str, float]:
    """Milliseconds from commit to the event in hand, woken by NOTIFY."""
    committed: dict[str, float] = {}
    delays: list[float] = []
    ready, done = threading.Event(), threading.Event()

    def listen() -> None:
        with (
            database.connect() as listener,
            feed.SqlTransport(database.url()) as transport,
            feed.Consumer(transport, "wake", start_at_end=True) as consumer,
        ):
            listener.execute("listen portfolio_platform")
            consumer.poll()
            ready.set()
            while len(delays) < count:
                for _ in listener.notifies(timeout=1, stop_after=1):
                    pass
                now_seen = consumer.poll()
                now = time.perf_counter()
                delays.extend(now - committed[str((e.keys or [""])[0])] for e in now_seen)
        done.set()

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    ready.wait(30)
    with database.connect() as writer:
        for number in range(count):
            mint = f"w{number}"
            committed[mint] = time.perf_counter()
            writer.execute("insert into public.tokens (mint, symbol) values (%s, 'T')", [mint])
            time.sleep(0.003)
    done.wait(60)
    ordered = sorted(delays)
    return {"p50_ms": ordered[len(ordered) // 2] * 1e3, "p99_ms": ordered[-count // 100] * 1e3}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--commits", type=int, default=1000, help="small commits per round")
    parser.add_argument("--events", type=int, default=10_000, help="backlog to drain")
    parser.add_argument("--race", type=int, default=5000, help="commits of the race")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()

    server = postgres.start_cluster("benchmark-feed", sync=True)
    try:
        postgres.prepare_template(server)
        figures: dict[str, Any] = {}
        for name in ("overhead", "drain", "wake", "race"):
            database = postgres.clone(server, f"b_{name}")
            if name == "overhead":
                figures[name] = overhead(database, options.commits)
            elif name == "drain":
                figures[name] = drain(database, options.events)
            elif name == "wake":
                figures[name] = wake_up(database)
            else:
                writers, seen, lost = race(database, options.race, 0.05)
                commits = len(writers.committed)
                figures[name] = {
                    "commits": commits,
                    "lost": len(writers.committed - set(seen)),
                    "doubled": sum(count - 1 for count in seen.values()),
                    "lost_by_max_seq_cursor": len(lost),
                    "lost_by_max_seq_cursor_share": len(lost) / commits,
                }
            postgres.drop(database)
    finally:
        postgres.stop_cluster(server)
    for name, found in figures.items():
        shown = ", ".join(f"{key} {value:.3g}" for key, value in found.items())
        print(f"{name:9} {shown}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
