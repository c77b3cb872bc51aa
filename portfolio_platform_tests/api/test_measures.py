"""What `/metrics` shows: this process, the RPC endpoints over all runs, and the change feed."""

from __future__ import annotations

from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from portfolio_platform.store import feed, rpc_counters
from portfolio_platform_tests.api.server import Served, settings_for
from portfolio_platform_tests.store.postgres import Database

ENDPOINT = {
    "endpoint": "rpc.example:443",
    "requests": 12,
    "retries": 3,
    "hedges": 1,
    "rate_limited": 2,
    "errors": {"http_429": 2, "timeout": 1},
    "bytes_received": 98_765,
    "throttled_seconds": 1.5,
    "latency_seconds": 0.25,
    "slot": 300_000_001,
    "slot_lag": 4,
}


def samples(text: str) -> dict[tuple[str, str | None, str | None], float]:
    """Metric, endpoint, error -> value; the text must be valid."""
    return {
        (one.name, one.labels.get("endpoint"), one.labels.get("error")): one.value
        for family in text_string_to_metric_families(text)
        for one in family.samples
    }


def test_endpoints_are_counted_over_all_runs(fresh_database: Database, home: Path) -> None:
    for _ in range(2):
        rpc_counters.add(fresh_database.url(), [ENDPOINT])
    with Served(settings_for(fresh_database, home), home) as server:
        found = samples(httpx.get(f"{server.url}/metrics").text)
    name = ENDPOINT["endpoint"]
    assert found["portfolio_rpc_counters_up", None, None] == 1
    assert found["portfolio_rpc_requests_total", name, None] == 24
    assert found["portfolio_rpc_retries_total", name, None] == 6
    assert found["portfolio_rpc_rate_limited_total", name, None] == 4
    assert found["portfolio_rpc_bytes_received_total", name, None] == 2 * 98_765
    assert found["portfolio_rpc_slot_lag", name, None] == 4
    assert found["portfolio_rpc_errors_total", name, "timeout"] == 2


def test_a_run_without_slots_leaves_the_lag_that_is_known(
    fresh_database: Database,
) -> None:
    rpc_counters.add(fresh_database.url(), [ENDPOINT])
    rpc_counters.add(fresh_database.url(), [ENDPOINT | {"slot": 0, "slot_lag": None}])
    with fresh_database.connect() as conn:
        text = rpc_counters.exposition(rpc_counters.read(conn))
    assert samples(text)["portfolio_rpc_slot_lag", ENDPOINT["endpoint"], None] == 4


def test_lag_and_an_open_writer_are_seen(fresh_database: Database, home: Path) -> None:
    with (
        feed.SqlTransport(fresh_database.url()) as transport,
        feed.Consumer(transport, "sleepy") as consumer,
        fresh_database.connect() as conn,
        fresh_database.connect(autocommit=False) as idle,
        Served(settings_for(fresh_database, home), home) as server,
    ):
        consumer.poll()
        conn.execute("insert into public.tokens (mint, symbol) values ('seen', 'S')")
        idle.execute("insert into public.tokens (mint, symbol) values ('open', 'O')")
        conn.execute("insert into public.tokens (mint, symbol) values ('held', 'H')")
        text = httpx.get(f"{server.url}/metrics").text
        assert 'portfolio_feed_lag_events{consumer="sleepy"} 1' in text
        found = samples(text)
        assert found["portfolio_feed_up", None, None] == 1
        assert found["portfolio_feed_held_events", None, None] == 1
        assert found["portfolio_feed_held_seconds", None, None] > 0


def test_measures_are_served_without_the_database(fresh_database: Database, home: Path) -> None:
    settings = settings_for(fresh_database, home)
    gone = settings.model_copy(
        update={"database_url": type(settings.database_url)("postgresql://127.0.0.1:1/none")}
    )
    with Served(gone, home) as server:
        answer = httpx.get(f"{server.url}/metrics", timeout=20)
    assert answer.status_code == 200
    assert samples(answer.text)["portfolio_rpc_counters_up", None, None] == 0
    assert samples(answer.text)["portfolio_feed_up", None, None] == 0
