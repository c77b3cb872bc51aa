"""Portfolios of the caller."""

# ruff: noqa: S608 - only constants of this module go into the text, values are parameters
from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

_COLUMNS = "portfolio_id, name, wallet, strategy_id, hub_mint, settings, created_at, updated_at"

# $1 created_at and $2 id of the last row before (null: first page), $3 n.
PAGE = Statement(
    f"""
select {_COLUMNS} from public.portfolios
where $1::timestamptz is null or (created_at, portfolio_id) > ($1::timestamptz, $2::uuid)
order by created_at, portfolio_id limit $3::integer
"""
)

# $1 id.
ONE = Statement(f"select {_COLUMNS} from public.portfolios where portfolio_id = $1::uuid")

# $1 strategy id. A foreign key is checked without row security, so visibility is asked first.
STRATEGY_VISIBLE = Statement(
    "select $1::uuid is null or exists "
    "(select 1 from public.strategies where strategy_id = $1::uuid) as visible"
)

# $1 name, $2 wallet, $3 strategy id, $4 hub mint, $5 settings.
INSERT = Statement(
    f"""
insert into public.portfolios (user_id, name, wallet, strategy_id, hub_mint, settings)
select (select auth.uid()), $1::text, $2::text, $3::uuid, $4::text, $5::jsonb
where $3::uuid is null
   or exists (select 1 from public.strategies where strategy_id = $3::uuid)
returning {_COLUMNS}
"""
)

# $1 id, $2 name, $3 wallet, $4 set strategy?, $5 strategy id, $6 hub mint, $7 settings,
# $8 expected updated_at; null leaves a column as it is.
UPDATE = Statement(
    f"""
update public.portfolios set
    name = coalesce($2::text, name), wallet = coalesce($3::text, wallet),
    strategy_id = case when $4::boolean then $5::uuid else strategy_id end,
    hub_mint = coalesce($6::text, hub_mint), settings = coalesce($7::jsonb, settings),
    updated_at = now()
where portfolio_id = $1::uuid
  and ($8::timestamptz is null or updated_at = $8::timestamptz)
  and (not $4::boolean or $5::uuid is null
       or exists (select 1 from public.strategies where strategy_id = $5::uuid))
returning {_COLUMNS}
"""
)

# $1 id.
DELETE = Statement(
    "delete from public.portfolios where portfolio_id = $1::uuid returning portfolio_id"
)
