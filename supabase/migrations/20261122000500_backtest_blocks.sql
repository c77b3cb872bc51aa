-- Blocks of decisions of running backtests: a killed run continues from the last stored one.
create table ops.backtest_blocks (
    request_id  uuid not null references public.backtest_requests (request_id) on delete cascade,
    config_hash text not null,
    number      integer not null,
    decisions   jsonb not null,
    recorded_at timestamptz not null default now(),
    primary key (request_id, config_hash, number)
);
grant select, insert, update, delete on ops.backtest_blocks to service_role;
