"""Counters of the RPC endpoints, for whoever may not enter the schema `ops`."""

from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

COUNTERS = Statement(
    """
select c.*
from public.rpc_counters() as r
cross join lateral jsonb_to_record(r) as c (
    endpoint text, requests bigint, retries bigint, hedges bigint, rate_limited bigint,
    errors jsonb, bytes_received bigint, throttled_seconds float8, latency_seconds float8,
    slot bigint, slot_lag bigint)
order by c.endpoint
"""
)
