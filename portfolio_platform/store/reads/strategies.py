"""Strategies: the platform's own and the caller's."""

# ruff: noqa: S608 - only constants of this module go into the text, values are parameters
from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

_COLUMNS = """
strategy_id, slug, name, spec, enabled, created_at, updated_at,
case when user_id is null then 'platform' else 'own' end as owner
"""

# $1 slug and $2 id of the last row before (null: first page), $3 n.
PAGE = Statement(
    f"""
select {_COLUMNS} from public.strategies
where $1::text is null or (slug, strategy_id) > ($1::text, $2::uuid)
order by slug, strategy_id limit $3::integer
"""
)

# $1 id.
ONE = Statement(f"select {_COLUMNS} from public.strategies where strategy_id = $1::uuid")

# $1 slug, $2 name, $3 spec, $4 enabled.
INSERT = Statement(
    f"""
insert into public.strategies (user_id, slug, name, spec, enabled)
values ((select auth.uid()), $1::text, $2::text, $3::jsonb, $4::boolean)
returning {_COLUMNS}
"""
)

# $1 id, then slug, name, spec, enabled: null leaves a column as it is. $6 expected updated_at.
UPDATE = Statement(
    f"""
update public.strategies set
    slug = coalesce($2::text, slug), name = coalesce($3::text, name),
    spec = coalesce($4::jsonb, spec), enabled = coalesce($5::boolean, enabled), updated_at = now()
where strategy_id = $1::uuid and user_id = (select auth.uid())
  and ($6::timestamptz is null or updated_at = $6::timestamptz)
returning {_COLUMNS}
"""
)

# $1 id.
DELETE = Statement(
    "delete from public.strategies where strategy_id = $1::uuid "
    "and user_id = (select auth.uid()) returning strategy_id"
)
