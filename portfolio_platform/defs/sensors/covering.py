"""What a materialisation has seen of the change feed, noted when it has succeeded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from portfolio_platform.store import coverage
from portfolio_platform.store.database import connect


@contextmanager
def living(database_url: str, run_id: str) -> Iterator[psycopg.Connection]:
    """Prove that the run's process lives: a session lock that a killed process lets go of."""
    with connect(database_url, autocommit=True, application_name="portfolio_platform run") as conn:
        coverage.hold(conn, run_id)
        yield conn


@contextmanager
def covering(database_url: str, target: str, run_id: str, *keys: str) -> Iterator[None]:
    """Note, if the block succeeds, that `target` has seen every event committed before it began.

    While the block runs, `living` proves that its process does.

    Parameters
    ----------
    target : str
        Asset that covers the events; per-key assets name the asset of all keys.
    keys : str
        Partition keys that were materialised; none means all of them.
    """
    with living(database_url, run_id) as conn:
        moment = coverage.look(conn)
        yield
        try:
            _record(conn, target, keys, moment, run_id)
            return
        except psycopg.OperationalError:
            conn.close()
    # The connection was lost on the way; the work is done and what it saw is known.
    with connect(database_url, autocommit=True, application_name="portfolio_platform run") as conn:
        _record(conn, target, keys, moment, run_id)


def _record(
    conn: psycopg.Connection,
    target: str,
    keys: tuple[str, ...],
    moment: coverage.Moment,
    run_id: str,
) -> None:
    for key in keys or ("",):
        coverage.record(conn, target, key, moment, run_id)
