"""`portfolio-platform channels`: where a user is notified; addresses are sealed before storing."""

from __future__ import annotations

import secrets
from typing import Any
from urllib.parse import urlsplit

from portfolio_platform.settings import Settings
from portfolio_platform.store.database import connect
from portfolio_platform.store.secrets import cipher, seal


class BadChannel(ValueError):
    """The address cannot be used for notifications."""


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
    settings: Settings, user: str, name: str, url: str, min_severity: str
) -> dict[str, Any]:
    """Store a channel: an https address is a signed webhook, anything else an apprise address.

    The signing secret of a webhook is made here and shown once.

    Raises
    ------
    BadChannel
        Not an address, or a plain http one.
    """
    parts = urlsplit(url)
    if not parts.scheme or parts.scheme == "http":
        raise BadChannel("give an https:// address, or an apprise address such as tgram://…")
    kind = "webhook" if parts.scheme == "https" else "apprise"
    target = {"url": url}
    if kind == "webhook":
        import base64

        target["secret"] = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
    hint = parts.hostname or "" if kind == "webhook" else f"{parts.scheme}://…"
    key = settings.secret_key.get_secret_value() if settings.secret_key else None
    sealed = seal(cipher(settings.home_path, key), target)
    with connect(settings.resolve_database_url()) as conn:
        row = conn.execute(
            "insert into public.notification_channels (user_id, name, kind, secret, hint, "
            "min_severity) values (%s::uuid, %s, %s, %s, %s, %s) returning channel_id::text",
            (user, name, kind, sealed, hint, min_severity),
        ).fetchone()
    assert row is not None
    shown = {"channel_id": row[0], "name": name, "kind": kind, "hint": hint}
    return shown | ({"signing_secret": target["secret"]} if kind == "webhook" else {})


def remove_channel(settings: Settings, user: str, channel_id: str) -> bool:
    """Delete a channel of the user; False when there is none."""
    with connect(settings.resolve_database_url()) as conn:
        cursor = conn.execute(
            "delete from public.notification_channels "
            "where channel_id::text = %s and user_id::text = %s",
            (channel_id, user),
        )
        return cursor.rowcount == 1
