-- What ingestion needs beyond the first schema: how the accounts of a fetch belong together, facts
-- that a stream lands between two whole reads, and indexes for comparing facts with stored ones.

alter table chain.fetches
    add column groups    jsonb not null default '{}'::jsonb,
    add column whole     boolean not null default true,
    add column numbering integer not null default 0;
comment on column chain.fetches.groups is
    'Per watched account: {slot, ids, absent, optional}, what was read with it in one call.';
comment on column chain.fetches.whole is
    'False for accounts that were read again because a stream said that they had changed.';
comment on column chain.fetches.numbering is
    'Rises when slots begin again at a later time: another network, or a local chain made anew.';
drop index chain.fetches_latest;
create index fetches_latest on chain.fetches (observed_at desc, slot desc, recorded_at desc);

alter table public.token_prices add column whole boolean not null default true;
comment on column public.token_prices.whole is
    'True where the whole universe was judged; false where one token was judged again.';
create index token_prices_whole on public.token_prices (observed_at desc) where whole;

-- A fact is compared with the newest one about the same bytes before it is written.
create index pool_states_snapshot on public.pool_states (snapshot_id);
create index lending_reserves_snapshot on public.lending_reserves (snapshot_id);
create index stake_pool_rates_snapshot on public.stake_pool_rates (snapshot_id);
create index wallet_holdings_snapshot on public.wallet_holdings (snapshot_id);
create index token_prices_account on public.token_prices (pubkey, slot desc);
create index wallet_holdings_read on public.wallet_holdings (wallet, observed_at desc);
create index fetches_numbering on chain.fetches (numbering desc, slot desc);

-- ---------------------------------------------------------------------------------------------
-- What the RPC endpoints were asked and how they answered, over all runs and streams
-- ---------------------------------------------------------------------------------------------
create table ops.rpc_counters (
    endpoint          text primary key,
    requests          bigint not null default 0,
    retries           bigint not null default 0,
    hedges            bigint not null default 0,
    rate_limited      bigint not null default 0,
    errors            jsonb not null default '{}'::jsonb,
    bytes_received    bigint not null default 0,
    throttled_seconds double precision not null default 0,
    latency_seconds   double precision,
    slot              bigint,
    slot_lag          bigint,
    updated_at        timestamptz not null default now()
);
comment on table ops.rpc_counters is 'Endpoints by host and port, never by URL: keys hide in those.';
grant select, insert, update, delete on ops.rpc_counters to service_role;

-- For whoever serves /metrics without a right to enter `ops`.
create function public.rpc_counters() returns setof jsonb
language sql stable security definer set search_path = '' as $$
    select to_jsonb(c) from ops.rpc_counters as c order by c.endpoint
$$;
revoke execute on function public.rpc_counters() from public, anon;
grant execute on function public.rpc_counters() to authenticated, service_role;
