"""Market metrics of a token, from the newest version that speaks of it."""

from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

# $1 mint, $2 as_of (null: now).
LATEST = Statement(
    """
select t.mint, t.symbol, m.version, m.content_hash, m.data_as_of, m.computed_at
from public.tokens as t
left join lateral (
    select v.version, v.content_hash, v.as_of as data_as_of, v.recorded_at as computed_at
    from public.versions as v
    join public.token_metrics as x on x.version = v.version and x.mint = t.mint
    where v.kind = 'metrics' and v.subject = 'market'
      and v.recorded_at <= coalesce($2::timestamptz, 'infinity')
    order by v.recorded_at desc, v.version limit 1
) as m on true
where t.mint = $1::text
"""
)

# $1 version, $2 mint.
BODY = Statement(
    "select metrics from public.token_metrics where version = $1::uuid and mint = $2::text"
)
