"""Notification channels of the caller; their sealed addresses are written and never read."""

from __future__ import annotations

# ruff: noqa: S608 - only constants of this module go into the text, values are parameters
from portfolio_platform.store.reads.exchange import Statement

_CHANNEL = "channel_id, name, kind, hint, min_severity, enabled, created_at, updated_at"

# $1 created_at and $2 id of the last row before, $3 n.
PAGE = Statement(
    f"""
select {_CHANNEL} from public.notification_channels
where $1::timestamptz is null or (created_at, channel_id) > ($1::timestamptz, $2::uuid)
order by created_at, channel_id limit $3::integer
"""
)

# $1 id.
ONE = Statement(f"select {_CHANNEL} from public.notification_channels where channel_id = $1::uuid")

# $1 name, $2 kind, $3 sealed address, $4 hint, $5 least severity, $6 enabled.
INSERT = Statement(
    f"""
insert into public.notification_channels (user_id, name, kind, secret, hint, min_severity, enabled)
values ((select auth.uid()), $1::text, $2::text, $3::text, $4::text, $5::text, $6::boolean)
returning {_CHANNEL}
"""
)

_CHANGE = """
    name = coalesce($2::text, name), min_severity = coalesce($3::text, min_severity),
    enabled = coalesce($4::boolean, enabled), updated_at = now()
"""
_EXPECTED = "channel_id = $1::uuid and ($5::timestamptz is null or updated_at = $5::timestamptz)"

# $1 id, $2 name, $3 least severity, $4 enabled; null leaves a column as it is. $5 expected
# updated_at.
UPDATE = Statement(
    f"update public.notification_channels set {_CHANGE} where {_EXPECTED} returning {_CHANNEL}"
)

# As above, then $6 kind, $7 sealed address, $8 hint. Users may set `secret` and not read it, so
# that the column cannot be left as it is by an expression.
MOVE = Statement(
    f"""
update public.notification_channels set {_CHANGE},
    kind = $6::text, secret = $7::text, hint = $8::text
where {_EXPECTED} returning {_CHANNEL}
"""
)

# $1 id.
DELETE = Statement(
    "delete from public.notification_channels where channel_id = $1::uuid returning channel_id"
)
