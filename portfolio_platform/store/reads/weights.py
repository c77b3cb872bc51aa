"""Weight sets: the newest good one of a strategy, one version, its history and its lineage."""

# ruff: noqa: S608 - only constants of this module go into the text, values are parameters
from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

# A user's own slug wins over the platform's; the subject of a weight version is the slug of a
# platform strategy and the id of a user's one.
_STRATEGY = """
strategy as (
    select * from (
        select strategy_id, user_id, slug, name from public.strategies
        where user_id = (select auth.uid()) and slug = $1::text
        union all
        select strategy_id, user_id, slug, name from public.strategies
        where user_id is null and slug = $1::text
        union all
        select strategy_id, user_id, slug, name from public.strategies where strategy_id = $2::uuid
    ) as candidates
    limit 1
)
"""

_OF_STRATEGY = """
    from public.versions as v join public.weight_sets as w on w.version = v.version
    where v.kind = 'weights'
      and v.subject = case when s.user_id is null then s.slug else s.strategy_id::text end
      and v.recorded_at <= coalesce($3::timestamptz, 'infinity')
      and w.strategy_id = s.strategy_id
"""

# $1 slug, $2 id (null when it is none), $3 as_of (null: now).
LATEST = Statement(
    f"""
with {_STRATEGY}
select s.strategy_id, s.slug, s.name,
       good.version, good.content_hash, good.data_as_of, good.computed_at,
       attempt.version as attempt_version, attempt.status as attempt_status,
       attempt.reason as attempt_reason, attempt.computed_at as attempt_at
from strategy as s
left join lateral (
    select v.version, v.content_hash, v.as_of as data_as_of, v.recorded_at as computed_at
    {_OF_STRATEGY} and w.status = 'optimal'
    order by v.recorded_at desc, v.version limit 1
) as good on true
left join lateral (
    select v.version, v.recorded_at as computed_at, w.status, w.reason
    {_OF_STRATEGY}
    order by v.recorded_at desc, v.version limit 1
) as attempt on true
"""
)

# $1 slug, $2 id, $3 as_of, $4 recorded_at and $5 version of the last row of the page before, $6 n.
HISTORY = Statement(
    f"""
with {_STRATEGY}
select s.strategy_id, s.slug, s.name, page.*
from strategy as s
left join lateral (
    select v.version, v.content_hash, v.as_of as data_as_of, v.recorded_at as computed_at,
           w.status, w.reason
    {_OF_STRATEGY}
      and ($4::timestamptz is null or v.recorded_at < $4::timestamptz
           or (v.recorded_at = $4::timestamptz and v.version > $5::uuid))
    order by v.recorded_at desc, v.version limit $6::integer
) as page on true
"""
)

# $1 version. A set that answers an optimization request has no stored strategy.
HEADER = Statement(
    """
select v.version, v.content_hash, v.as_of as data_as_of, v.recorded_at as computed_at,
       s.strategy_id, s.slug, s.name, w.request_id
from public.versions as v
join public.weight_sets as w on w.version = v.version
left join public.strategies as s on s.strategy_id = w.strategy_id
where v.version = $1::uuid and v.kind = 'weights'
"""
)

# $1 version.
BODY = Statement(
    """
select v.version, v.content_hash, v.as_of as data_as_of, v.recorded_at as computed_at,
       v.code_version, v.run_id, s.strategy_id, s.slug, s.name, w.request_id,
       w.status, w.reason, w.solution, w.report,
       (select coalesce(jsonb_agg(jsonb_build_object('mint', x.mint, 'symbol', t.symbol,
                                                     'weight', x.weight)
                                  order by x.weight desc, x.mint), '[]')
        from public.weights as x left join public.tokens as t on t.mint = x.mint
        where x.version = v.version) as weights
from public.versions as v
join public.weight_sets as w on w.version = v.version
left join public.strategies as s on s.strategy_id = w.strategy_id
where v.version = $1::uuid and v.kind = 'weights'
"""
)
