-- Alert rules of users, the alerts they raised, where to send them, and how that went.

create table public.alert_rules (
    rule_id          uuid primary key default gen_random_uuid(),
    user_id          uuid not null references auth.users (id) on delete cascade,
    name             text not null check (length(name) between 1 and 200),
    kind             text not null check (kind in (
                         'price_move', 'drawdown', 'weight_drift', 'utilization', 'depeg',
                         'liquidity_drop', 'stale_data', 'failed_plan')),
    params           jsonb not null default '{}'::jsonb,
    severity         text not null default 'warning'
                     check (severity in ('info', 'warning', 'critical')),
    cooldown_seconds integer not null default 3600 check (cooldown_seconds between 0 and 31536000),
    enabled          boolean not null default true,
    created_at       timestamptz not null default now(),
    updated_at       timestamptz not null default now()
);
comment on column public.alert_rules.params is
    'Thresholds and subjects by kind; the evaluation refuses unknown or contradictory ones and says why.';
create index alert_rules_user on public.alert_rules (user_id);

-- One row per episode: raised once, cleared once.
create table public.alerts (
    alert_id    uuid primary key default gen_random_uuid(),
    rule_id     uuid not null references public.alert_rules (rule_id) on delete cascade,
    user_id     uuid not null references auth.users (id) on delete cascade,
    kind        text not null,
    subject     text not null,
    severity    text not null check (severity in ('info', 'warning', 'critical')),
    message     text not null,
    value       double precision,
    threshold   double precision,
    evidence    jsonb not null default '{}'::jsonb,
    observed_at timestamptz not null,
    raised_at   timestamptz not null default now(),
    cleared_at  timestamptz,
    run_id      text
);
create index alerts_user on public.alerts (user_id, raised_at desc, alert_id);
create index alerts_rule on public.alerts (rule_id, subject, raised_at desc);
create unique index alerts_active on public.alerts (rule_id, subject) where cleared_at is null;

-- What the evaluation remembers between two looks; readers of alerts do not need it.
create table ops.alert_states (
    rule_id      uuid not null references public.alert_rules (rule_id) on delete cascade,
    subject      text not null,
    active       boolean not null,
    value        double precision,
    raised_at    timestamptz,
    refused      text,
    evaluated_at timestamptz not null default now(),
    primary key (rule_id, subject)
);
grant select, insert, update, delete on ops.alert_states to service_role;

-- `secret` is the address with its credentials, encrypted (Fernet) before it comes here; no user,
-- its owner included, reads it back. `hint` is what may be shown.
create table public.notification_channels (
    channel_id   uuid primary key default gen_random_uuid(),
    user_id      uuid not null references auth.users (id) on delete cascade,
    name         text not null check (length(name) between 1 and 200),
    kind         text not null check (kind in ('apprise', 'webhook')),
    secret       text not null check (secret like 'gAAAA%'),
    hint         text not null default '',
    min_severity text not null default 'info' check (min_severity in ('info', 'warning', 'critical')),
    enabled      boolean not null default true,
    created_at   timestamptz not null default now(),
    updated_at   timestamptz not null default now()
);
create index notification_channels_user on public.notification_channels (user_id);

-- One notification of one alert's beginning or end through one channel. `delivery_id` is the
-- idempotency id that receivers see: a repetition after a crash carries the same one.
create table public.notification_deliveries (
    delivery_id     uuid primary key default gen_random_uuid(),
    alert_id        uuid not null references public.alerts (alert_id) on delete cascade,
    channel_id      uuid not null references public.notification_channels (channel_id) on delete cascade,
    user_id         uuid not null references auth.users (id) on delete cascade,
    event           text not null check (event in ('raised', 'cleared')),
    state           text not null default 'pending' check (state in ('pending', 'sent', 'dead')),
    attempts        integer not null default 0,
    next_attempt_at timestamptz not null default now(),
    last_error      text,
    created_at      timestamptz not null default now(),
    sent_at         timestamptz,
    unique (alert_id, channel_id, event)
);
create index notification_deliveries_due on public.notification_deliveries (next_attempt_at)
    where state = 'pending';
create index notification_deliveries_user on public.notification_deliveries (user_id, created_at desc);
create index notification_deliveries_channel on public.notification_deliveries (channel_id);

do $$
declare
    relation text;
begin
    foreach relation in array array['alert_rules', 'alerts', 'notification_channels',
                                    'notification_deliveries'] loop
        execute format('alter table public.%I enable row level security', relation);
        execute format('grant select, insert, update, delete on public.%I to service_role', relation);
        execute format('create policy read_own on public.%I for select to authenticated '
                       'using (user_id = (select auth.uid()))', relation);
    end loop;
    foreach relation in array array['alert_rules', 'notification_channels'] loop
        execute format('create policy insert_own on public.%I for insert to authenticated '
                       'with check (user_id = (select auth.uid()))', relation);
        execute format('create policy update_own on public.%I for update to authenticated '
                       'using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()))',
                       relation);
        execute format('create policy delete_own on public.%I for delete to authenticated '
                       'using (user_id = (select auth.uid()))', relation);
    end loop;
    -- Users' own rows go into the change feed: rules wake the evaluation, alerts the user's stream.
    for relation in select unnest(array['alert_rules', 'alerts', 'notification_channels']) loop
        execute format('create trigger log_insert after insert on public.%1$I referencing new table as new_rows '
                       'for each statement execute function ops.log_change(%2$L, ''owned'')',
                       relation, case relation when 'alerts' then 'alert_id'
                                               when 'alert_rules' then 'rule_id' else 'channel_id' end);
        execute format('create trigger log_update after update on public.%1$I referencing new table as new_rows '
                       'for each statement execute function ops.log_change(%2$L, ''owned'')',
                       relation, case relation when 'alerts' then 'alert_id'
                                               when 'alert_rules' then 'rule_id' else 'channel_id' end);
        execute format('create trigger log_delete after delete on public.%1$I referencing old table as old_rows '
                       'for each statement execute function ops.log_change(%2$L, ''owned'')',
                       relation, case relation when 'alerts' then 'alert_id'
                                               when 'alert_rules' then 'rule_id' else 'channel_id' end);
        execute format('create trigger log_truncate after truncate on public.%I '
                       'for each statement execute function ops.log_truncate()', relation);
    end loop;
end
$$;

grant select on public.alert_rules, public.alerts, public.notification_deliveries to authenticated;
grant select (channel_id, user_id, name, kind, hint, min_severity, enabled, created_at, updated_at)
    on public.notification_channels to authenticated;
grant insert (user_id, name, kind, params, severity, cooldown_seconds, enabled),
      update (name, kind, params, severity, cooldown_seconds, enabled, updated_at), delete
    on public.alert_rules to authenticated;
grant insert (user_id, name, kind, secret, hint, min_severity, enabled),
      update (name, kind, secret, hint, min_severity, enabled, updated_at), delete
    on public.notification_channels to authenticated;
