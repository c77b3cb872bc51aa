"""Requests of the caller, of both kinds: stored here, answered by the pipeline."""

# ruff: noqa: S608 - only constants of this module go into the text, values are parameters
from __future__ import annotations

from dataclasses import dataclass

from portfolio_platform.store.reads.exchange import Statement

_COLUMNS = """
request_id, state, reason, progress, version, spec, idempotency_key, created_at, started_at,
finished_at, user_id is null as of_platform
"""


@dataclass(frozen=True)
class RequestStatements:
    """Statements of one of the two request tables, which have the same columns."""

    lock: Statement
    insert: Statement
    by_key: Statement
    one: Statement
    page: Statement
    cancel: Statement


def _of(table: str) -> RequestStatements:
    return RequestStatements(
        # One user's inserts follow each other, so that the quota cannot be overrun.
        lock=Statement(
            f"select pg_advisory_xact_lock(hashtextextended('{table}' || auth.uid()::text, 7))"
        ),
        # $1 spec, $2 idempotency key, $3 sha256 of the body, $4 quota.
        insert=Statement(
            f"""
with open_ones as (
    select count(*) as n from public.{table}
    where user_id = (select auth.uid()) and state in ('queued', 'running')
), known as (
    select 1 from public.{table}
    where user_id = (select auth.uid()) and idempotency_key = $2::text
)
insert into public.{table} (user_id, spec, idempotency_key, body_sha256)
select (select auth.uid()), $1::jsonb, $2::text, $3::text
from open_ones where n < $4::integer and not exists (select 1 from known)
on conflict (user_id, idempotency_key) do nothing
returning {_COLUMNS}
"""
        ),
        # $1 idempotency key.
        by_key=Statement(
            f"select {_COLUMNS}, body_sha256 from public.{table} "
            "where user_id = (select auth.uid()) and idempotency_key = $1::text"
        ),
        # $1 id.
        one=Statement(f"select {_COLUMNS} from public.{table} where request_id = $1::uuid"),
        # $1 state or null, $2 created_at and $3 id of the last row before, $4 n.
        page=Statement(
            f"""
select {_COLUMNS} from public.{table}
where ($1::text is null or state = $1::text)
  and ($2::timestamptz is null or (created_at, request_id) < ($2::timestamptz, $3::uuid))
order by created_at desc, request_id desc limit $4::integer
"""
        ),
        # $1 id.
        cancel=Statement(
            f"update public.{table} set state = 'cancelled' where request_id = $1::uuid "
            f"and state in ('queued', 'running') returning {_COLUMNS}"
        ),
    )


OPTIMIZATIONS = _of("optimization_requests")
BACKTESTS = _of("backtest_requests")

# $1 request. The newest report of the request.
REPORT_HEADER = Statement(
    """
select b.version, v.content_hash, v.as_of as data_as_of, v.recorded_at as computed_at, b.outcome
from public.backtest_reports as b join public.versions as v on v.version = b.version
where b.request_id = $1::uuid
order by v.recorded_at desc, v.version limit 1
"""
)

# $1 version.
REPORT_BODY = Statement(
    "select outcome, report from public.backtest_reports where version = $1::uuid"
)

# $1 version.
REPORT_HTML = Statement("select html from public.backtest_reports where version = $1::uuid")
