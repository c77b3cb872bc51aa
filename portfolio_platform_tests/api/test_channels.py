"""Channels: written sealed, read without their address, and what cannot be notified is refused."""

from __future__ import annotations

import uuid
from pathlib import Path

import httpx
import pytest

from portfolio_platform.store.secrets import cipher, unseal
from portfolio_platform_tests.api.seed import World
from portfolio_platform_tests.api.server import Served, settings_for
from portfolio_platform_tests.store.postgres import Database

HOOK = "https://hooks.example.org/very-secret-path"


def stored(database: Database, home: Path, channel_id: str) -> dict[str, str]:
    """What the daemon decrypts."""
    with database.connect() as conn:
        row = conn.execute(
            "select secret from public.notification_channels where channel_id = %s", (channel_id,)
        ).fetchone()
    assert row is not None
    assert "very-secret-path" not in row[0]
    return unseal(cipher(home), row[0])


def test_a_channel_lives_from_post_to_delete(
    a: httpx.Client, database: Database, home: Path
) -> None:
    made = a.post("/v1/channels", json={"name": "hook", "address": HOOK})
    assert made.status_code == 201
    assert made.headers["cache-control"] == "no-store"
    shown = made.json()
    assert (shown["kind"], shown["hint"], shown["min_severity"]) == (
        "webhook", "hooks.example.org", "info",
    )  # fmt: skip
    path = made.headers["location"]
    secret = shown["signing_secret"]
    assert secret.startswith("whsec_")
    assert stored(database, home, shown["channel_id"]) == {"url": HOOK, "secret": secret}

    read = a.get(path)
    assert read.headers["etag"] == made.headers["etag"]
    for text in (read.text, a.get("/v1/channels").text):
        assert shown["channel_id"] in text
        assert "very-secret-path" not in text
        assert secret not in text

    tag = made.headers["etag"]
    changed = a.patch(path, json={"min_severity": "critical"}, headers={"If-Match": tag})
    assert (changed.json()["min_severity"], changed.json()["signing_secret"]) == ("critical", None)
    assert stored(database, home, shown["channel_id"])["secret"] == secret
    assert a.patch(path, json={"enabled": False}, headers={"If-Match": tag}).status_code == 412

    moved = a.patch(path, json={"address": "tgram://123456789:very-secret-path/chat"}).json()
    assert (moved["kind"], moved["hint"], moved["signing_secret"]) == ("apprise", "tgram://…", None)
    assert stored(database, home, shown["channel_id"])["url"].startswith("tgram://")
    assert a.delete(path).status_code == 204
    assert a.get(path).status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        "http://example.org/x",
        "https://127.0.0.1/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://localhost:8443/x",
        "https://localhost./x",
        "https://a.localhost/x",
        "https://user:pa55word@example.org/x",
        "https://[::1/x",
        "https://example.org:port/x",
        "https://x.example/a\r\nX-Injected: 1",
        "https:///x",
        "https://ünicode.example/x",
        "json://x\u0085y",
        "json://example.org\n",
        "syslog://daemon",
        "DBUS://x",
        "file:///etc/passwd",
        "example.org",
        "",
        "json://" + "x" * 2000,
    ],
)
def test_what_cannot_or_must_not_be_notified_is_refused(a: httpx.Client, address: str) -> None:
    answer = a.post("/v1/channels", json={"name": "n", "address": address})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert answer.json()["errors"][0]["loc"] == ["body", "address"]
    assert "pa55word" not in answer.text


@pytest.mark.parametrize("member", ["user_id", "secret", "kind", "hint", "channel_id"])
def test_what_is_not_the_clients_to_set_is_refused(a: httpx.Client, member: str) -> None:
    body = {"name": "n", "address": HOOK, member: str(uuid.uuid4())}
    assert a.post("/v1/channels", json=body).status_code == 422


def test_without_a_key_channels_are_read_and_not_written(
    database: Database, home: Path, world: World
) -> None:
    settings = settings_for(database, home, secret_key=None)
    with Served(settings, home) as server, server.client(world.a.user_id) as client:
        path = f"/v1/channels/{world.a.channel_id}"
        assert client.get(path).status_code == 200
        refused = client.post("/v1/channels", json={"name": "n", "address": HOOK})
        assert (refused.status_code, refused.json()["code"]) == (501, "not-offered")
        assert client.patch(path, json={"name": "renamed"}).status_code == 200
