"""Alerts of the caller, the rules that raise them and how notifications went."""

from __future__ import annotations

# ruff: noqa: S608 - only constants of this module go into the text, values are parameters
from portfolio_platform.store.reads.exchange import Statement

_RULE = """
rule_id, name, kind, params, severity, cooldown_seconds, enabled, problem, created_at,
updated_at
"""
_ALERT = """
a.alert_id, a.rule_id, a.kind, a.subject, a.severity, a.message, a.value, a.threshold, a.evidence,
a.observed_at, a.raised_at, a.cleared_at,
(select coalesce(jsonb_agg(jsonb_build_object(
            'channel_id', d.channel_id, 'event', d.event, 'state', d.state,
            'attempts', d.attempts, 'sent_at', d.sent_at)
            order by d.created_at, d.delivery_id), '[]')
 from public.notification_deliveries as d where d.alert_id = a.alert_id) as deliveries
"""

# $1 only active ones?, $2 rule or null, $3 raised_at and $4 id of the last row before, $5 n.
PAGE = Statement(
    f"""
select {_ALERT} from public.alerts as a
where a.user_id = (select auth.uid())
  and (not $1::boolean or a.cleared_at is null)
  and ($2::uuid is null or a.rule_id = $2::uuid)
  and ($3::timestamptz is null or a.raised_at < $3::timestamptz
       or (a.raised_at = $3::timestamptz and a.alert_id > $4::uuid))
order by a.raised_at desc, a.alert_id limit $5::integer
"""
)

# $1 id.
ONE = Statement(f"select {_ALERT} from public.alerts as a where a.alert_id = $1::uuid")

# $1 created_at and $2 id of the last row before, $3 n.
RULES = Statement(
    f"""
select {_RULE} from public.alert_rules
where $1::timestamptz is null or (created_at, rule_id) > ($1::timestamptz, $2::uuid)
order by created_at, rule_id limit $3::integer
"""
)

# $1 id.
RULE = Statement(f"select {_RULE} from public.alert_rules where rule_id = $1::uuid")

# $1 name, $2 kind, $3 params, $4 severity, $5 cool-down, $6 enabled.
INSERT_RULE = Statement(
    f"""
insert into public.alert_rules
    (user_id, name, kind, params, severity, cooldown_seconds, enabled)
values ((select auth.uid()), $1::text, $2::text, $3::jsonb, $4::text, $5::integer, $6::boolean)
returning {_RULE}
"""
)

# $1 id, then as above; null leaves a column as it is. $8 expected updated_at.
UPDATE_RULE = Statement(
    f"""
update public.alert_rules set
    name = coalesce($2::text, name), kind = coalesce($3::text, kind),
    params = coalesce($4::jsonb, params), severity = coalesce($5::text, severity),
    cooldown_seconds = coalesce($6::integer, cooldown_seconds),
    enabled = coalesce($7::boolean, enabled), updated_at = now()
where rule_id = $1::uuid and ($8::timestamptz is null or updated_at = $8::timestamptz)
returning {_RULE}
"""
)

# $1 id.
DELETE_RULE = Statement("delete from public.alert_rules where rule_id = $1::uuid returning rule_id")
