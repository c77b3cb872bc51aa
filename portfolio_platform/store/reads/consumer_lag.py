"""Lag of the change feed, for whoever may not enter the schema `ops`."""

from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

LAG = Statement(
    """
select c.*
from public.consumer_lag() as f
cross join lateral jsonb_to_record(f) as c (
    consumer text, events bigint, seconds float8, dead_letters bigint,
    held_events bigint, held_seconds float8)
order by c.consumer
"""
)
