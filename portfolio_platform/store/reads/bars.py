"""Clean bars of a token, as known at a given time."""

from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

# $1 mint. Which series there are; the first one is served unless the caller chooses.
SERIES = Statement(
    """
select s.series_id, s.venue, s.symbol, s.instrument, s.multiplier, s.quote
from public.tokens as t
left join public.bar_series as s on s.mint = t.mint
where t.mint = $1::text
order by array_position(array['spot', 'oracle', 'pool', 'perp'], s.instrument), s.venue,
         s.symbol, s.series_id
"""
)

# $1 series, $2 interval, $3 from, $4 to (exclusive), $5 as_of (null: now), $6 n.
PAGE = Statement(
    """
select distinct on (b.observed_at)
       b.observed_at, b.open, b.high, b.low, b.close, b.volume, b.state, b.flags, b.recorded_at
from public.market_bars as b
where b.series_id = $1::bigint and b.bar_interval = $2::text
  and b.observed_at >= coalesce($3::timestamptz, '-infinity')
  and b.observed_at < coalesce($4::timestamptz, 'infinity')
  and b.recorded_at <= coalesce($5::timestamptz, 'infinity')
order by b.observed_at, b.recorded_at desc
limit $6::integer
"""
)
