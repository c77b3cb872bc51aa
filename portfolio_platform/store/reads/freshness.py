"""How old everything is, each from the end of an index, never from a scan."""

# ruff: noqa: S608 - only constants of this module go into the text, values are parameters
from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

_FACTS = {
    "token_prices": "price_id",
    "pool_states": "pool_state_id",
    "lending_reserves": "reserve_id",
    "stake_pool_rates": "rate_id",
}

_NEWEST_FACT = " union all ".join(
    f"(select '{table}' as source, null::text as detail, slot, observed_at, recorded_at "
    f"from public.{table} order by {key} desc limit 1)"
    for table, key in _FACTS.items()
)

FACTS = Statement(_NEWEST_FACT)

BARS = Statement(
    """
select 'market_bars' as source, i.bar_interval as detail, null::bigint as slot,
       max(b.observed_at) as observed_at, max(b.recorded_at) as recorded_at
from (values ('1m'), ('1h'), ('1d')) as i (bar_interval)
cross join public.bar_series as s
join lateral (
    select m.observed_at, m.recorded_at from public.market_bars as m
    where m.series_id = s.series_id and m.bar_interval = i.bar_interval
    order by m.observed_at desc, m.recorded_at desc limit 1
) as b on true
group by i.bar_interval
"""
)

# Subjects are found by skipping along the index (kind, subject, recorded_at).
VERSIONS = Statement(
    """
with recursive subjects as (
    (select v.kind, v.subject from public.versions as v order by v.kind, v.subject limit 1)
    union all
    select n.kind, n.subject from subjects as s
    cross join lateral (
        select v.kind, v.subject from public.versions as v
        where (v.kind, v.subject) > (s.kind, s.subject) order by v.kind, v.subject limit 1
    ) as n
), bounded as (
    select * from subjects limit 500
)
select b.kind as source, b.subject as detail, null::bigint as slot,
       l.as_of as observed_at, l.recorded_at
from bounded as b
cross join lateral (
    select v.as_of, v.recorded_at from public.versions as v
    where v.kind = b.kind and v.subject = b.subject order by v.recorded_at desc, v.version limit 1
) as l
"""
)

# Relations without which the API cannot answer.
SCHEMA = Statement(
    """
select coalesce(array_agg(r.name) filter (where to_regclass(r.name) is null), '{}') as missing
from unnest(array['public.versions', 'public.weight_sets', 'public.reallocation_plans',
                  'public.backtest_reports', 'public.optimization_requests',
                  'public.user_settings', 'public.token_metrics', 'public.market_bars'])
     as r (name)
"""
)

NEWEST_SNAPSHOT = Statement(
    "select recorded_at from public.token_prices order by price_id desc limit 1"
)
