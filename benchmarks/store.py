"""Bulk writes against what people usually write, appends, reads, and the size of a token-year.

PYTHONPATH=. python benchmarks/store.py [--rows N] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import sqlalchemy as sa

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from portfolio_platform.store import bars, bulk
from portfolio_platform.store import database as db
from portfolio_platform.store.embedded import EmbeddedServer
from portfolio_platform_tests.store import postgres

KEY = ["series_id", "bar_interval", "observed_at", "recorded_at"]
PER_YEAR = {"1d": 365, "1h": 8_760, "1m": 525_600}
TOKENS = 10


def timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def add_series(connection: psycopg.Connection[Any]) -> list[int]:
    connection.execute("insert into public.tokens (mint, symbol) values ('m', 'M')")
    return [
        bars.save_series(connection, mint="m", venue="v", symbol=f"s{n}", instrument="spot")
        for n in range(TOKENS)
    ]


def frame(series: list[int], rows: int, interval: str = "1h", seed: int = 7) -> pd.DataFrame:
    """Bars of all series, `rows` in total."""
    each = rows // len(series)
    step = {"1d": 86400, "1h": 3600, "1m": 60}[interval]
    at = np.datetime64("2024-01-01", "ns") + np.arange(each) * np.timedelta64(step, "s")
    draw = np.random.default_rng(seed)
    columns = {name: draw.lognormal(size=rows) for name in ("open", "high", "low", "close")}
    return pd.DataFrame(
        {
            "series_id": np.repeat(series, each),
            "bar_interval": interval,
            "observed_at": np.tile(at, len(series)),
            **columns,
            "volume": draw.lognormal(size=rows),
            "state": "clean",
            "flags": [[] for _ in range(rows)],
        }
    )


def writing(database: postgres.Database, rows: int) -> dict[str, float]:
    """Seconds to insert the same rows, each into an empty table, with the change log on."""
    figures: dict[str, float] = {}
    with database.connect() as connection:
        data = frame(add_series(connection), rows)
        names = list(data.columns)

        def clear() -> None:
            connection.execute("truncate public.market_bars")

        def records() -> list[tuple[Any, ...]]:
            stamped = data.assign(observed_at=data["observed_at"].dt.tz_localize("UTC"))
            return list(stamped.itertuples(index=False, name=None))

        def executemany() -> None:
            columns = ", ".join(names)
            values = ", ".join(["%s"] * len(names))
            with connection.transaction(), connection.cursor() as cursor:
                cursor.executemany(
                    f"insert into public.market_bars ({columns}) values ({values})",  # noqa: S608
                    records(),
                )

        def sqlalchemy_core() -> None:
            engine = db.engine(database.url())
            table = sa.Table("market_bars", sa.MetaData(), schema="public", autoload_with=engine)
            with engine.begin() as joined:
                joined.execute(
                    table.insert(), [dict(zip(names, row, strict=True)) for row in records()]
                )
            engine.dispose()

        def ours() -> None:
            bulk.upsert(connection, "market_bars", data, conflict=KEY, update=["close"])

        clear()
        ours()  # makes the partitions, so that all find the same
        for name, work in (
            ("bulk_upsert_s", ours),
            ("sqlalchemy_core_s", sqlalchemy_core),
            ("executemany_s", executemany),
        ):
            clear()
            figures[name] = timed(work)
        figures["times_faster_than_sqlalchemy"] = (
            figures["sqlalchemy_core_s"] / figures["bulk_upsert_s"]
        )
        figures["times_faster_than_executemany"] = (
            figures["executemany_s"] / figures["bulk_upsert_s"]
        )
        clear()
        figures["append_new_s"] = timed(lambda: bars.append_clean(connection, data))
        figures["append_same_s"] = timed(lambda: bars.append_clean(connection, data))
        figures["read_s"] = timed(lambda: bars.read_clean(connection, "1h"))
    return figures


def relation_bytes(connection: psycopg.Connection[Any], relation: str) -> int:
    row = connection.execute(
        "select sum(pg_total_relation_size(t.relid)) from pg_partition_tree(%s::regclass) as t",
        [relation],
    ).fetchone()
    assert row is not None
    return int(row[0])


def sizes(database: postgres.Database, rows: int) -> dict[str, float]:
    """Bytes per row, indexes included, and megabytes per token-year of raw and clean bars."""
    with database.connect() as connection:
        series = add_series(connection)
        data = frame(series, rows, "1m")
        batch = bars.save_batch(
            connection, source="file", locator="l", sha256="s", n_rows=rows, report={}
        )
        bars.append_clean(connection, data)
        for number in series:
            bars.append_raw(connection, number, "1m", batch, data[data["series_id"] == number])
        connection.execute("vacuum (freeze) public.price_bars, public.market_bars")
        empty = relation_bytes(connection, "chain.account_snapshots")
        connection.execute("select ops.ensure_slots('account_snapshots', 0, %s)", [rows])
        connection.execute(
            "insert into chain.account_snapshots "
            "(pubkey, owner, slot, lamports, sha256, observed_at) "
            "select repeat('p', 44), repeat('o', 44), n, 1000000000, repeat('0', 64), now() "
            "from generate_series(1, %s) as n",
            [rows],
        )
        found = {
            "raw_bar_bytes": relation_bytes(connection, "public.price_bars") / rows,
            "clean_bar_bytes": relation_bytes(connection, "public.market_bars") / rows,
            "snapshot_bytes": (relation_bytes(connection, "chain.account_snapshots") - empty)
            / rows,
        }
    per_bar = found["raw_bar_bytes"] + found["clean_bar_bytes"]
    for interval, count in PER_YEAR.items():
        found[f"token_year_{interval}_mb"] = per_bar * count / 1e6
    return found


def starting() -> dict[str, float]:
    """Seconds to create, start, and stop the embedded server."""
    home = Path(tempfile.mkdtemp(prefix="pp-bench-"))
    home.chmod(0o755)
    figures: dict[str, float] = {}
    try:
        for name in ("cold_start_s", "warm_start_s"):
            began = time.perf_counter()
            server = EmbeddedServer.ensure(home)
            figures[name] = time.perf_counter() - began
            figures["stop_s"] = timed(server.stop)
    finally:
        shutil.rmtree(home)
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    options = parser.parse_args()

    figures: dict[str, dict[str, float]] = {"server": starting()}
    server = postgres.start_cluster("benchmark-store", sync=True)
    try:
        postgres.prepare_template(server)
        for name, measure in (("writing", writing), ("sizes", sizes)):
            database = postgres.clone(server, f"b_{name}")
            figures[name] = measure(database, options.rows)
            postgres.drop(database)
    finally:
        postgres.stop_cluster(server)
    for name, found in figures.items():
        for key, value in found.items():
            print(f"{name:8} {key:32} {value:10.3f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
