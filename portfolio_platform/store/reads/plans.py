"""Portfolio states and reallocation plans of a portfolio."""

# ruff: noqa: S608 - only constants of this module go into the text, values are parameters
from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

_HEADER = """
v.version, v.content_hash, v.as_of as data_as_of, v.recorded_at as computed_at
"""

_KNOWN = """
where v.subject = p.portfolio_id::text
  and v.recorded_at <= coalesce($2::timestamptz, 'infinity')
"""

# $1 portfolio, $2 as_of (null: now).
STATE_LATEST = Statement(
    f"""
select p.portfolio_id, h.* from public.portfolios as p
left join lateral (
    select {_HEADER} from public.versions as v {_KNOWN} and v.kind = 'portfolio_state'
    order by v.recorded_at desc, v.version limit 1
) as h on true
where p.portfolio_id = $1::uuid
"""
)

# $1 version.
STATE_BODY = Statement(
    """
select s.nav::text as nav, s.state
from public.portfolio_states as s where s.version = $1::uuid
"""
)

# $1 portfolio, $2 as_of (null: now).
PLAN_LATEST = Statement(
    f"""
select p.portfolio_id, h.* from public.portfolios as p
left join lateral (
    select {_HEADER} from public.versions as v {_KNOWN} and v.kind = 'plan'
    order by v.recorded_at desc, v.version limit 1
) as h on true
where p.portfolio_id = $1::uuid
"""
)

# $1 version.
PLAN_HEADER = Statement(
    f"""
select r.portfolio_id, {_HEADER}
from public.versions as v join public.reallocation_plans as r on r.version = v.version
where v.version = $1::uuid and v.kind = 'plan'
"""
)

# $1 version.
PLAN_BODY = Statement(
    """
select r.outcome, r.reasons, r.plan, r.plan_inputs,
       (select coalesce(jsonb_agg(jsonb_build_object(
                   'step', t.step, 'side', t.side, 'mint_in', t.mint_in, 'mint_out', t.mint_out,
                   'pool', t.pool, 'amount_in', t.amount_in::text,
                   'expected_out', t.expected_out::text, 'min_out', t.min_out::text,
                   'fee', t.fee::text, 'impact_bps', t.impact_bps) order by t.step), '[]')
        from public.plan_trades as t where t.version = r.version) as trades
from public.reallocation_plans as r where r.version = $1::uuid
"""
)

# $1 portfolio, $2 as_of, $3 recorded_at and $4 version of the last row before, $5 n.
PLAN_HISTORY = Statement(
    f"""
select p.portfolio_id, h.* from public.portfolios as p
left join lateral (
    select {_HEADER}, r.outcome, r.reasons,
           (select count(*) from public.plan_trades as t where t.version = v.version) as n_trades
    from public.versions as v join public.reallocation_plans as r on r.version = v.version
    {_KNOWN} and v.kind = 'plan'
      and ($3::timestamptz is null or v.recorded_at < $3::timestamptz
           or (v.recorded_at = $3::timestamptz and v.version > $4::uuid))
    order by v.recorded_at desc, v.version limit $5::integer
) as h on true
where p.portfolio_id = $1::uuid
"""
)
