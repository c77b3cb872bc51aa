"""Tokens by mint."""

# ruff: noqa: S608 - only constants of this module go into the text, values are parameters
from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

_COLUMNS = "mint, symbol, name, decimals, is_stable, token_group, token_program, recorded_at"

# $1 symbol or null, $2 group or null, $3 mint of the last row before, $4 n.
PAGE = Statement(
    f"""
select {_COLUMNS} from public.tokens
where ($1::text is null or symbol = $1::text)
  and ($2::text is null or token_group = $2::text)
  and mint > coalesce($3::text, '')
order by mint limit $4::integer
"""
)

# $1 mint.
ONE = Statement(f"select {_COLUMNS} from public.tokens where mint = $1::text")
