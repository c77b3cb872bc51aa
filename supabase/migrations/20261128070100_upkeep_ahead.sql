-- Partitions before they are needed, and the feed's measures for whoever serves /metrics.

-- The months of now and of the next, and the slots that follow the newest known: rows then need no
-- lock on the default partition on their way in. How many were made.
create function ops.make_partitions_ahead() returns integer
language plpgsql security definer set search_path = '' as $$
declare
    entry ops.partitioned;
    newest bigint;
    made integer := 0;
begin
    for entry in select * from ops.partitioned as p order by p.relname loop
        if entry.kind = 'month' then
            made := made + ops.ensure_months(entry.relname, now(), now() + interval '1 month');
        else
            execute format('select max(t.%I) from %I.%I as t', entry.key, entry.schema, entry.relname)
            into newest;
            if newest is not null then
                made := made + ops.ensure_slots(entry.relname, newest, newest + 6480000);
            end if;
        end if;
    end loop;
    return made;
end
$$;
revoke execute on function ops.make_partitions_ahead() from public;
grant execute on function ops.make_partitions_ahead() to service_role;

-- As before, and a range that no chain has lived through is refused instead of partitioned.
create or replace function ops.ensure_slots(relation text, low bigint, high bigint) returns integer
language plpgsql security definer set search_path = '' as $$
declare
    width constant bigint := 6480000;
    part bigint := low / width;
    made integer := 0;
begin
    if low < 0 or high / width - part > 1200 then
        raise exception 'no slots between % and %', low, high using errcode = 'invalid_parameter_value';
    end if;
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

-- For whoever serves /metrics without a right to enter `ops`: no keys, no owners of leases.
create function public.consumer_lag() returns setof jsonb
language sql volatile security definer set search_path = '' as $$
    select to_jsonb(f) - 'lease_owner' - 'must_reconcile' from public.feed_lag() as f
$$;
revoke execute on function public.consumer_lag() from public, anon;
grant execute on function public.consumer_lag() to authenticated, service_role;
