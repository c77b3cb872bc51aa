-- Broadcast from database: whoever listens over Supabase Realtime asks for it for a while, so that
-- nothing is written for nobody. Like NOTIFY it only wakes a reader up; the change log is the record.

create table ops.broadcast (
    singleton boolean primary key default true check (singleton),
    until     timestamptz not null default '-infinity'
);
insert into ops.broadcast default values;
grant select, insert, update, delete on ops.broadcast to service_role;

create function ops.broadcast_change() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
    if exists (select from ops.broadcast as b where b.until > now()) then
        perform realtime.send(
            (select jsonb_build_object('tables', jsonb_agg(distinct l.relname)) from new_rows as l),
            'change', 'portfolio_platform', true);
    end if;
    return null;
end
$$;
revoke execute on function ops.broadcast_change() from public;
create trigger broadcast_change after insert on ops.change_log referencing new table as new_rows
    for each statement execute function ops.broadcast_change();

-- Keep broadcasting for so many seconds from now on.
create function public.feed_broadcast(seconds integer default 600) returns timestamptz
language sql volatile security definer set search_path = '' as $$
    update ops.broadcast as b
    set until = greatest(b.until, now() + make_interval(secs => least(seconds, 3600)))
    where b.singleton
    returning b.until
$$;
revoke execute on function public.feed_broadcast(integer) from public, anon, authenticated;
grant execute on function public.feed_broadcast(integer) to service_role;

-- Why a rule cannot be evaluated, for its owner to read; the platform writes it.
alter table public.alert_rules add column problem text;
