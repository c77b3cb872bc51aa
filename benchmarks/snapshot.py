"""How fast a snapshot of a whole universe becomes clean prices in the database, and at what memory.

python benchmarks/snapshot.py [--json FILE] [--pools N]

One process reads a universe of about 500 accounts from the local chain (bytes of its own making),
stores the bytes, decodes them, judges every price, and commits. The peer writes the same rows one
by one through SQLAlchemy's ORM. A second universe, ten times as large and in a process of its own,
shows that memory does not grow with it.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import psutil
import sqlalchemy as sa
from ingestion import POOLS, write_universe
from psycopg import Connection
from sqlalchemy.orm import DeclarativeBase, Session, mapped_column

from portfolio_platform.defs.solana import facts, snapshots
from portfolio_platform.settings import Settings
from portfolio_platform.solana.universe import Universe
from portfolio_platform.store import floor, migrate
from portfolio_platform.store.database import connect, engine
from portfolio_platform.store.embedded import EmbeddedServer

REPEATS = 5
BOUND_SECONDS = 1.5


@contextmanager
def local_chain(folder: Path) -> Iterator[str]:
    """The local chain over a folder of account dumps; its URL."""
    ready = folder.parent / "ready.json"
    ready.unlink(missing_ok=True)
    command = [sys.executable, "-m", "portfolio_platform.localnet", "--port", "0"]
    command += ["--accounts", str(folder), "--slot", "300", "--ready-file", str(ready)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not (ready.exists() and ready.read_text().strip()):
            if process.poll() is not None:
                raise RuntimeError("the local chain did not start")
            time.sleep(0.05)
        yield json.loads(ready.read_text())["rpc_url"]
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Megabytes that the process grew by at most while the block ran, as the list's only entry."""
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    found = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.005):
            found[0] = max(found[0], (process.memory_info().rss - before) / 1e6)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield found
    finally:
        done.set()
        watcher.join()


def one_snapshot(conn: Connection, settings: Settings, universe: Universe) -> dict[str, Any]:
    """Chain to judged prices, pools and holdings, committed; seconds of each part."""
    began = time.perf_counter()
    snapshots.store_universe(conn, universe)
    fetch = snapshots.fetch_accounts(conn, settings, universe)
    read = time.perf_counter()
    stored = facts.stored_snapshot(conn, fetch_id=fetch.fetch_id)
    judged = facts.save_prices(conn, stored, settings)
    facts.save_pools(conn, stored)
    conn.commit()
    ended = time.perf_counter()
    return {
        "accounts": fetch.accounts,
        "accepted_prices": sum(one.verdict == "accepted" for one in judged.rows),
        "read_and_stored_seconds": read - began,
        "decoded_and_judged_seconds": ended - read,
        "seconds": ended - began,
    }


class Base(DeclarativeBase):
    """The peer's tables."""


class AccountData(Base):
    """Bytes by their hash."""

    __tablename__ = "account_data"
    __table_args__ = ({"schema": "peer"},)
    sha256 = mapped_column(sa.Text, primary_key=True)
    data = mapped_column(sa.LargeBinary)


class AccountSnapshot(Base):
    """One account at one slot."""

    __tablename__ = "account_snapshots"
    __table_args__ = ({"schema": "peer"},)
    snapshot_id = mapped_column(sa.BigInteger, sa.Identity(), primary_key=True)
    pubkey = mapped_column(sa.Text, index=True)
    owner = mapped_column(sa.Text)
    slot = mapped_column(sa.BigInteger)
    sha256 = mapped_column(sa.Text)


def row_by_row(url: str, conn: Connection, fetch_id: Any) -> float:
    """Seconds for the accounts of a fetch, merged one by one by the ORM."""
    stored = facts.stored_snapshot(conn, fetch_id=fetch_id)
    records = [one for part in stored.parts() for one in part.snapshot.accounts if not one.error]
    peer = engine(url)
    with peer.begin() as connection:
        connection.execute(sa.text("create schema if not exists peer"))
        Base.metadata.drop_all(connection)
        Base.metadata.create_all(connection)
    began = time.perf_counter()
    with Session(peer) as session:
        for one in records:
            if session.get(AccountData, one.sha256) is None:
                session.add(AccountData(sha256=one.sha256, data=one.data))
            known = session.execute(
                sa.select(AccountSnapshot.snapshot_id).where(
                    AccountSnapshot.pubkey == one.pubkey,
                    AccountSnapshot.slot == one.slot,
                    AccountSnapshot.sha256 == one.sha256,
                )
            ).first()
            if known is None:
                session.add(
                    AccountSnapshot(
                        pubkey=one.pubkey, owner=one.owner, slot=one.slot, sha256=one.sha256
                    )
                )
            session.flush()
        session.commit()
    seconds = time.perf_counter() - began
    peer.dispose()
    return seconds


def bulk_again(url: str, conn: Connection, fetch_id: Any) -> float:
    """Seconds for the same accounts through our own write path, into empty tables."""
    from portfolio_platform.store import ingest

    stored = facts.stored_snapshot(conn, fetch_id=fetch_id)
    rows = [
        ingest.AccountRow(one.pubkey, one.owner, one.lamports, one.slot, one.data)
        for part in stored.parts()
        for one in part.snapshot.accounts
        if one.error is None
    ]
    conn.commit()
    with connect(url) as fresh:
        fresh.execute("truncate chain.account_data, chain.account_snapshots")
        began = time.perf_counter()
        ingest.save_accounts(fresh, rows, stored.block_time)
        seconds = time.perf_counter() - began
        fresh.rollback()
    return seconds


def few(universe: Universe) -> dict[str, Any]:
    """The first pools of a universe."""
    return {"accounts": universe.accounts[:10], "tokens": universe.tokens[:6]}


def measure(url: str, pools: int, directory: Path) -> dict[str, Any]:
    """Snapshots of a universe of `pools` pools."""
    folder = directory / f"accounts-{pools}"
    folder.mkdir()
    universe = write_universe(folder, pools)
    with local_chain(folder) as rpc_url:
        os.environ["SOLANA_RPC_URLS"] = rpc_url
        settings = Settings()
        runs = []
        with connect(url) as conn:
            conn.execute("truncate chain.account_data, chain.account_snapshots, chain.fetches")
            conn.execute("truncate public.token_prices, public.pool_states")
            conn.commit()
            # Imports and pools of connections are not what grows with a universe.
            one_snapshot(conn, settings, universe.model_copy(update=few(universe)))
            with peak_memory() as grown:
                for _ in range(REPEATS):
                    runs.append(one_snapshot(conn, settings, universe))
            (fetch_id,) = conn.execute(
                "select fetch_id from chain.fetches order by recorded_at desc limit 1"
            ).fetchone()
            seconds = [one["seconds"] for one in runs]
            best = min(runs, key=lambda one: one["seconds"])
            result = {
                **best,
                "first_seconds": seconds[0],
                "best_seconds": best["seconds"],
                "peak_megabytes": grown[0],
            }
            if pools == POOLS:
                ours = min(bulk_again(url, conn, fetch_id) for _ in range(3))
                theirs = row_by_row(url, conn, fetch_id)
                result |= {
                    "accounts_stored_seconds": ours,
                    "orm_row_by_row_seconds": theirs,
                    "orm_ratio": theirs / ours,
                }
    return result


def alone(url: str, pools: int, directory: Path) -> dict[str, Any]:
    """`measure` in a process of its own: what another measurement left behind does not count."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        return executor.submit(measure, url, pools, directory).result()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, default=None, help="write the figures to FILE")
    parser.add_argument("--pools", type=int, default=POOLS, help="pools of the small universe")
    options = parser.parse_args()
    os.environ["PORTFOLIO_MAX_PRICE_AGE_SECONDS"] = "1e9"
    os.environ["PORTFOLIO_MAX_PRICE_AGE_SLOTS"] = "1000000000"
    with tempfile.TemporaryDirectory() as directory:
        server = EmbeddedServer.ensure(Path(directory) / "home", sync=False)
        try:
            floor.lay_in(server, "postgres")
            url = server.url("postgres", driver=None)
            migrate.migrate(url)
            os.environ["DATABASE_URL"] = url
            small = alone(url, options.pools, Path(directory))
            large = alone(url, options.pools * 10, Path(directory))
        finally:
            server.stop(remove=True)
    figures = {
        "snapshot": small,
        "ten_times_as_large": large,
        "memory_ratio": large["peak_megabytes"] / max(small["peak_megabytes"], 1.0),
        "time_ratio": large["best_seconds"] / small["best_seconds"],
        "within_bound": small["best_seconds"] <= BOUND_SECONDS,
    }
    for name, group in figures.items():
        if isinstance(group, dict):
            shown = ", ".join(f"{key} {value:.4g}" for key, value in group.items())
            sys.stdout.write(f"{name}: {shown}\n")
        else:
            sys.stdout.write(f"{name}: {group:.4g}\n")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
