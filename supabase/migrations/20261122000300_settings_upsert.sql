-- PostgREST's upsert writes every column of the body on conflict, the key included. Row security
-- still pins user_id to the caller.
grant update (user_id) on public.user_settings to authenticated;
