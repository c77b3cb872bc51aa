"""Questions that the asset checks ask of the stored data; each answers with what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row, dict_row


def _rows(conn: Connection, query: bytes, **parameters: Any) -> list[dict[str, Any]]:
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query, parameters).fetchall()


def corrupt_accounts(conn: Connection) -> list[str]:
    """Hashes of the newest fetch whose bytes no longer match."""
    rows = _rows(
        conn,
        b"""
        select d.sha256 from (select snapshot_ids from chain.fetches
                              order by recorded_at desc limit 1) as f
        join chain.account_snapshots as s on s.snapshot_id = any (f.snapshot_ids)
        join chain.account_data as d using (sha256)
        where encode(sha256(d.data), 'hex') <> d.sha256
        """,
    )
    return [row["sha256"] for row in rows]


def disagreeing_prices(conn: Connection, limit: float) -> list[dict[str, Any]]:
    """Tokens whose accepted prices of the newest snapshot lie further apart than `limit`."""
    return _rows(
        conn,
        b"""
        select mint, min(price) as lowest, max(price) as highest from public.token_prices
        where verdict = 'accepted'
          and observed_at = (select max(observed_at) from public.token_prices)
        group by mint
        having max(price) / min(price) - 1 > 2 * %(limit)s
        """,
        limit=limit,
    )


def unpriced_tokens(conn: Connection) -> list[dict[str, Any]]:
    """Tokens with prices in the newest snapshot of which none was accepted."""
    return _rows(
        conn,
        b"""
        select t.symbol, p.mint, array_agg(distinct reason) as reasons
        from public.token_prices as p
        join public.tokens as t using (mint)
        cross join lateral unnest(p.reasons) as reason
        where p.observed_at = (select max(observed_at) from public.token_prices)
          and not exists (
              select 1 from public.token_prices as a
              where a.mint = p.mint and a.verdict = 'accepted' and a.observed_at = p.observed_at)
        group by t.symbol, p.mint
        order by t.symbol
        """,
    )


def impossible_bars(conn: Connection) -> int:
    """Clean bars that are not positive, not ordered, or closed after they were recorded."""
    rows = _rows(
        conn,
        b"""
        select count(*) as n from public.market_bars
        where state = 'clean'
          and (close <= 0 or high < low
               or observed_at + case bar_interval when '1m' then interval '1 minute'
                      when '1h' then interval '1 hour' else interval '1 day' end > recorded_at)
        """,
    )
    return int(rows[0]["n"])


def weights_off_one(conn: Connection) -> list[dict[str, Any]]:
    """Newest weight sets that do not sum to one within 1e-9."""
    return _rows(
        conn,
        b"""
        with newest as (
            select distinct on (v.subject) v.subject, v.version
            from public.versions as v join public.weight_sets as s using (version)
            where s.status = 'optimal'
            order by v.subject, v.recorded_at desc, v.version)
        select n.subject, sum(w.weight) as total
        from newest as n join public.weights as w using (version)
        group by n.subject having abs(sum(w.weight) - 1) > 1e-9
        """,
    )


def failed_strategies(conn: Connection) -> list[dict[str, Any]]:
    """Strategies whose newest attempt has no weights."""
    return _rows(
        conn,
        b"""
        select subject, status, reason from (
            select distinct on (v.subject) v.subject, s.status, s.reason
            from public.versions as v join public.weight_sets as s using (version)
            order by v.subject, v.recorded_at desc, v.version) as newest
        where status <> 'optimal' order by subject
        """,
    )


def portfolios_without_outcome(conn: Connection) -> list[dict[str, Any]]:
    """Portfolios whose strategy has weights but that have no plan, or one without a reason."""
    return _rows(
        conn,
        b"""
        select p.portfolio_id::text, p.name from public.portfolios as p
        where exists (select 1 from public.weight_sets as s
                      where s.strategy_id = p.strategy_id and s.status = 'optimal')
          and not exists (select 1 from public.reallocation_plans as r
                          where r.portfolio_id = p.portfolio_id and cardinality(r.reasons) > 0)
        """,
    )


@dataclass(frozen=True)
class NewestWeights:
    """The newest good weights of an enabled strategy, decided by the spec it has now."""

    slug: str
    spec: dict[str, Any]
    version: UUID
    weights: dict[str, float]
    previous: dict[str, float] | None


def newest_weights(conn: Connection) -> list[NewestWeights]:
    """Newest good weights of every enabled strategy with those of the version before.

    Weights decided by an earlier spec are left out: the next decision replaces them.
    """
    with conn.cursor(row_factory=class_row(NewestWeights)) as cursor:
        return cursor.execute(
            """
            with good as (
                select s.strategy_id, v.version, v.recorded_at, row_number() over (
                           partition by s.strategy_id
                           order by v.recorded_at desc, v.version) as age
                from public.weight_sets as s join public.versions as v using (version)
                where s.status = 'optimal'),
            sets as (
                select g.strategy_id, g.age, g.version, g.recorded_at,
                       jsonb_object_agg(w.mint, w.weight) as weights
                from good as g join public.weights as w using (version)
                where g.age <= 2 group by 1, 2, 3, 4)
            select t.slug, t.spec, n.version, n.weights, p.weights as previous
            from public.strategies as t
            join sets as n on n.strategy_id = t.strategy_id and n.age = 1
            left join sets as p on p.strategy_id = t.strategy_id and p.age = 2
            where t.enabled and n.recorded_at >= t.updated_at
            order by t.slug
            """
        ).fetchall()


def bars_behind(conn: Connection) -> list[dict[str, Any]]:
    """How far, in bars, the newest clean bar of an interval lies behind what oracles call now.

    Intervals are those that enabled strategies look at; one without any bar is left out, and so
    is everything where no oracle price was ever accepted: what is replayed from records has no
    present that bars could lag behind.
    """
    return _rows(
        conn,
        b"""
        with lengths(bar_interval, length) as (
            values ('1m', interval '1 minute'), ('1h', interval '1 hour'), ('1d', interval '1 day'))
        select l.bar_interval, max(b.observed_at) + l.length as closed_at,
               present.at as published_at,
               extract(epoch from present.at - max(b.observed_at) - l.length)::float8
                   / extract(epoch from l.length)::float8 as bars
        from lengths as l
        join public.market_bars as b on b.bar_interval = l.bar_interval and b.state = 'clean'
        cross join (select max(published_at) as at from public.token_prices
                    where verdict = 'accepted') as present
        where present.at is not null
          and exists (select 1 from public.strategies as s
                      where s.enabled
                        and coalesce(s.spec ->> 'bar_interval', '1d') = l.bar_interval)
        group by l.bar_interval, l.length, present.at
        order by l.length
        """,
    )
