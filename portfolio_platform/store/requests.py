"""Strategies, portfolios and requests: what users ask for, and how far the answer is."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection, sql
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

RequestTable = Literal["backtest_requests", "optimization_requests"]


class UnknownRow(LookupError):
    """No row with that id or slug; the message names both."""


@dataclass(frozen=True)
class StrategyRow:
    """A stored strategy."""

    strategy_id: UUID
    user_id: UUID | None
    slug: str
    name: str
    spec: dict[str, Any]
    enabled: bool

    @property
    def subject(self) -> str:
        """Subject of its weight versions: the slug, or the id where a user owns it."""
        return self.slug if self.user_id is None else str(self.strategy_id)


@dataclass(frozen=True)
class PortfolioRow:
    """A stored portfolio."""

    portfolio_id: UUID
    user_id: UUID
    name: str
    wallet: str
    strategy_id: UUID | None
    hub_mint: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class RequestRow:
    """A stored request."""

    request_id: UUID
    user_id: UUID | None
    spec: dict[str, Any]
    state: str
    reason: str | None
    progress: float
    version: UUID | None
    created_at: datetime


_STRATEGY = "strategy_id, user_id, slug, name, spec, enabled"
_PORTFOLIO = "portfolio_id, user_id, name, wallet, strategy_id, hub_mint, settings"
_REQUEST = "request_id, user_id, spec, state, reason, progress, version, created_at"


def strategies(conn: Connection, *, enabled_only: bool = True) -> list[StrategyRow]:
    """All strategies, the platform's own first, then by slug."""
    with conn.cursor(row_factory=class_row(StrategyRow)) as cursor:
        return cursor.execute(
            sql.SQL(
                "select {} from public.strategies where enabled or not %s "
                "order by user_id nulls first, slug"
            ).format(sql.SQL(_STRATEGY)),
            (enabled_only,),
        ).fetchall()


def strategy(conn: Connection, key: str | UUID) -> StrategyRow:
    """A strategy by id, or one of the platform's own by slug.

    Raises
    ------
    UnknownRow
        There is none; the message lists the slugs there are.
    """
    with conn.cursor(row_factory=class_row(StrategyRow)) as cursor:
        found = cursor.execute(
            sql.SQL(
                "select {} from public.strategies "
                "where strategy_id::text = %s or (user_id is null and slug = %s)"
            ).format(sql.SQL(_STRATEGY)),
            (str(key), str(key)),
        ).fetchone()
    if found is None:
        known = ", ".join(row.slug for row in strategies(conn, enabled_only=False)) or "none"
        raise UnknownRow(f"no strategy {key!s}; stored strategies: {known}")
    return found


def previous_spec(conn: Connection, strategy_id: UUID) -> dict[str, Any] | None:
    """The spec a strategy had before its newest change, None where it never changed."""
    row = conn.execute(
        "select previous_spec from public.strategies where strategy_id = %s", (strategy_id,)
    ).fetchone()
    return None if row is None else row[0]


def save_strategy(
    conn: Connection, slug: str, name: str, spec: dict[str, Any], user_id: UUID | None = None
) -> UUID:
    """Insert or replace a strategy; one that would not change is left alone."""
    row = conn.execute(
        """
        insert into public.strategies as s (user_id, slug, name, spec) values (%s, %s, %s, %s)
        on conflict (user_id, slug) do update
            set name = excluded.name, spec = excluded.spec, updated_at = now()
            where (s.name, s.spec) is distinct from (excluded.name, excluded.spec)
        returning strategy_id
        """,
        (user_id, slug, name, Jsonb(spec)),
    ).fetchone()
    if row is None:
        row = conn.execute(
            "select strategy_id from public.strategies "
            "where slug = %s and user_id is not distinct from %s",
            (slug, user_id),
        ).fetchone()
    assert row is not None
    return row[0]


def portfolios(conn: Connection) -> list[PortfolioRow]:
    """All portfolios, oldest first."""
    with conn.cursor(row_factory=class_row(PortfolioRow)) as cursor:
        return cursor.execute(
            sql.SQL("select {} from public.portfolios order by created_at, portfolio_id").format(
                sql.SQL(_PORTFOLIO)
            )
        ).fetchall()


def save_portfolio(
    conn: Connection,
    *,
    user_id: UUID,
    name: str,
    wallet: str,
    hub_mint: str,
    strategy_id: UUID | None,
    settings: dict[str, Any],
) -> UUID:
    """Insert a portfolio, or return the one of that user, name and wallet."""
    row = conn.execute(
        "select portfolio_id from public.portfolios where (user_id, name, wallet) = (%s, %s, %s)",
        (user_id, name, wallet),
    ).fetchone()
    if row is None:
        row = conn.execute(
            """
            insert into public.portfolios (user_id, name, wallet, hub_mint, strategy_id, settings)
            values (%s, %s, %s, %s, %s, %s) returning portfolio_id
            """,
            (user_id, name, wallet, hub_mint, strategy_id, Jsonb(settings)),
        ).fetchone()
    assert row is not None
    return row[0]


def open_request(
    conn: Connection, table: RequestTable, spec: dict[str, Any], user_id: UUID | None = None
) -> UUID:
    """Store a request; a sensor, or the caller, materialises its answer."""
    row = conn.execute(
        sql.SQL("insert into {} (user_id, spec) values (%s, %s) returning request_id").format(
            sql.Identifier("public", table)
        ),
        (user_id, Jsonb(spec)),
    ).fetchone()
    assert row is not None
    return row[0]


def request(conn: Connection, table: RequestTable, request_id: str | UUID) -> RequestRow:
    """One request.

    Raises
    ------
    UnknownRow
        There is no request with that id.
    """
    with conn.cursor(row_factory=class_row(RequestRow)) as cursor:
        found = cursor.execute(
            sql.SQL("select {} from {} where request_id::text = %s").format(
                sql.SQL(_REQUEST), sql.Identifier("public", table)
            ),
            (str(request_id),),
        ).fetchone()
    if found is None:
        raise UnknownRow(f"no request {request_id!s} in {table}")
    return found


def pending_requests(conn: Connection, table: RequestTable) -> list[RequestRow]:
    """Requests that nobody has answered yet, oldest first.

    A request left `running` by a process that died is pending again: whoever calls this holds the
    work, and answering twice writes nothing new.
    """
    with conn.cursor(row_factory=class_row(RequestRow)) as cursor:
        return cursor.execute(
            sql.SQL(
                "select {} from {} where state in ('queued', 'running') order by created_at"
            ).format(sql.SQL(_REQUEST), sql.Identifier("public", table))
        ).fetchall()


def mark_request(
    conn: Connection,
    table: RequestTable,
    request_id: str | UUID,
    state: str,
    *,
    reason: str | None = None,
    progress: float | None = None,
    version: UUID | None = None,
) -> bool:
    """Move a request to `state`; a cancelled one stays cancelled (returns False)."""
    cursor = conn.execute(
        sql.SQL(
            """
            update {} set state = %(state)s, reason = %(reason)s,
                progress = coalesce(%(progress)s, progress),
                version = coalesce(%(version)s, version),
                started_at = coalesce(started_at, case when %(state)s = 'running' then now() end),
                finished_at = case when %(state)s in ('done', 'failed') then now() end
            where request_id::text = %(id)s and state <> 'cancelled'
            """
        ).format(sql.Identifier("public", table)),
        {
            "state": state,
            "reason": reason,
            "progress": progress,
            "version": version,
            "id": str(request_id),
        },
    )
    return cursor.rowcount == 1
