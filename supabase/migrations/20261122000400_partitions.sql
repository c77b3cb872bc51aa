-- What grows for ever is partitioned: bars by the month they are about, account snapshots by the
-- month of slots (6,480,000 of 400 ms). Partitions live in a schema of their own that no API role
-- may enter, so every access goes through the parent and its row security. Rows for which no
-- partition was made fall into the default one; ops.ensure_months and ops.ensure_slots make the
-- partition and bring them home.

create schema if not exists partitions;
revoke all on schema partitions from public;

create table ops.partitioned (
    relname   text primary key,
    schema    text not null,
    key       text not null,
    kind      text not null check (kind in ('month', 'slots'))
);
insert into ops.partitioned (relname, schema, key, kind) values
    ('price_bars', 'public', 'observed_at', 'month'),
    ('market_bars', 'public', 'observed_at', 'month'),
    ('account_snapshots', 'chain', 'slot', 'slots');
grant select on ops.partitioned to service_role;

-- ---------------------------------------------------------------------------------------------
-- The same tables, partitioned, with the rows they had
-- ---------------------------------------------------------------------------------------------
alter table chain.quarantine drop constraint quarantine_snapshot_id_fkey;
create schema before_partitions;
alter table public.price_bars set schema before_partitions;
alter table public.market_bars set schema before_partitions;
alter table chain.account_snapshots set schema before_partitions;

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
) partition by range (observed_at);
create table partitions.price_bars_default partition of public.price_bars default;

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
) partition by range (observed_at);
create table partitions.market_bars_default partition of public.market_bars default;
comment on column public.market_bars.observed_at is
    'Open time of the bar; it is known only at its close.';

-- No reference to account_data: bytes may be pruned while slot, owner and hash are kept. A plain
-- sequence, because before 17 partitions do not inherit an identity.
create sequence chain.account_snapshot_ids as bigint;
create table chain.account_snapshots (
    snapshot_id bigint not null default nextval('chain.account_snapshot_ids'),
    pubkey      text not null,
    owner       text,
    lamports    numeric(20, 0),
    slot        bigint not null,
    sha256      text not null,
    observed_at timestamptz not null,
    recorded_at timestamptz not null default now(),
    primary key (snapshot_id, slot),
    unique (pubkey, slot, sha256)
) partition by range (slot);
create table partitions.account_snapshots_default partition of chain.account_snapshots default;

alter sequence chain.account_snapshot_ids owned by chain.account_snapshots.snapshot_id;

-- ---------------------------------------------------------------------------------------------
-- Making partitions
-- ---------------------------------------------------------------------------------------------
-- One partition, with the rows of its range that had fallen into the default one. False when it is
-- there already, or when others hold the default partition for longer than two seconds: rows then
-- go on falling into it, and a later call brings them home.
create function ops.make_partition(relation text, suffix text, low text, high text) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
    entry ops.partitioned;
    part text := relation || '_' || suffix;
    spare text := relation || '_default';
begin
    if to_regclass(format('partitions.%I', part)) is not null then
        return false;
    end if;
    select * into strict entry from ops.partitioned as p where p.relname = relation;
    perform pg_advisory_xact_lock(hashtextextended('partitions.' || relation, 0));
    -- Asked of the table: to_regclass may remember that there was none before the wait.
    if exists (select 1 from pg_class as c where c.relname = part
               and c.relnamespace = 'partitions'::regnamespace) then
        return false;
    end if;
    begin
        perform set_config('lock_timeout', '2s', true);
        execute format('lock table partitions.%I in access exclusive mode', spare);
        execute format('create table partitions.%I (like %I.%I including defaults including constraints)',
                       part, entry.schema, relation);
        execute format('with moved as (delete from partitions.%1$I as d where d.%2$I >= %3$L and d.%2$I < %4$L '
                       'returning d.*) insert into partitions.%5$I select m.* from moved as m',
                       spare, entry.key, low, high, part);
        execute format('alter table %I.%I attach partition partitions.%I for values from (%L) to (%L)',
                       entry.schema, relation, part, low, high);
        perform set_config('lock_timeout', '0', true);
    exception when lock_not_available or deadlock_detected then
        return false;
    end;
    return true;
end
$$;

-- Partitions for the months from `low` to `high`; how many were made.
create function ops.ensure_months(relation text, low timestamptz, high timestamptz)
returns integer
language plpgsql security definer set search_path = '' as $$
declare
    month timestamp := date_trunc('month', low at time zone 'UTC');
    made integer := 0;
begin
    if low is null or high is null then
        return 0;
    end if;
    if not isfinite(low) or not isfinite(high) or high - low > interval '200 years' then
        raise exception 'no months between % and %', low, high using errcode = 'invalid_parameter_value';
    end if;
    while month <= high at time zone 'UTC' loop
        if ops.make_partition(relation, to_char(month, '"m"YYYYMM'), (month at time zone 'UTC')::text,
                              ((month + interval '1 month') at time zone 'UTC')::text) then
            made := made + 1;
        end if;
        month := month + interval '1 month';
    end loop;
    return made;
end
$$;

-- Partitions for the slots from `low` to `high`.
create function ops.ensure_slots(relation text, low bigint, high bigint) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    width constant bigint := 6480000;
    part bigint := low / width;
    made integer := 0;
begin
    while part <= high / width loop
        if ops.make_partition(relation, 's' || lpad(part::text, 6, '0'), (part * width)::text,
                              ((part + 1) * width)::text) then
            made := made + 1;
        end if;
        part := part + 1;
    end loop;
    return made;
end
$$;

-- Bring home every row that has fallen into a default partition.
create function ops.tidy_partitions() returns integer
language plpgsql security definer set search_path = '' as $$
declare
    entry ops.partitioned;
    point record;
    made integer := 0;
begin
    for entry in select * from ops.partitioned as p order by p.relname loop
        for point in execute
            case entry.kind
                when 'month' then format('select distinct date_trunc(''month'', d.%I, ''UTC'') as at, 0::bigint as slot '
                                         'from partitions.%I as d', entry.key, entry.relname || '_default')
                else format('select distinct null::timestamptz as at, d.%1$I / 6480000 * 6480000 as slot '
                            'from partitions.%2$I as d', entry.key, entry.relname || '_default')
            end
        loop
            made := made + case entry.kind
                when 'month' then ops.ensure_months(entry.relname, point.at, point.at)
                else ops.ensure_slots(entry.relname, point.slot, point.slot) end;
        end loop;
    end loop;
    return made;
end
$$;

-- ---------------------------------------------------------------------------------------------
-- The rows there were, then indexes, change log, grants and row security as before
-- ---------------------------------------------------------------------------------------------
select ops.ensure_months('price_bars', min(b.observed_at), max(b.observed_at))
from before_partitions.price_bars as b;
select ops.ensure_months('market_bars', min(b.observed_at), max(b.observed_at))
from before_partitions.market_bars as b;
select ops.ensure_slots('account_snapshots', min(s.slot), max(s.slot))
from before_partitions.account_snapshots as s;

insert into public.price_bars (series_id, bar_interval, observed_at, recorded_at, open, high, low, close, volume, batch_id)
select series_id, bar_interval, observed_at, recorded_at, open, high, low, close, volume, batch_id
from before_partitions.price_bars;
insert into public.market_bars (series_id, bar_interval, observed_at, recorded_at, open, high, low, close, volume, state, flags)
select series_id, bar_interval, observed_at, recorded_at, open, high, low, close, volume, state, flags
from before_partitions.market_bars;
insert into chain.account_snapshots (snapshot_id, pubkey, owner, lamports, slot, sha256, observed_at, recorded_at)
select snapshot_id, pubkey, owner, lamports, slot, sha256, observed_at, recorded_at
from before_partitions.account_snapshots;
select setval('chain.account_snapshot_ids', coalesce(max(s.snapshot_id), 0) + 1, false)
from chain.account_snapshots as s;

drop table before_partitions.price_bars, before_partitions.market_bars, before_partitions.account_snapshots;
drop schema before_partitions;

create index price_bars_batch on public.price_bars (batch_id);
create index account_snapshots_latest on chain.account_snapshots (pubkey, slot desc, recorded_at desc);
create index account_snapshots_sha256 on chain.account_snapshots (sha256);

do $$
declare
    relation text;
    event text;
begin
    foreach relation in array array['price_bars', 'market_bars'] loop
        foreach event in array array['insert', 'update', 'delete'] loop
            execute format('create trigger log_%1$s after %1$s on public.%2$I referencing %3$s '
                           'for each statement execute function ops.log_change(''series_id'', ''shared'')',
                           event, relation,
                           case event when 'delete' then 'old table as old_rows' else 'new table as new_rows' end);
        end loop;
        execute format('create trigger log_truncate after truncate on public.%I '
                       'for each statement execute function ops.log_truncate()', relation);
        execute format('alter table public.%I enable row level security', relation);
        execute format('grant select on public.%I to authenticated', relation);
        execute format('grant select, insert, update, delete on public.%I to service_role', relation);
        execute format('create policy read_shared on public.%I for select to authenticated using (true)', relation);
    end loop;
end
$$;
grant select, insert, update, delete on chain.account_snapshots to service_role;
grant usage on sequence chain.account_snapshot_ids to service_role;

revoke execute on function ops.make_partition(text, text, text, text),
    ops.ensure_months(text, timestamptz, timestamptz), ops.ensure_slots(text, bigint, bigint),
    ops.tidy_partitions() from public;
grant execute on function ops.ensure_months(text, timestamptz, timestamptz),
    ops.ensure_slots(text, bigint, bigint), ops.tidy_partitions() to service_role;
