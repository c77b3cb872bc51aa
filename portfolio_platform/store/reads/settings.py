"""Settings of the caller."""

from __future__ import annotations

from portfolio_platform.store.reads.exchange import Statement

READ = Statement(
    "select settings, updated_at from public.user_settings where user_id = (select auth.uid())"
)

# $1 settings.
REPLACE = Statement(
    """
insert into public.user_settings (user_id, settings) values ((select auth.uid()), $1::jsonb)
on conflict (user_id) do update set settings = excluded.settings, updated_at = now()
returning settings, updated_at
"""
)

DEFAULT_STRATEGY = Statement(
    "select settings ->> 'default_strategy' as strategy from public.user_settings "
    "where user_id = (select auth.uid())"
)
