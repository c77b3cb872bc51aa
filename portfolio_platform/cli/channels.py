"""`portfolio-platform channels`: where a user is notified; addresses are sealed before storing."""

from __future__ import annotations

from typing import Any

from psycopg import errors

from portfolio_platform.settings import Settings
from portfolio_platform.store.channels import BadChannel, sealed
from portfolio_platform.store.database import connect
from portfolio_platform.store.secrets import cipher


def list_channels(settings: Settings, user: str) -> list[dict[str, Any]]:
    """Channels of a user; addresses are not shown."""
    with connect(settings.resolve_database_url()) as conn:
        rows = conn.execute(
            "select channel_id::text, name, kind, hint, min_severity, enabled "
            "from public.notification_channels where user_id::text = %s order by created_at",
            (user,),
        ).fetchall()
    names = ("channel_id", "name", "kind", "hint", "min_severity", "enabled")
    return [dict(zip(names, row, strict=True)) for row in rows]


def add_channel(
    settings: Settings, user: str, name: str, address: str, min_severity: str
) -> dict[str, Any]:
    """Store a channel: an https address is a signed webhook, anything else an apprise address.

    Raises
    ------
    BadChannel
        The address cannot be used, or the store refuses the row: an unknown user or severity.
    """
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    target = sealed(cipher(settings.home_path, key), address)
    with connect(settings.resolve_database_url()) as conn:
        try:
            row = conn.execute(
                "insert into public.notification_channels (user_id, name, kind, secret, hint, "
                "min_severity) values (%s::uuid, %s, %s, %s, %s, %s) returning channel_id::text",
                (user, name, target.kind, target.secret, target.hint, min_severity),
            ).fetchone()
        except (errors.ForeignKeyViolation, errors.InvalidTextRepresentation) as error:
            raise BadChannel(f"there is no user {user}") from error
        except errors.CheckViolation as error:
            raise BadChannel(
                "a name has 1 to 200 characters, a severity is info, warning or critical"
            ) from error
    assert row is not None
    shown = {"channel_id": row[0], "name": name, "kind": target.kind, "hint": target.hint}
    return shown | ({"signing_secret": target.signing_secret} if target.signing_secret else {})


def remove_channel(settings: Settings, user: str, channel_id: str) -> bool:
    """Delete a channel of the user; False when there is none."""
    with connect(settings.resolve_database_url()) as conn:
        cursor = conn.execute(
            "delete from public.notification_channels "
            "where channel_id::text = %s and user_id::text = %s",
            (channel_id, user),
        )
        return cursor.rowcount == 1
