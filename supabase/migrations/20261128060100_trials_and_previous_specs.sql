-- What a trial was run with, beside what it was: code, seed, and the request that asked for it.
alter table ops.trials
    add column code_version text,
    add column seed         bigint,
    add column request_id   uuid;
comment on table ops.trials is
    'Every configuration ever tried, appended before it runs; each row holds the hash of the one before.';

-- The spec that a strategy had before its newest change: what a backtest compares a change with.
alter table public.strategies add column previous_spec jsonb;
comment on column public.strategies.previous_spec is 'Kept by a trigger; null until the spec changes.';

create function ops.keep_previous_spec() returns trigger
language plpgsql security invoker set search_path = '' as $$
begin
    new.previous_spec := old.spec;
    return new;
end
$$;
create trigger keep_previous_spec before update on public.strategies
    for each row when (new.spec is distinct from old.spec) execute function ops.keep_previous_spec();
