-- Swaps read from transactions, how far each pool's ledger has been followed, and what of it could
-- not be read. The cursor moves in the transaction that stores what lies before it, never ahead.

create table public.swaps (
    signature    text not null,
    pool         text not null,
    slot         bigint not null,
    mint_a       text not null,
    mint_b       text not null,
    mint_in      text not null,
    mint_out     text not null,
    amount_in    numeric(39, 0) not null check (amount_in >= 0),
    amount_out   numeric(39, 0) not null check (amount_out >= 0),
    decimals_in  smallint not null,
    decimals_out smallint not null,
    price        double precision check (price > 0 and price < 'infinity'::float8),
    volume_a     double precision not null,
    volume_b     double precision not null,
    fee          double precision,
    failed       text,
    observed_at  timestamptz,
    recorded_at  timestamptz not null default now(),
    primary key (signature, pool),
    check ((failed is null) = (price is not null))
);
comment on table public.swaps is 'One row per transaction and pool; failed attempts are kept as failed.';
comment on column public.swaps.price is 'Whole mint_b per whole mint_a; null for a failed attempt.';
comment on column public.swaps.observed_at is 'Block time; null where no node says it.';
create index swaps_by_time on public.swaps (pool, observed_at);
create index swaps_by_record on public.swaps (pool, recorded_at);

-- Every transaction of a followed address that was read, whatever it was: what is here is not asked
-- for again when looks overlap.
create table chain.ledger_transactions (
    address     text not null,
    signature   text not null,
    slot        bigint not null,
    outcome     text not null check (outcome in ('swap', 'failed', 'other')),
    observed_at timestamptz,
    recorded_at timestamptz not null default now(),
    primary key (address, signature)
);
create index ledger_transactions_slot on chain.ledger_transactions (address, slot);

create table chain.ledger_cursors (
    address       text primary key,
    slot          bigint not null,
    signature     text not null collate "C",
    previous_slot bigint not null,
    followed_from timestamptz,
    followed_to   timestamptz,
    bars_to       timestamptz,
    bars_made_at  timestamptz,
    updated_at    timestamptz not null default now()
);
comment on column chain.ledger_cursors.bars_to is
    'Chain time up to which bars were made, from swaps recorded before bars_made_at.';
comment on column chain.ledger_cursors.previous_slot is
    'Where the look before the last one began: each look goes back to it, so every row is listed twice.';
comment on column chain.ledger_cursors.followed_from is
    'Time of the oldest transaction read; null where the ledger was read from its beginning.';
comment on column chain.ledger_cursors.followed_to is
    'Chain time up to which everything listed has been read.';

-- Listed transactions that no node serves. Skipped is a claim: it is confirmed by two witnesses,
-- and what is pending or missing is asked for again.
create table chain.ledger_gaps (
    address     text not null,
    signature   text not null,
    slot        bigint not null,
    state       text not null check (state in ('pending', 'missing', 'skipped_confirmed')),
    claims      jsonb not null default '[]'::jsonb,
    looks       integer not null default 0,
    problem     text not null,
    block_time  timestamptz,
    first_seen  timestamptz not null default now(),
    last_seen   timestamptz not null default now(),
    served_at   timestamptz,
    primary key (address, signature)
);
create index ledger_gaps_open on chain.ledger_gaps (last_seen)
    where served_at is null and state <> 'skipped_confirmed';

grant select, insert, update, delete
    on chain.ledger_transactions, chain.ledger_cursors, chain.ledger_gaps to service_role;

alter table public.swaps enable row level security;
grant select on public.swaps to authenticated;
grant select, insert, update, delete on public.swaps to service_role;
create policy read_shared on public.swaps for select to authenticated using (true);
do $$
declare
    event text;
begin
    foreach event in array array['insert', 'update', 'delete'] loop
        execute format('create trigger log_%1$s after %1$s on public.swaps referencing %2$s '
                       'for each statement execute function ops.log_change(''pool'', ''shared'')',
                       event, case event when 'delete' then 'old table as old_rows'
                                         else 'new table as new_rows' end);
    end loop;
    create trigger log_truncate after truncate on public.swaps
        for each statement execute function ops.log_truncate();
end
$$;
