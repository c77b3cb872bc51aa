-- Consumers of the change feed: durable cursors under a lease, an epoch that ends with a restore
-- into another cluster, dead letters, retention behind the slowest consumer, lag. Every function is
-- callable by SQL and, with a secret key, over the Data API; nobody else may execute them.

-- Which keys a statement touched, as long as they are few; null says "assume all of them".
create or replace function ops.log_change() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
    source text := case when tg_op = 'DELETE' then 'old_rows' else 'new_rows' end;
    written bigint;
begin
    if tg_argv[1] = 'owned' then
        execute format(
            'insert into ops.change_log (relname, op, n_rows, user_id, keys) '
            'select %1$L, %2$L, sum(d.n), d.user_id, '
            '       case when count(*) <= 200 then jsonb_agg(to_jsonb(d.key) order by d.key) end '
            'from (select r.user_id, r.%3$I as key, count(*) as n from %4$I as r group by 1, 2) as d '
            'group by d.user_id',
            tg_table_name, tg_op, tg_argv[0], source);
    else
        execute format(
            'insert into ops.change_log (relname, op, n_rows, keys) '
            'select %1$L, %2$L, (select count(*) from %4$I), '
            '       case when count(*) <= 200 then jsonb_agg(to_jsonb(d.key) order by d.key) end '
            'from (select distinct r.%3$I as key from %4$I as r limit 201) as d '
            'having count(*) > 0',
            tg_table_name, tg_op, tg_argv[0], source);
    end if;
    get diagnostics written = row_count;
    if written > 0 then
        perform pg_notify('portfolio_platform', tg_table_name);
    end if;
    return null;
end
$$;

-- Transaction ids restart in a new cluster. The epoch names one numbering of them.
create function ops.cluster_identity() returns text
language plpgsql stable security invoker set search_path = '' as $$
begin
    return (select c.system_identifier::text from pg_control_system() as c);
exception when insufficient_privilege then
    return null;
end
$$;

create table ops.feed_epoch (
    singleton        boolean primary key default true check (singleton),
    epoch            text not null default gen_random_uuid()::text,
    cluster_identity text,
    began_at         timestamptz not null default now()
);
insert into ops.feed_epoch (cluster_identity) values (ops.cluster_identity());
grant select, insert, update, delete on ops.feed_epoch to service_role;

alter table ops.feed_consumers
    add column if not exists reconciled_at timestamptz,
    add column if not exists position_at timestamptz;

-- The current epoch. A database restored into another cluster starts a new one: its log carries
-- numbers of the old cluster, which would hide behind the new watermark, so it is emptied and
-- every consumer is told to reconcile.
create function ops.current_epoch() returns text
language plpgsql volatile security definer set search_path = '' as $$
declare
    known ops.feed_epoch;
    here text := ops.cluster_identity();
begin
    select * into strict known from ops.feed_epoch;
    if known.cluster_identity is not distinct from here
       and not exists (select 1 from ops.change_log as l
                       where l.xid >= pg_snapshot_xmax(pg_current_snapshot())) then
        return known.epoch;
    end if;
    select * into strict known from ops.feed_epoch for update;
    if known.cluster_identity is not distinct from here
       and not exists (select 1 from ops.change_log as l
                       where l.xid >= pg_snapshot_xmax(pg_current_snapshot())) then
        return known.epoch;
    end if;
    delete from ops.change_log as l where l.seq > 0;
    update ops.feed_epoch as e
    set epoch = gen_random_uuid()::text, cluster_identity = here, began_at = now()
    where e.singleton
    returning e.epoch into known.epoch;
    return known.epoch;
end
$$;

-- Take or renew the lease of a consumer. `must_reconcile` says that the cursor cannot be trusted:
-- look at everything, then call feed_reconciled.
create function public.feed_acquire(
    consumer_name text, owner_name text, lease_seconds integer default 60,
    start_at_end boolean default false
) returns table (acquired boolean, lease_owner text, epoch text, x text, seq bigint,
                 must_reconcile boolean, watermark text)
language plpgsql volatile security definer set search_path = '' as $$
declare
    now_epoch text := ops.current_epoch();
    low xid8 := pg_snapshot_xmin(pg_current_snapshot());
    mine ops.feed_consumers;
begin
    insert into ops.feed_consumers as c (consumer, epoch, xid, seq, position_at)
    values (consumer_name, now_epoch,
            case when start_at_end then low else '0'::xid8 end, 0,
            case when start_at_end then now() end)
    on conflict on constraint feed_consumers_pkey do nothing;
    update ops.feed_consumers as c
    set lease_owner = owner_name,
        lease_expires_at = clock_timestamp() + make_interval(secs => lease_seconds),
        updated_at = now()
    where c.consumer = consumer_name
      and (c.lease_owner is null or c.lease_owner = owner_name
           or c.lease_expires_at < clock_timestamp())
    returning * into mine;
    if found then
        return query select true, mine.lease_owner, now_epoch, mine.xid::text, mine.seq,
                            mine.epoch <> now_epoch or mine.xid > low, low::text;
    else
        return query
            select false, c.lease_owner, now_epoch, c.xid::text, c.seq,
                   c.epoch <> now_epoch or c.xid > low, low::text
            from ops.feed_consumers as c where c.consumer = consumer_name;
    end if;
end
$$;

create function ops.hold_lease(consumer_name text, owner_name text) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
    perform 1 from ops.feed_consumers as c
    where c.consumer = consumer_name and c.lease_owner = owner_name for update;
    if not found then
        raise exception 'consumer % is not leased to %', consumer_name, owner_name
            using errcode = 'object_not_in_prerequisite_state';
    end if;
end
$$;

-- Move a cursor forward. An expired lease that nobody took over still counts; a lost one does not.
create function public.feed_advance(
    consumer_name text, owner_name text, in_epoch text, to_xid text, to_seq bigint
) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
    perform ops.hold_lease(consumer_name, owner_name);
    update ops.feed_consumers as c
    set xid = to_xid::xid8, seq = to_seq, updated_at = now(),
        position_at = coalesce((select l.at from ops.change_log as l
                                where l.xid = to_xid::xid8 and l.seq = to_seq), now())
    where c.consumer = consumer_name and c.epoch = in_epoch
      and (c.xid, c.seq) < (to_xid::xid8, to_seq);
    return found;
end
$$;

-- After a full reconcile: everything up to the watermark taken before it is covered.
create function public.feed_reconciled(
    consumer_name text, owner_name text, in_epoch text, at_watermark text
) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
    perform ops.hold_lease(consumer_name, owner_name);
    update ops.feed_consumers as c
    set epoch = in_epoch, xid = at_watermark::xid8, seq = 0, position_at = now(),
        reconciled_at = now(), updated_at = now()
    where c.consumer = consumer_name;
end
$$;

create function public.feed_release(consumer_name text, owner_name text) returns void
language sql volatile security definer set search_path = '' as $$
    update ops.feed_consumers as c
    set lease_owner = null, lease_expires_at = null, updated_at = now()
    where c.consumer = consumer_name and c.lease_owner = owner_name
$$;

-- Drop a consumer that will not come back: it would keep the log from being pruned for ever.
create function public.feed_forget(consumer_name text) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
    delete from ops.feed_consumers as c
    where c.consumer = consumer_name
      and (c.lease_owner is null or c.lease_expires_at < clock_timestamp());
    return found;
end
$$;

-- Set an event aside with the reason, so that the rest can proceed.
create function public.feed_dead_letter(
    consumer_name text, owner_name text, at_xid text, at_seq bigint, event jsonb, reason text
) returns void
language plpgsql volatile security definer set search_path = '' as $$
begin
    perform ops.hold_lease(consumer_name, owner_name);
    insert into ops.dead_letters as d (consumer, xid, seq, event, reason)
    values (consumer_name, at_xid, at_seq, event, reason)
    on conflict on constraint dead_letters_consumer_xid_seq_key
        do update set reason = excluded.reason, replayed_at = null, recorded_at = now();
end
$$;

create function public.feed_dead_letters(consumer_name text, max_rows integer default 100)
returns table (dead_letter_id bigint, event jsonb, reason text, recorded_at timestamptz)
language sql stable security definer set search_path = '' as $$
    select d.dead_letter_id, d.event, d.reason, d.recorded_at
    from ops.dead_letters as d
    where d.consumer = consumer_name and d.replayed_at is null
    order by d.dead_letter_id limit max_rows
$$;

create function public.feed_replayed(consumer_name text, of_dead_letter bigint) returns boolean
language plpgsql volatile security definer set search_path = '' as $$
begin
    update ops.dead_letters as d set replayed_at = now()
    where d.consumer = consumer_name and d.dead_letter_id = of_dead_letter
      and d.replayed_at is null;
    return found;
end
$$;

-- How far each consumer is behind, and for how long the oldest open transaction has been holding
-- the watermark back.
create function public.feed_lag()
returns table (consumer text, events bigint, seconds double precision, dead_letters bigint,
               lease_owner text, held_events bigint, held_seconds double precision,
               must_reconcile boolean)
language sql volatile security definer set search_path = '' as $$
    with mark as (
        select pg_snapshot_xmin(pg_current_snapshot()) as low, ops.current_epoch() as epoch
    ), held as (
        select count(*) as n,
               coalesce(extract(epoch from clock_timestamp() - min(l.at)), 0)::float8 as seconds
        from ops.change_log as l, mark where l.xid >= mark.low
    )
    select c.consumer, b.n, coalesce(extract(epoch from clock_timestamp() - b.oldest), 0)::float8,
           (select count(*) from ops.dead_letters as d
            where d.consumer = c.consumer and d.replayed_at is null),
           case when c.lease_expires_at > clock_timestamp() then c.lease_owner end,
           held.n, held.seconds, c.epoch <> mark.epoch or c.xid > mark.low
    from ops.feed_consumers as c
    cross join mark
    cross join held
    cross join lateral (
        select count(*) as n, min(l.at) as oldest from ops.change_log as l
        where (l.xid, l.seq) > (c.xid, c.seq) and l.xid < mark.low
    ) as b
    order by c.consumer
$$;

-- Delete what is older than `keep` and behind every consumer; nobody is ever overtaken.
create function public.feed_prune(keep interval default '7 days', max_rows integer default 100000)
returns bigint
language plpgsql volatile security definer set search_path = '' as $$
declare
    slowest record;
    removed bigint;
begin
    select c.xid, c.seq into slowest from ops.feed_consumers as c
    order by c.xid, c.seq limit 1;
    delete from ops.change_log as l
    where l.seq in (
        select o.seq from ops.change_log as o
        where o.at < now() - keep
          and o.xid < pg_snapshot_xmin(pg_current_snapshot())
          and (slowest is null or (o.xid, o.seq) <= (slowest.xid, slowest.seq))
        order by o.xid, o.seq limit max_rows);
    get diagnostics removed = row_count;
    return removed;
end
$$;

do $$
declare
    signature regprocedure;
begin
    for signature in
        select p.oid::regprocedure from pg_proc as p
        where p.pronamespace = 'public'::regnamespace and p.proname like 'feed\_%'
    loop
        execute format('revoke execute on function %s from public', signature);
        execute format('revoke execute on function %s from anon, authenticated', signature);
        execute format('grant execute on function %s to service_role', signature);
    end loop;
end
$$;
revoke execute on function ops.cluster_identity(), ops.current_epoch(),
                           ops.hold_lease(text, text) from public;
