-- What a Supabase project has before the first migration, for a server that is not one.
-- Run as a superuser, once per database, as often as you like.

do $$
begin
    if not exists (select from pg_roles where rolname = 'anon') then
        create role anon nologin noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'authenticated') then
        create role authenticated nologin noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'service_role') then
        create role service_role nologin noinherit bypassrls;
    end if;
    if not exists (select from pg_roles where rolname = 'authenticator') then
        create role authenticator login noinherit;
    end if;
    if not exists (select from pg_roles where rolname = 'supabase_auth_admin') then
        create role supabase_auth_admin login noinherit createrole;
    end if;
    if not exists (select from pg_roles where rolname = 'portfolio_api') then
        create role portfolio_api login noinherit;  -- the read layer: can become the two user roles only
    end if;
    if not exists (select from pg_roles where rolname = 'postgres') then
        create role postgres login createdb createrole replication bypassrls;
    end if;
end
$$;

grant anon, authenticated, service_role to authenticator;
grant anon, authenticated to portfolio_api;
alter role portfolio_api set statement_timeout = '8s';
alter role portfolio_api set default_transaction_read_only = on;
grant anon, authenticated, service_role to postgres;
alter role anon set statement_timeout = '3s';
alter role authenticated set statement_timeout = '8s';
alter role authenticator set statement_timeout = '8s';

do $$
begin
    execute format('grant create, connect, temporary on database %I to postgres', current_database());
end
$$;

create schema if not exists extensions;
create schema if not exists auth;
create schema if not exists realtime;
create schema if not exists supabase_migrations authorization postgres;
alter schema public owner to postgres;
revoke create on schema public from public;
grant usage on schema public, extensions, auth to anon, authenticated, service_role;
grant usage on schema auth, realtime, extensions to postgres;
grant usage on schema realtime to anon, authenticated, service_role;

-- ---------------------------------------------------------------------------------------------
-- Auth: the columns that migrations and policies refer to
-- ---------------------------------------------------------------------------------------------
create table if not exists auth.users (
    id                 uuid primary key default gen_random_uuid(),
    aud                text default 'authenticated',
    role               text default 'authenticated',
    email              text unique,
    encrypted_password text,
    email_confirmed_at timestamptz,
    last_sign_in_at    timestamptz,
    raw_app_meta_data  jsonb,
    raw_user_meta_data jsonb,
    is_anonymous       boolean not null default false,
    created_at         timestamptz default now(),
    updated_at         timestamptz default now(),
    deleted_at         timestamptz
);
grant select, references, trigger on auth.users to postgres;

-- After a transaction-local set_config ends, the setting reads '' and not null, and ''::jsonb raises.
create or replace function auth.uid() returns uuid language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'
    )::uuid
$$;
create or replace function auth.role() returns text language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.role', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'role'
    )
$$;
create or replace function auth.email() returns text language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim.email', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'email'
    )
$$;
create or replace function auth.jwt() returns jsonb language sql stable as $$
    select coalesce(
        nullif(current_setting('request.jwt.claim', true), ''),
        nullif(current_setting('request.jwt.claims', true), '')
    )::jsonb
$$;
revoke execute on function auth.uid(), auth.role(), auth.email(), auth.jwt() from public;
grant execute on function auth.uid(), auth.role(), auth.email(), auth.jwt()
    to anon, authenticated, service_role, postgres;

-- ---------------------------------------------------------------------------------------------
-- Realtime: messages are stored and delivered to nobody
-- ---------------------------------------------------------------------------------------------
do $$
begin
    if not exists (select from pg_publication where pubname = 'supabase_realtime') then
        create publication supabase_realtime;
    end if;
end
$$;
alter publication supabase_realtime owner to postgres;

create table if not exists realtime.messages (
    id          uuid not null default gen_random_uuid(),
    topic       text not null,
    extension   text not null,
    payload     jsonb,
    event       text,
    private     boolean default false,
    inserted_at timestamp not null default now(),
    updated_at  timestamp not null default now(),
    primary key (id, inserted_at)
) partition by range (inserted_at);
create table if not exists realtime.messages_default partition of realtime.messages default;
alter table realtime.messages enable row level security;
grant select, insert on realtime.messages to postgres, anon, authenticated, service_role;

create or replace function realtime.topic() returns text language sql stable as $$
    select nullif(current_setting('realtime.topic', true), '')
$$;
create or replace function realtime.send(payload jsonb, event text, topic text, private boolean default true)
returns void language plpgsql as $$
begin
    insert into realtime.messages (payload, event, topic, private, extension)
    values (payload, event, topic, private, 'broadcast');
end
$$;
create or replace function realtime.broadcast_changes(
    topic_name text, event_name text, operation text, table_name text, table_schema text,
    new record, old record, level text default 'ROW'
) returns void language plpgsql as $$
begin
    if level = 'STATEMENT' then
        raise exception 'function can only be triggered for each row, not for each statement';
    end if;
    perform realtime.send(
        jsonb_build_object('old_record', to_jsonb(old), 'record', to_jsonb(new), 'operation', operation,
                           'table', table_name, 'schema', table_schema),
        event_name, topic_name);
end
$$;

create table if not exists supabase_migrations.schema_migrations (
    version    text primary key,
    statements text[],
    name       text
);
alter table supabase_migrations.schema_migrations owner to postgres;
