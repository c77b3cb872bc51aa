-- The platform's tables. Every fact carries two clocks: observed_at (what time it is about) and
-- recorded_at (when this database learnt it). Facts are append-only; a correction is a new row.
-- Runs on PostgreSQL 15 to 18 as the non-superuser `postgres`.

create schema if not exists chain;
create schema if not exists ops;

-- ---------------------------------------------------------------------------------------------
-- Reference
-- ---------------------------------------------------------------------------------------------
create table public.tokens (
    mint           text primary key,
    symbol         text not null,
    name           text,
    decimals       smallint check (decimals between 0 and 38),
    is_stable      boolean not null default false,
    token_group    text,
    token_program  text,
    history_symbol text,
    extensions     jsonb not null default '{}'::jsonb,
    recorded_at    timestamptz not null default now()
);
comment on table public.tokens is 'Assets by mint; an instrument with no known mint is venue:SYMBOL.';

create table chain.universes (
    name        text primary key,
    hub         text not null,
    recorded_at timestamptz not null default now()
);

create table chain.watched_accounts (
    pubkey      text not null,
    role        text not null check (role in ('mint', 'pool', 'oracle', 'reserve', 'stake_pool', 'wallet')),
    mint        text,
    universe    text not null references chain.universes (name),
    recorded_at timestamptz not null default now(),
    primary key (pubkey, role)
);

create table public.source_batches (
    batch_id    uuid primary key default gen_random_uuid(),
    source      text not null check (source in ('udf', 'file', 'swaps')),
    locator     text not null,
    sha256      text not null,
    n_rows      bigint not null,
    report      jsonb not null default '{}'::jsonb,
    run_id      text,
    recorded_at timestamptz not null default now(),
    unique (source, locator, sha256)
);

-- ---------------------------------------------------------------------------------------------
-- Chain: raw bytes once per content, one snapshot row per (account, slot)
-- ---------------------------------------------------------------------------------------------
create table chain.account_data (
    sha256 text primary key,
    data   bytea not null
);

create table chain.account_snapshots (
    snapshot_id bigint generated always as identity primary key,
    pubkey      text not null,
    owner       text,
    lamports    numeric(20, 0),
    slot        bigint not null,
    sha256      text not null references chain.account_data (sha256),
    observed_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    unique (pubkey, slot, sha256)
);
create index account_snapshots_latest on chain.account_snapshots (pubkey, slot desc, recorded_at desc);
create index account_snapshots_sha256 on chain.account_snapshots (sha256);

-- One coherent read of the chain: which account rows it saw, at which slot, and what was not there
-- (an absent tick array is a fact: no position ever touched that range).
create table chain.fetches (
    fetch_id     uuid primary key,
    slot         bigint not null,
    snapshot_ids bigint[] not null,
    absent       jsonb not null default '[]'::jsonb,
    epoch        bigint,
    observed_at  timestamptz not null,
    recorded_at  timestamptz not null default now()
);
create index fetches_latest on chain.fetches (slot desc, recorded_at desc);

create table chain.quarantine (
    quarantine_id bigint generated always as identity primary key,
    snapshot_id   bigint references chain.account_snapshots (snapshot_id),
    pubkey        text not null,
    owner         text,
    slot          bigint,
    sha256        text,
    reason        text not null,
    observed_at   timestamptz,
    recorded_at   timestamptz not null default now()
);
create index quarantine_pubkey on chain.quarantine (pubkey, recorded_at desc);
create index quarantine_snapshot on chain.quarantine (snapshot_id);

-- ---------------------------------------------------------------------------------------------
-- Facts decoded from the bytes
-- ---------------------------------------------------------------------------------------------
create table public.token_prices (
    price_id     bigint generated always as identity primary key,
    mint         text not null references public.tokens (mint),
    source       text not null,
    pubkey       text not null,
    snapshot_id  bigint not null,
    slot         bigint not null,
    price        double precision check (price > 0 and price < 'infinity'::float8),
    confidence   double precision,
    published_at timestamptz,
    age_slots    bigint,
    age_seconds  double precision,
    depth        double precision,
    verdict      text not null check (verdict in ('accepted', 'refused')),
    reasons      text[] not null default '{}',
    observed_at  timestamptz not null,
    recorded_at  timestamptz not null default now(),
    check (verdict = 'refused' or price is not null)
);
create index token_prices_latest on public.token_prices (mint, observed_at desc, recorded_at desc);
create index token_prices_snapshot on public.token_prices (snapshot_id);

create table public.pool_states (
    pool_state_id bigint generated always as identity primary key,
    pubkey        text not null,
    kind          text not null,
    mint_a        text not null,
    mint_b        text not null,
    snapshot_id   bigint not null,
    account_ids   bigint[] not null,
    slot          bigint not null,
    spot_price    double precision,
    fee_bps       double precision,
    depth_50bps   double precision,
    depth_100bps  double precision,
    refused       text,
    state         jsonb not null default '{}'::jsonb,
    observed_at   timestamptz not null,
    recorded_at   timestamptz not null default now()
);
create index pool_states_latest on public.pool_states (pubkey, slot desc, recorded_at desc);
create index pool_states_mint_a on public.pool_states (mint_a);
create index pool_states_mint_b on public.pool_states (mint_b);

create table public.lending_reserves (
    reserve_id  bigint generated always as identity primary key,
    pubkey      text not null,
    program     text not null,
    mint        text not null,
    snapshot_id bigint not null,
    slot        bigint not null,
    available   numeric(39, 0) not null,
    borrowed    numeric(39, 0) not null,
    utilization double precision,
    supply_apr  double precision,
    borrow_apr  double precision,
    observed_at timestamptz not null,
    recorded_at timestamptz not null default now()
);
create index lending_reserves_latest on public.lending_reserves (mint, slot desc, recorded_at desc);

create table public.stake_pool_rates (
    rate_id        bigint generated always as identity primary key,
    pubkey         text not null,
    mint           text not null,
    snapshot_id    bigint not null,
    slot           bigint not null,
    rate           double precision,
    total_lamports numeric(39, 0) not null,
    supply         numeric(39, 0) not null,
    observed_at    timestamptz not null,
    recorded_at    timestamptz not null default now()
);
create index stake_pool_rates_latest on public.stake_pool_rates (mint, slot desc, recorded_at desc);

create table public.wallet_holdings (
    holding_id    bigint generated always as identity primary key,
    wallet        text not null,
    mint          text not null,
    token_account text not null,
    amount        numeric(39, 0) not null check (amount >= 0),
    frozen        boolean not null default false,
    snapshot_id   bigint not null,
    slot          bigint not null,
    observed_at   timestamptz not null,
    recorded_at   timestamptz not null default now()
);
create index wallet_holdings_latest on public.wallet_holdings (wallet, slot desc, recorded_at desc);

-- ---------------------------------------------------------------------------------------------
-- Bars: raw as they came, clean as they flow on
-- ---------------------------------------------------------------------------------------------
create table public.bar_series (
    series_id   bigint generated always as identity primary key,
    mint        text not null references public.tokens (mint),
    venue       text not null,
    symbol      text not null,
    instrument  text not null check (instrument in ('spot', 'perp', 'oracle', 'pool')),
    multiplier  double precision not null default 1 check (multiplier > 0),
    quote       text not null default 'USD',
    listed_from timestamptz not null default '-infinity',
    listed_to   timestamptz,
    recorded_at timestamptz not null default now(),
    unique (venue, symbol, instrument, listed_from)
);
create index bar_series_mint on public.bar_series (mint);

create table public.price_bars (
    series_id    bigint not null references public.bar_series (series_id),
    bar_interval text not null check (bar_interval in ('1m', '1h', '1d')),
    observed_at  timestamptz not null,
    recorded_at  timestamptz not null default now(),
    open         double precision,
    high         double precision,
    low          double precision,
    close        double precision,
    volume       double precision,
    batch_id     uuid not null references public.source_batches (batch_id),
    primary key (series_id, bar_interval, observed_at, recorded_at)
);
create index price_bars_batch on public.price_bars (batch_id);

create table public.market_bars (
    series_id    bigint not null references public.bar_series (series_id),
    bar_interval text not null check (bar_interval in ('1m', '1h', '1d')),
    observed_at  timestamptz not null,
    recorded_at  timestamptz not null default now(),
    open         double precision,
    high         double precision,
    low          double precision,
    close        double precision check (close > 0 and close < 'infinity'::float8),
    volume       double precision,
    state        text not null default 'clean' check (state in ('clean', 'missing', 'flagged')),
    flags        text[] not null default '{}',
    primary key (series_id, bar_interval, observed_at, recorded_at)
);
comment on column public.market_bars.observed_at is 'Open time of the bar; it is known only at its close.';

-- ---------------------------------------------------------------------------------------------
-- What users own
-- ---------------------------------------------------------------------------------------------
create table public.strategies (
    strategy_id uuid primary key default gen_random_uuid(),
    user_id     uuid references auth.users (id) on delete cascade,
    slug        text not null check (slug ~ '^[a-z0-9][a-z0-9_-]{0,62}$'),
    name        text not null,
    spec        jsonb not null,
    enabled     boolean not null default true,
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    unique nulls not distinct (user_id, slug)
);
comment on column public.strategies.user_id is 'Null: shipped by the platform and readable by every user.';

create table public.portfolios (
    portfolio_id uuid primary key default gen_random_uuid(),
    user_id      uuid not null references auth.users (id) on delete cascade,
    name         text not null,
    wallet       text not null,
    strategy_id  uuid references public.strategies (strategy_id),
    hub_mint     text not null,
    settings     jsonb not null default '{}'::jsonb,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);
create index portfolios_user on public.portfolios (user_id);
create index portfolios_wallet on public.portfolios (wallet);
create index portfolios_strategy on public.portfolios (strategy_id);

create table public.user_settings (
    user_id    uuid primary key references auth.users (id) on delete cascade,
    settings   jsonb not null default '{}'::jsonb,
    updated_at timestamptz not null default now()
);

create table public.optimization_requests (
    request_id      uuid primary key default gen_random_uuid(),
    user_id         uuid references auth.users (id) on delete cascade,
    spec            jsonb not null,
    state           text not null default 'queued'
                    check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    reason          text,
    progress        double precision not null default 0,
    version         uuid,
    idempotency_key text,
    body_sha256     text,
    created_at      timestamptz not null default now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    unique (user_id, idempotency_key)
);

create table public.backtest_requests (
    request_id      uuid primary key default gen_random_uuid(),
    user_id         uuid references auth.users (id) on delete cascade,
    spec            jsonb not null,
    state           text not null default 'queued'
                    check (state in ('queued', 'running', 'done', 'failed', 'cancelled')),
    reason          text,
    progress        double precision not null default 0,
    version         uuid,
    idempotency_key text,
    body_sha256     text,
    created_at      timestamptz not null default now(),
    started_at      timestamptz,
    finished_at     timestamptz,
    unique (user_id, idempotency_key)
);

-- ---------------------------------------------------------------------------------------------
-- Results: immutable versions. The header is small (ETag, latest, as_of); bodies hang below it.
-- ---------------------------------------------------------------------------------------------
create table public.versions (
    version      uuid primary key default gen_random_uuid(),
    kind         text not null check (kind in ('metrics', 'weights', 'portfolio_state', 'plan', 'backtest')),
    subject      text not null,
    user_id      uuid references auth.users (id) on delete cascade,
    content_hash text not null,
    inputs       jsonb not null,
    code_version text not null,
    run_id       text,
    as_of        timestamptz not null,
    recorded_at  timestamptz not null default now(),
    unique (kind, subject, content_hash)
);
comment on column public.versions.inputs is
    'List of {kind, id, sha256}: kind is version, price, pool, reserve, stake, holding, account, bars or batch.';
create index versions_latest on public.versions (kind, subject, recorded_at desc, version);
create index versions_user on public.versions (user_id);

create table public.token_metrics (
    version uuid not null references public.versions (version) on delete cascade,
    mint    text not null,
    metrics jsonb not null,
    primary key (version, mint)
);
create index token_metrics_mint on public.token_metrics (mint);

create table public.weight_sets (
    version     uuid primary key references public.versions (version) on delete cascade,
    strategy_id uuid not null references public.strategies (strategy_id) on delete cascade,
    status      text not null,
    reason      text,
    solution    jsonb not null,
    report      jsonb not null default '{}'::jsonb
);
create index weight_sets_strategy on public.weight_sets (strategy_id);

create table public.weights (
    version uuid not null references public.weight_sets (version) on delete cascade,
    mint    text not null,
    weight  double precision not null check (weight > '-infinity'::float8 and weight < 'infinity'::float8),
    primary key (version, mint)
);

create table public.portfolio_states (
    version      uuid primary key references public.versions (version) on delete cascade,
    portfolio_id uuid not null references public.portfolios (portfolio_id) on delete cascade,
    nav          numeric(39, 0) not null,
    state        jsonb not null
);
create index portfolio_states_portfolio on public.portfolio_states (portfolio_id);

create table public.reallocation_plans (
    version      uuid primary key references public.versions (version) on delete cascade,
    portfolio_id uuid not null references public.portfolios (portfolio_id) on delete cascade,
    outcome      text not null check (outcome in ('reallocation', 'no_reallocation_needed', 'failed')),
    reasons      text[] not null,
    plan         jsonb not null,
    plan_inputs  jsonb not null
);
create index reallocation_plans_portfolio on public.reallocation_plans (portfolio_id);

create table public.plan_trades (
    version      uuid not null references public.reallocation_plans (version) on delete cascade,
    step         integer not null,
    side         text not null check (side in ('sell', 'buy')),
    mint_in      text not null,
    mint_out     text not null,
    pool         text not null,
    amount_in    numeric(39, 0) not null,
    expected_out numeric(39, 0) not null,
    min_out      numeric(39, 0) not null,
    fee          numeric(39, 0) not null,
    impact_bps   double precision not null,
    primary key (version, step)
);

create table public.backtest_reports (
    version    uuid primary key references public.versions (version) on delete cascade,
    request_id uuid not null references public.backtest_requests (request_id) on delete cascade,
    outcome    text not null,
    report     jsonb not null,
    html       text not null
);
create index backtest_reports_request on public.backtest_reports (request_id);

-- ---------------------------------------------------------------------------------------------
-- Operations
-- ---------------------------------------------------------------------------------------------
create table ops.change_log (
    seq     bigint generated always as identity primary key,
    xid     xid8 not null default pg_current_xact_id(),
    relname text not null,
    op      text not null check (op in ('INSERT', 'UPDATE', 'DELETE', 'TRUNCATE')),
    n_rows  bigint not null,
    user_id uuid,
    keys    jsonb,
    at      timestamptz not null default clock_timestamp()
);
create index change_log_position on ops.change_log (xid, seq);

create table ops.feed_consumers (
    consumer         text primary key,
    epoch            text not null,
    xid              xid8 not null,
    seq              bigint not null,
    lease_owner      text,
    lease_expires_at timestamptz,
    updated_at       timestamptz not null default now()
);

create table ops.dead_letters (
    dead_letter_id bigint generated always as identity primary key,
    consumer       text not null,
    xid            text not null,
    seq            bigint not null,
    event          jsonb not null,
    reason         text not null,
    replayed_at    timestamptz,
    recorded_at    timestamptz not null default now(),
    unique (consumer, xid, seq)
);

create table ops.trials (
    trial_id       bigint generated always as identity primary key,
    family         text not null,
    config_hash    text not null,
    previous_hash  text not null,
    row_hash       text not null unique,
    config         jsonb not null,
    requested_by   uuid,
    started_at     timestamptz not null default now(),
    finished_at    timestamptz,
    status         text not null default 'running' check (status in ('running', 'done', 'failed', 'abandoned')),
    sharpe         double precision,
    skewness       double precision,
    kurtosis       double precision,
    n_observations integer,
    returns        double precision[],
    unique (family, config_hash)
);

-- Statement triggers write the outbox. Keys are listed for small statements only; a user's rows are
-- logged apart so that the stream can be filtered by owner.
create function ops.log_change() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    key_column text := tg_argv[0];
    owner_expression text := case when tg_argv[1] = 'owned' then '(to_jsonb(r) ->> ''user_id'')::uuid' else 'null::uuid' end;
    source text := case when tg_op = 'DELETE' then 'old_rows' else 'new_rows' end;
begin
    execute format(
        'insert into ops.change_log (relname, op, n_rows, user_id, keys) '
        'select %L, %L, count(*), %s, '
        '       case when count(*) <= 200 then jsonb_agg(distinct to_jsonb(r) -> %L) end '
        'from %I as r group by %s having count(*) > 0',
        tg_table_name, tg_op, owner_expression, key_column, source,
        case when tg_argv[1] = 'owned' then owner_expression else '()' end);
    perform pg_notify('portfolio_platform', tg_table_name);
    return null;
end
$$;

create function ops.log_truncate() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    insert into ops.change_log (relname, op, n_rows) values (tg_table_name, 'TRUNCATE', 0);
    return null;
end
$$;
revoke execute on function ops.log_change(), ops.log_truncate() from public;

do $$
declare
    entry record;
begin
    for entry in
        select * from (values
            ('tokens', 'mint', 'shared'), ('token_prices', 'mint', 'shared'),
            ('pool_states', 'pubkey', 'shared'), ('lending_reserves', 'mint', 'shared'),
            ('stake_pool_rates', 'mint', 'shared'), ('wallet_holdings', 'wallet', 'shared'),
            ('price_bars', 'series_id', 'shared'), ('market_bars', 'series_id', 'shared'),
            ('strategies', 'strategy_id', 'owned'), ('portfolios', 'portfolio_id', 'owned'),
            ('user_settings', 'user_id', 'owned'),
            ('optimization_requests', 'request_id', 'owned'), ('backtest_requests', 'request_id', 'owned'),
            ('versions', 'version', 'owned')
        ) as t (relname, key_column, ownership)
    loop
        execute format('create trigger log_insert after insert on public.%I referencing new table as new_rows '
                       'for each statement execute function ops.log_change(%L, %L)',
                       entry.relname, entry.key_column, entry.ownership);
        execute format('create trigger log_update after update on public.%I referencing new table as new_rows '
                       'for each statement execute function ops.log_change(%L, %L)',
                       entry.relname, entry.key_column, entry.ownership);
        execute format('create trigger log_delete after delete on public.%I referencing old table as old_rows '
                       'for each statement execute function ops.log_change(%L, %L)',
                       entry.relname, entry.key_column, entry.ownership);
        execute format('create trigger log_truncate after truncate on public.%I '
                       'for each statement execute function ops.log_truncate()', entry.relname);
    end loop;
end
$$;

-- The feed behind the snapshot watermark: nothing that could still be overtaken by an open
-- transaction is shown, so a cursor (xid, seq) never skips a commit.
create function public.change_feed(after_xid text, after_seq bigint, max_rows integer default 1000)
returns table (x text, seq bigint, relname text, op text, n_rows bigint, user_id uuid, keys jsonb,
               at timestamptz, watermark text)
language sql stable security definer set search_path = '' as $$
    select l.xid::text, l.seq, l.relname, l.op, l.n_rows, l.user_id, l.keys, l.at,
           pg_snapshot_xmin(pg_current_snapshot())::text
    from ops.change_log as l
    where (l.xid, l.seq) > (after_xid::xid8, after_seq)
      and l.xid < pg_snapshot_xmin(pg_current_snapshot())
    order by l.xid, l.seq
    limit least(max_rows, 10000)
$$;
revoke execute on function public.change_feed(text, bigint, integer) from public, anon, authenticated;
grant execute on function public.change_feed(text, bigint, integer) to service_role;

-- The same feed for a signed-in user: shared facts and their own rows, nothing else.
create function public.my_changes(after_xid text, after_seq bigint, max_rows integer default 500)
returns table (x text, seq bigint, relname text, op text, n_rows bigint, keys jsonb, at timestamptz)
language sql stable security definer set search_path = '' as $$
    select l.xid::text, l.seq, l.relname, l.op, l.n_rows,
           case when l.relname = 'wallet_holdings' then null else l.keys end, l.at
    from ops.change_log as l
    where (l.xid, l.seq) > (after_xid::xid8, after_seq)
      and l.xid < pg_snapshot_xmin(pg_current_snapshot())
      and (l.user_id is null or l.user_id = (select auth.uid()))
    order by l.xid, l.seq
    limit least(max_rows, 1000)
$$;
revoke execute on function public.my_changes(text, bigint, integer) from public, anon;
grant execute on function public.my_changes(text, bigint, integer) to authenticated, service_role;

-- Walk a version's inputs down to account bytes and files. Definer, because the chain schema is
-- closed to users; it answers only for a version that the caller may read.
create function public.lineage(of_version uuid)
returns table (depth integer, parent text, kind text, id text, sha256 text, detail jsonb)
language sql stable security definer set search_path = '' as $$
    with recursive visible as (
        select v.version from public.versions as v
        where v.version = of_version
          and ((select auth.role()) = 'service_role' or session_user in ('postgres', 'supabase_admin')
               or v.user_id is null or v.user_id = (select auth.uid()))
    ), walk (depth, parent, kind, id, sha256, detail, path) as (
        select 0, null::text, 'version'::text, v.version::text, v.content_hash,
               jsonb_build_object('kind', v.kind, 'subject', v.subject, 'as_of', v.as_of,
                                  'code_version', v.code_version, 'run_id', v.run_id),
               array['version:' || v.version::text]
        from public.versions as v join visible using (version)
        union all
        select w.depth + 1, w.id, c.kind, c.id, c.sha256, c.detail, w.path || (c.kind || ':' || c.id)
        from walk as w
        cross join lateral (
            select i ->> 'kind' as kind, i ->> 'id' as id,
                   coalesce(i ->> 'sha256', n.content_hash) as sha256,
                   case when i ->> 'kind' = 'version'
                        then jsonb_build_object('kind', n.kind, 'subject', n.subject, 'as_of', n.as_of,
                                                'code_version', n.code_version, 'run_id', n.run_id)
                        else i - 'kind' - 'id' - 'sha256' end as detail
            from public.versions as v
            cross join lateral jsonb_array_elements(v.inputs) as i
            left join public.versions as n on i ->> 'kind' = 'version' and n.version::text = i ->> 'id'
            where w.kind = 'version' and v.version::text = w.id
            union all
            select 'account', p.snapshot_id::text, s.sha256,
                   jsonb_build_object('slot', s.slot, 'pubkey', s.pubkey, 'owner', s.owner)
            from public.token_prices as p join chain.account_snapshots as s using (snapshot_id)
            where w.kind = 'price' and p.price_id::text = w.id
            union all
            select 'account', s.snapshot_id::text, s.sha256,
                   jsonb_build_object('slot', s.slot, 'pubkey', s.pubkey, 'owner', s.owner)
            from public.pool_states as p
            join chain.account_snapshots as s on s.snapshot_id = any (p.account_ids)
            where w.kind = 'pool' and p.pool_state_id::text = w.id
            union all
            select 'account', s.snapshot_id::text, s.sha256,
                   jsonb_build_object('slot', s.slot, 'pubkey', s.pubkey, 'owner', s.owner)
            from public.lending_reserves as p join chain.account_snapshots as s using (snapshot_id)
            where w.kind = 'reserve' and p.reserve_id::text = w.id
            union all
            select 'account', s.snapshot_id::text, s.sha256,
                   jsonb_build_object('slot', s.slot, 'pubkey', s.pubkey, 'owner', s.owner)
            from public.stake_pool_rates as p join chain.account_snapshots as s using (snapshot_id)
            where w.kind = 'stake' and p.rate_id::text = w.id
            union all
            select 'account', s.snapshot_id::text, s.sha256,
                   jsonb_build_object('slot', s.slot, 'pubkey', s.pubkey, 'owner', s.owner)
            from public.wallet_holdings as p join chain.account_snapshots as s using (snapshot_id)
            where w.kind = 'holding' and p.holding_id::text = w.id
        ) as c
        where w.depth < 12 and c.kind || ':' || c.id <> all (w.path)
    )
    select distinct w.depth, w.parent, w.kind, w.id,
           coalesce(w.sha256, b.sha256, s.sha256),
           case w.kind
               when 'batch' then jsonb_build_object('source', b.source, 'locator', b.locator, 'rows', b.n_rows)
               when 'account' then coalesce(w.detail, '{}'::jsonb)
                    || jsonb_build_object('slot', s.slot, 'pubkey', s.pubkey, 'owner', s.owner,
                                          'observed_at', s.observed_at)
               else w.detail end
    from walk as w
    left join public.source_batches as b on w.kind = 'batch' and b.batch_id::text = w.id
    left join chain.account_snapshots as s on w.kind = 'account' and s.snapshot_id::text = w.id
    order by 1, 3, 4
$$;
revoke execute on function public.lineage(uuid) from public, anon;
grant execute on function public.lineage(uuid) to authenticated, service_role;

-- ---------------------------------------------------------------------------------------------
-- Grants and row security: explicit on every public table
-- ---------------------------------------------------------------------------------------------
do $$
declare
    shared text[] := array['tokens', 'source_batches', 'token_prices', 'pool_states', 'lending_reserves',
                           'stake_pool_rates', 'bar_series', 'price_bars', 'market_bars'];
    by_owner text[] := array['strategies', 'portfolios', 'user_settings', 'optimization_requests',
                             'backtest_requests'];
    by_version text[] := array['token_metrics', 'weight_sets', 'weights', 'portfolio_states',
                               'reallocation_plans', 'plan_trades', 'backtest_reports'];
    relation text;
begin
    foreach relation in array shared || by_owner || by_version || array['versions', 'wallet_holdings'] loop
        execute format('alter table public.%I enable row level security', relation);
        execute format('grant select on public.%I to authenticated', relation);
        execute format('grant select, insert, update, delete on public.%I to service_role', relation);
    end loop;

    foreach relation in array shared loop
        execute format('create policy read_shared on public.%I for select to authenticated using (true)', relation);
    end loop;

    foreach relation in array by_version loop
        execute format(
            'create policy read_version on public.%1$I for select to authenticated using '
            '(exists (select 1 from public.versions as v where v.version = %1$I.version))', relation);
    end loop;

    foreach relation in array by_owner loop
        execute format(
            'create policy read_own on public.%I for select to authenticated using (%s user_id = (select auth.uid()))',
            relation,
            case when relation in ('strategies', 'optimization_requests', 'backtest_requests')
                 then 'user_id is null or' else '' end);
        execute format('create policy insert_own on public.%I for insert to authenticated '
                       'with check (user_id = (select auth.uid()))', relation);
        execute format('create policy update_own on public.%I for update to authenticated '
                       'using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()))', relation);
        execute format('create policy delete_own on public.%I for delete to authenticated '
                       'using (user_id = (select auth.uid()))', relation);
    end loop;
end
$$;

create policy read_own on public.versions for select to authenticated
    using (user_id is null or user_id = (select auth.uid()));
create policy read_own on public.wallet_holdings for select to authenticated
    using (wallet in (select p.wallet from public.portfolios as p where p.user_id = (select auth.uid())));

-- Users write what is theirs; what the platform decides (state, version, progress) they cannot set.
grant insert (user_id, slug, name, spec, enabled), update (slug, name, spec, enabled, updated_at), delete
    on public.strategies to authenticated;
grant insert (user_id, name, wallet, strategy_id, hub_mint, settings),
      update (name, wallet, strategy_id, hub_mint, settings, updated_at), delete
    on public.portfolios to authenticated;
grant insert (user_id, settings), update (settings, updated_at), delete on public.user_settings to authenticated;
grant insert (user_id, spec, idempotency_key, body_sha256), update (state)
    on public.optimization_requests to authenticated;
grant insert (user_id, spec, idempotency_key, body_sha256), update (state)
    on public.backtest_requests to authenticated;

-- A user may only cancel, and only what is not finished.
create function ops.only_cancel() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    if current_user = 'authenticated' and (new.state <> 'cancelled' or old.state not in ('queued', 'running')) then
        raise exception 'a request can only be cancelled while it is queued or running'
            using errcode = 'check_violation';
    end if;
    return new;
end
$$;
create trigger only_cancel before update on public.optimization_requests
    for each row execute function ops.only_cancel();
create trigger only_cancel before update on public.backtest_requests
    for each row execute function ops.only_cancel();

grant usage on schema chain, ops to service_role;
grant select, insert, update, delete on all tables in schema chain, ops to service_role;
