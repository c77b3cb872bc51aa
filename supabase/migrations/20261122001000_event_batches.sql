-- What sensors have made of the change feed: which events were gathered into which batch, what each
-- batch asked for, and up to which snapshot every asset has been materialised. And the answer of an
-- optimization request is a weight set without a stored strategy.

alter table public.weight_sets
    alter column strategy_id drop not null,
    add column request_id uuid references public.optimization_requests (request_id) on delete cascade,
    add constraint weight_sets_of_one_origin check (num_nonnulls(strategy_id, request_id) = 1);
create index weight_sets_request on public.weight_sets (request_id);

-- One batch of events of one consumer. `work` maps each key that must be materialised to the
-- positions of the events that name it; `asked` maps each unit of work to its newest run request.
create table ops.feed_batches (
    consumer     text not null,
    batch_id     text not null,
    epoch        text not null,
    to_xid       xid8 not null,
    to_seq       bigint not null,
    n_events     bigint not null,
    n_rows       bigint not null,
    work         jsonb not null,
    asked        jsonb not null default '{}'::jsonb,
    reconcile_at text,
    outcome      jsonb,
    opened_at    timestamptz not null default now(),
    closed_at    timestamptz,
    primary key (consumer, batch_id)
);
comment on column ops.feed_batches.reconcile_at is
    'Watermark of a full reconcile after a restore; null for a batch of events.';
-- Two daemons cannot hold two batches of one consumer open.
create unique index feed_batches_open on ops.feed_batches (consumer) where closed_at is null;
create index feed_batches_closed on ops.feed_batches (consumer, closed_at desc);

-- The snapshot that the newest finished materialisation of an asset (or of one key of it) started
-- from: it has seen every event that is visible in that snapshot, whoever started it.
create table ops.coverage (
    target      text not null,
    key         text not null default '',
    epoch       text not null,
    snapshot    pg_snapshot not null,
    run_id      text not null,
    recorded_at timestamptz not null default now(),
    primary key (target, key)
);

grant select, insert, update, delete on ops.feed_batches, ops.coverage to service_role;
