"""The trial registry and the blocks of running backtests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

GENESIS = "0" * 64
ChainHash = Callable[[str, str, str, Mapping[str, Any]], str]


def family_rows(conn: Connection, family: str) -> list[dict[str, Any]]:
    """Rows of a family in the order of their arrival."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select * from ops.trials where family = %s order by trial_id", (family,)
        ).fetchall()


def register(
    conn: Connection,
    family: str,
    trials: Iterable[tuple[str, Mapping[str, Any]]],
    chain_hash: ChainHash,
    requested_by: UUID | None = None,
    *,
    request_id: UUID | None = None,
    code_version: str | None = None,
    seed: int | None = None,
) -> int:
    """Append the configurations that are new to the family, before they run.

    Each row holds the hash of the row before it, so a trial that is taken out is visible. The
    family is locked while rows are appended.

    Returns
    -------
    int
        How many were new: an identical configuration on identical data is not a new trial.
    """
    conn.execute("select pg_advisory_xact_lock(hashtextextended('trials/' || %s, 0))", (family,))
    rows = family_rows(conn, family)
    known = {row["config_hash"] for row in rows}
    previous = rows[-1]["row_hash"] if rows else GENESIS
    added = 0
    for config_hash, config in trials:
        if config_hash in known:
            continue
        known.add(config_hash)
        row_hash = chain_hash(previous, family, config_hash, config)
        conn.execute(
            "insert into ops.trials "
            "(family, config_hash, previous_hash, row_hash, config, requested_by, request_id, "
            "code_version, seed) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (
                family,
                config_hash,
                previous,
                row_hash,
                Jsonb(dict(config)),
                requested_by,
                request_id,
                code_version,
                seed,
            ),
        )
        previous = row_hash
        added += 1
    return added


def finish(conn: Connection, family: str, rows: Iterable[Mapping[str, Any]]) -> None:
    """Store what finished trials gave; the configuration itself never changes."""
    for row in rows:
        conn.execute(
            """
            update ops.trials
            set status = case when %(sharpe)s::float8 is null then 'failed' else 'done' end,
                finished_at = now(), sharpe = %(sharpe)s, skewness = %(skewness)s,
                kurtosis = %(kurtosis)s, n_observations = %(n_observations)s,
                returns = %(returns)s
            where family = %(family)s and config_hash = %(config_hash)s and status <> 'done'
            """,
            {**row, "family": family},
        )


def abandon(conn: Connection, request_id: UUID) -> None:
    """Mark what a cancelled request leaves unfinished; it counts as tried all the same."""
    conn.execute(
        "update ops.trials set status = 'abandoned', finished_at = now() "
        "where request_id = %s and status = 'running'",
        (request_id,),
    )


def save_block(conn: Connection, request_id: UUID, block: Mapping[str, Any]) -> None:
    """Keep a finished block of decisions."""
    conn.execute(
        """
        insert into ops.backtest_blocks (request_id, config_hash, number, decisions)
        values (%s, %s, %s, %s)
        on conflict (request_id, config_hash, number) do nothing
        """,
        (request_id, block["config_hash"], block["number"], Jsonb(block["decisions"])),
    )


def blocks(conn: Connection, request_id: UUID) -> list[dict[str, Any]]:
    """Blocks that an interrupted run of this request has left."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            "select config_hash, number, decisions from ops.backtest_blocks "
            "where request_id = %s order by config_hash, number",
            (request_id,),
        ).fetchall()


def drop_blocks(conn: Connection, request_id: UUID) -> None:
    """Forget the blocks of an answered request."""
    conn.execute("delete from ops.backtest_blocks where request_id = %s", (request_id,))
