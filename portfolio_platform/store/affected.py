"""What an event can have changed, asked of the tables as they are now."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

from psycopg import Connection, sql

RequestTable = Literal["optimization_requests", "backtest_requests"]


@dataclass(frozen=True)
class PublishedVersion:
    """Header of a published version, as far as events go."""

    kind: str
    strategy_id: str | None


def versions(conn: Connection, keys: Collection[str]) -> dict[str, PublishedVersion]:
    """Kinds of versions, and of which strategy weight sets are."""
    rows = conn.execute(
        """
        select v.version::text, v.kind, w.strategy_id::text
        from public.versions as v left join public.weight_sets as w using (version)
        where v.version = any (%s::uuid[])
        """,
        (list(keys),),
    ).fetchall()
    return {version: PublishedVersion(kind, strategy) for version, kind, strategy in rows}


def strategies(conn: Connection, *, enabled_only: bool = False) -> set[str]:
    """Ids of all strategies."""
    rows = conn.execute(
        "select strategy_id::text from public.strategies where enabled or not %s", (enabled_only,)
    )
    return {row[0] for row in rows}


def portfolios(conn: Connection) -> set[str]:
    """Ids of all portfolios."""
    return {row[0] for row in conn.execute("select portfolio_id::text from public.portfolios")}


def portfolios_by(
    conn: Connection, column: Literal["wallet", "user_id", "strategy_id"], values: Collection[str]
) -> dict[str, set[str]]:
    """Portfolios by one of their columns: value to ids."""
    rows = conn.execute(
        sql.SQL(
            "select {column}::text, portfolio_id::text from public.portfolios "
            "where {column}::text = any (%s)"
        ).format(column=sql.Identifier(column)),
        (list(values),),
    ).fetchall()
    found: dict[str, set[str]] = {}
    for value, portfolio in rows:
        found.setdefault(value, set()).add(portfolio)
    return found


def open_requests(
    conn: Connection, table: RequestTable, keys: Collection[str] | None = None
) -> set[str]:
    """Requests that wait for an answer: all of them, or of these."""
    rows = conn.execute(
        sql.SQL(
            "select request_id::text from {} where state in ('queued', 'running') "
            "and (%(keys)s::text[] is null or request_id::text = any (%(keys)s))"
        ).format(sql.Identifier("public", table)),
        {"keys": None if keys is None else list(keys)},
    )
    return {row[0] for row in rows}
