"""Facts that alert rules compare, as they stand now."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import dict_row

_AGES = {
    "prices": "select max(observed_at) from public.token_prices where verdict = 'accepted'",
    "bars": "select max(observed_at) from public.market_bars where state = 'clean'",
    "metrics": "select max(recorded_at) from public.versions where kind = 'metrics'",
    "weights": "select max(recorded_at) from public.versions where kind = 'weights'",
}


def prices(conn: Connection, mint: str, since: datetime) -> list[tuple[datetime, float]]:
    """Accepted prices and clean closes (at the close of their bar), oldest first.

    The last one before `since` is the first of the list, where there is one.
    """
    rows = conn.execute(
        """
        with known as (
            select observed_at as at, avg(price) as price from public.token_prices
            where mint = %(mint)s and verdict = 'accepted' group by observed_at
            union all
            select b.observed_at + case b.bar_interval when '1d' then interval '1 day'
                       when '1h' then interval '1 hour' else interval '1 minute' end,
                   avg(b.close)
            from public.market_bars as b join public.bar_series as s using (series_id)
            where s.mint = %(mint)s and b.state = 'clean' and b.bar_interval in ('1h', '1d')
              and b.observed_at > %(since)s - interval '3 days'
            group by b.bar_interval, b.observed_at
        )
        (select at, price from known where at <= %(since)s order by at desc limit 1)
        union all
        (select at, price from known where at > %(since)s order by at)
        order by 1
        """,
        {"mint": mint, "since": since},
    ).fetchall()
    return [(at, float(price)) for at, price in rows]


def depths(conn: Connection, mint: str, since: datetime) -> list[tuple[datetime, float]]:
    """Depth at 100 bps over all usable pools of a token, per observation since `since`."""
    rows = conn.execute(
        """
        select observed_at, sum(depth_100bps) from (
            select distinct on (pubkey, observed_at) pubkey, observed_at, depth_100bps
            from public.pool_states
            where (mint_a = %(mint)s or mint_b = %(mint)s) and refused is null
              and depth_100bps is not null and observed_at >= %(since)s
            order by pubkey, observed_at, recorded_at desc) as newest
        group by observed_at order by observed_at
        """,
        {"mint": mint, "since": since},
    ).fetchall()
    return [(at, float(depth)) for at, depth in rows]


def reserve_utilization(conn: Connection, mint: str) -> tuple[datetime, float] | None:
    """Utilization of the token's largest lending reserve."""
    return conn.execute(
        """
        select observed_at, utilization from (
            select distinct on (pubkey) observed_at, utilization, borrowed
            from public.lending_reserves where mint = %s and utilization is not null
            order by pubkey, slot desc, recorded_at desc) as newest
        order by borrowed desc limit 1
        """,
        (mint,),
    ).fetchone()


def portfolio_state(
    conn: Connection, user_id: UUID, portfolio_id: str
) -> tuple[datetime, dict[str, Any]] | None:
    """Newest state of one of the user's portfolios."""
    return conn.execute(
        """
        select v.as_of, s.state from public.portfolio_states as s
        join public.versions as v using (version)
        where s.portfolio_id::text = %s and v.user_id = %s
        order by v.recorded_at desc, v.version limit 1
        """,
        (portfolio_id, user_id),
    ).fetchone()


def portfolio_values(
    conn: Connection, user_id: UUID, portfolio_id: str, since: datetime
) -> list[tuple[datetime, float]]:
    """Value of one of the user's portfolios in base units of its hub, oldest first.

    States that lack a price have no value and are left out.
    """
    rows = conn.execute(
        """
        select v.as_of, s.nav from public.portfolio_states as s
        join public.versions as v using (version)
        where s.portfolio_id::text = %s and v.user_id = %s and v.as_of >= %s
          and s.nav is not null
        order by v.as_of, v.recorded_at
        """,
        (portfolio_id, user_id, since),
    ).fetchall()
    return [(at, float(nav)) for at, nav in rows]


def newest_plans(conn: Connection, user_id: UUID, portfolio_id: str | None) -> list[dict[str, Any]]:
    """Newest plan of each of the user's portfolios (or of this one)."""
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select distinct on (p.portfolio_id) p.portfolio_id::text, f.name, v.as_of,
                   v.version::text, p.outcome, p.reasons
            from public.reallocation_plans as p
            join public.versions as v using (version)
            join public.portfolios as f using (portfolio_id)
            where f.user_id = %(user)s
              and (%(portfolio)s::text is null or p.portfolio_id::text = %(portfolio)s)
            order by p.portfolio_id, v.recorded_at desc, v.version
            """,
            {"user": user_id, "portfolio": portfolio_id},
        ).fetchall()


def newest(conn: Connection, source: str) -> datetime | None:
    """Time of the newest row of a source: prices, bars, metrics or weights."""
    row = conn.execute(_AGES[source].encode()).fetchone()
    assert row is not None
    return row[0]


def symbol(conn: Connection, mint: str) -> str | None:
    """Symbol of a known token."""
    row = conn.execute("select symbol from public.tokens where mint = %s", (mint,)).fetchone()
    return None if row is None else row[0]


def owns_portfolio(conn: Connection, user_id: UUID, portfolio_id: str) -> bool:
    """Whether the portfolio exists and is the user's."""
    row = conn.execute(
        "select exists (select from public.portfolios "
        "where portfolio_id::text = %s and user_id = %s)",
        (portfolio_id, user_id),
    ).fetchone()
    assert row is not None
    return bool(row[0])
