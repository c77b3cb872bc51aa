"""Counters of the RPC endpoints over all runs, and their Prometheus exposition."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from portfolio_platform.store.database import connect

_COUNTERS = {
    "requests": "Requests sent.",
    "retries": "Requests sent again after a failure.",
    "hedges": "Requests sent to a second endpoint because the first was slow.",
    "rate_limited": "Replies that said to slow down.",
    "bytes_received": "Bytes of replies.",
    "throttled_seconds": "Seconds waited for the request limits.",
}
_GAUGES = {
    "latency_seconds": "Moving average of the time to a reply.",
    "slot": "Newest slot that the endpoint has answered for.",
    "slot_lag": "Slots behind the newest endpoint.",
}


def add(database_url: str, metrics: Sequence[Mapping[str, Any]]) -> None:
    """Add what a pool counted, in a transaction of its own: a failed run counts as well.

    Parameters
    ----------
    metrics : sequence of mappings
        `RpcPool.metrics()` of a pool that is added once.
    """
    with connect(database_url) as conn:
        for one in metrics:
            conn.execute(
                """
                insert into ops.rpc_counters as c
                    (endpoint, requests, retries, hedges, rate_limited, errors, bytes_received,
                     throttled_seconds, latency_seconds, slot, slot_lag)
                values (%(endpoint)s, %(requests)s, %(retries)s, %(hedges)s, %(rate_limited)s,
                        %(errors)s, %(bytes_received)s, %(throttled_seconds)s,
                        %(latency_seconds)s, %(slot)s, %(slot_lag)s)
                on conflict (endpoint) do update set
                    requests = c.requests + excluded.requests,
                    retries = c.retries + excluded.retries,
                    hedges = c.hedges + excluded.hedges,
                    rate_limited = c.rate_limited + excluded.rate_limited,
                    errors = (
                        select coalesce(jsonb_object_agg(e.key, e.n), '{}') from (
                            select key, sum(value::bigint) as n
                            from (select * from jsonb_each_text(c.errors)
                                  union all select * from jsonb_each_text(excluded.errors)) as one
                            group by key) as e),
                    bytes_received = c.bytes_received + excluded.bytes_received,
                    throttled_seconds = c.throttled_seconds + excluded.throttled_seconds,
                    latency_seconds = coalesce(excluded.latency_seconds, c.latency_seconds),
                    slot = coalesce(nullif(excluded.slot, 0), c.slot),
                    slot_lag = coalesce(excluded.slot_lag, c.slot_lag),
                    updated_at = now()
                """,
                {**one, "errors": Jsonb(one["errors"])},
            )


class Meter:
    """Adds what a pool has counted since the last time: for a pool that lives long."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._last: dict[str, Mapping[str, Any]] = {}

    def record(self, metrics: Sequence[Mapping[str, Any]]) -> None:
        """Add the growth of `RpcPool.metrics()`."""
        grown = []
        for one in metrics:
            last = self._last.get(one["endpoint"])
            if last is not None:
                errors = {
                    name: number - last["errors"].get(name, 0)
                    for name, number in one["errors"].items()
                }
                growth = {name: one[name] - last[name] for name in _COUNTERS}
                one = {**one, **growth, "errors": errors}
            grown.append(one)
        add(self._url, grown)
        self._last = {one["endpoint"]: one for one in metrics}


def read(conn: Connection) -> list[dict[str, Any]]:
    """Every endpoint's counters."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute("select * from ops.rpc_counters order by endpoint").fetchall()


def exposition(rows: Iterable[Mapping[str, Any]]) -> str:
    """Counters in the Prometheus text format.

    Parameters
    ----------
    rows : iterable of mappings
        Of `read`, or of the SQL function ``public.rpc_counters()``.
    """
    listed = list(rows)
    lines: list[str] = []
    for kind, families in (("counter", _COUNTERS), ("gauge", _GAUGES)):
        for name, meaning in families.items():
            suffix = "_total" if kind == "counter" else ""
            metric = f"portfolio_rpc_{name}{suffix}"
            lines += [f"# HELP {metric} {meaning}", f"# TYPE {metric} {kind}"]
            lines += [
                f"{metric}{{{_label('endpoint', row['endpoint'])}}} {row[name]}"
                for row in listed
                if row[name] is not None
            ]
    lines += [
        "# HELP portfolio_rpc_errors_total Failed requests by what went wrong.",
        "# TYPE portfolio_rpc_errors_total counter",
    ]
    for row in listed:
        where = _label("endpoint", row["endpoint"])
        lines += [
            f"portfolio_rpc_errors_total{{{where},{_label('error', error)}}} {number}"
            for error, number in sorted(row["errors"].items())
        ]
    return "\n".join(lines) + "\n"


def _label(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'{name}="{escaped}"'
