"""Prices on chain: the newest accepted one, and what every source last said."""

from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

# $1 mint, $2 as_of (null: now). The newest rows are enough to hold every source's last word.
LATEST = Statement(
    """
with known as (
    select p.* from public.token_prices as p
    where p.mint = $1::text and p.recorded_at <= coalesce($2::timestamptz, 'infinity')
    order by p.observed_at desc, p.recorded_at desc limit 200
), accepted as (
    select p.* from public.token_prices as p
    where p.mint = $1::text and p.verdict = 'accepted'
      and p.recorded_at <= coalesce($2::timestamptz, 'infinity')
    order by p.observed_at desc, p.recorded_at desc limit 1
)
select t.mint, t.symbol, a.price_id, a.price, a.confidence, a.source, a.pubkey, a.slot,
       a.published_at, a.observed_at as data_as_of, a.recorded_at as computed_at,
       (select coalesce(jsonb_agg(to_jsonb(q) order by q.source, q.pubkey), '[]') from (
            select distinct on (k.source, k.pubkey)
                   k.source, k.pubkey, k.slot, k.price, k.confidence, k.verdict, k.reasons,
                   k.age_seconds as published_age_seconds, k.observed_at, k.recorded_at
            from known as k order by k.source, k.pubkey, k.observed_at desc, k.recorded_at desc
        ) as q) as sources
from public.tokens as t left join accepted as a on true
where t.mint = $1::text
"""
)
