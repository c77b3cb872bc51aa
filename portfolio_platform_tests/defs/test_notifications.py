"""Deliveries: signed, vetted, repeated until taken, given up in the end."""

import base64
import hashlib
import hmac
import ipaddress
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from portfolio_platform.defs.monitoring import apprise_child, deliver
from portfolio_platform.defs.monitoring.addresses import VettedNetwork, public_pool
from portfolio_platform.defs.monitoring.deliver import MAX_ATTEMPTS, Senders, deliver_due
from portfolio_platform.defs.monitoring.webhooks import NotSent, send
from portfolio_platform.store.addresses import is_public
from portfolio_platform.store.database import connect
from portfolio_platform.store.secrets import BadSecretKey, cipher, seal, unseal
from portfolio_platform_tests.defs.world import World
from portfolio_platform_tests.store.postgres import Database

KEY = base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
SECRET = f"whsec_{KEY}"


@dataclass
class Receiver:
    """A webhook receiver that answers what it is told and keeps what it got."""

    url: str
    answers: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    box = Receiver("")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            box.got.append(({k.lower(): v for k, v in self.headers.items()}, body))
            status = box.answers.pop(0) if box.answers else 204
            self.send_response(status)
            if status == 302:
                self.send_header("Location", box.url)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    box.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield box
    server.shutdown()
    server.server_close()


def loopback_senders() -> Senders:
    """The test's receiver is on loopback, over plain HTTP: both are refused by default."""
    network = VettedNetwork(lambda address: address.is_loopback)
    return Senders(public_pool(network), schemes=("http", "https"))


@pytest.fixture
def world(fresh_database: Database) -> World:
    return World(fresh_database, fresh_database.add_user())


def queue(world: World, home: Path, url: str, kind: str = "webhook") -> None:
    """One pending delivery of one alert to one channel."""
    sealed = seal(cipher(home), {"url": url, "secret": SECRET})
    world.execute(
        """
        with r as (insert into public.alert_rules (user_id, name, kind)
                   values (%(u)s, 'rule', 'failed_plan') returning rule_id),
             a as (insert into public.alerts (rule_id, user_id, kind, subject, severity, message,
                                              observed_at)
                   select rule_id, %(u)s, 'failed_plan', 's', 'critical', 'm', now() from r
                   returning alert_id),
             c as (insert into public.notification_channels (user_id, name, kind, secret)
                   values (%(u)s, 'channel', %(kind)s, %(sealed)s) returning channel_id)
        insert into public.notification_deliveries (alert_id, channel_id, user_id, event)
        select alert_id, channel_id, %(u)s, 'raised' from a, c
        """.replace("%(u)s", f"'{world.user}'")
        .replace("%(kind)s", f"'{kind}'")
        .replace("%(sealed)s", f"'{sealed}'")
    )


def work(world: World, home: Path, senders: Senders) -> list[dict[str, Any]]:
    @contextmanager
    def connected() -> Iterator[Any]:
        with connect(world.database.url()) as connection:
            yield connection

    world.execute(
        "update public.notification_deliveries set next_attempt_at = now() where state = 'pending'"
    )
    return deliver_due(connected, cipher(home), senders)


def delivery(world: World) -> tuple[Any, ...]:
    (row,) = world.execute(
        "select state, attempts, last_error, delivery_id::text from public.notification_deliveries"
    )
    return row


def verified(headers: dict[str, str], body: bytes) -> bool:
    """What a receiver does, written from the Standard Webhooks specification."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    mac = hmac.new(base64.b64decode(KEY), signed, hashlib.sha256).digest()
    return headers["webhook-signature"] == "v1," + base64.b64encode(mac).decode()


def test_a_delivery_is_signed_and_repeated_under_one_id_until_it_is_taken(
    world: World, tmp_path: Path, receiver: Receiver
) -> None:
    queue(world, tmp_path, receiver.url)
    receiver.answers += [500, 429]
    states = [work(world, tmp_path, loopback_senders())[0]["state"] for _ in range(3)]
    assert states == ["pending", "pending", "sent"]
    state, attempts, error, key = delivery(world)
    assert (state, attempts, error) == ("sent", 3, None)
    assert len(receiver.got) == 3
    assert {headers["webhook-id"] for headers, _ in receiver.got} == {key}
    assert all(verified(headers, body) for headers, body in receiver.got)
    body = json.loads(receiver.got[0][1])
    assert body["type"] == "alert.raised"
    assert body["data"]["severity"] == "critical"
    headers, sent = receiver.got[0]
    assert not verified(headers, sent + b" ")
    assert not verified({**headers, "webhook-timestamp": "1"}, sent)
    assert work(world, tmp_path, loopback_senders()) == []


@pytest.mark.parametrize("answer", [302, 400, 404, 410])
def test_a_refusal_is_final_and_redirects_are_not_followed(
    world: World, tmp_path: Path, receiver: Receiver, answer: int
) -> None:
    queue(world, tmp_path, receiver.url)
    receiver.answers.append(answer)
    work(world, tmp_path, loopback_senders())
    assert delivery(world)[0] == "dead"
    assert str(answer) in delivery(world)[2]
    assert len(receiver.got) == 1


def test_after_the_last_attempt_it_is_a_dead_letter_with_the_reason(
    world: World, tmp_path: Path, receiver: Receiver
) -> None:
    queue(world, tmp_path, receiver.url)
    receiver.answers += [503] * 20
    for _ in range(MAX_ATTEMPTS + 2):
        work(world, tmp_path, loopback_senders())
    state, attempts, error, _ = delivery(world)
    assert (state, attempts) == ("dead", MAX_ATTEMPTS)
    assert "503" in error
    waits = [deliver.wait_after(attempt) for attempt in range(1, MAX_ATTEMPTS + 1)]
    assert waits[-1] is None
    known = [wait.total_seconds() for wait in waits if wait is not None]
    assert known == sorted(known)


@pytest.mark.parametrize(
    "url",
    [
        "https://127.0.0.1/x",
        "https://localhost/x",
        "https://[::1]/x",
        "https://[::ffff:10.0.0.1]/x",
        "https://169.254.169.254/latest/meta-data",
        "https://0.0.0.0/x",
        "https://2130706433/x",
        "http://example.com/x",
        "file:///etc/passwd",
        "https:///x",
    ],
)
def test_private_addresses_and_other_schemes_are_refused_for_good(url: str) -> None:
    with pytest.raises(NotSent) as refused:
        send(public_pool(), {"url": url, "secret": SECRET}, "id", {})
    assert refused.value.final


@pytest.mark.parametrize(
    ("kind", "url"),
    [
        ("webhook", "https://ünicode.invalid/hook"),
        ("webhook", "https://x.invalid/☃"),
        ("webhook", "https://user:pässword@x.invalid/"),
        ("webhook", "https://[::1/x"),
        ("webhook", "https://127.0.0.1:99999/"),
        ("webhook", "https://x.invalid:abc/"),
        ("webhook", "https://a..b/"),
        ("webhook", f"https://{'a' * 64}.invalid/"),
        ("webhook", "https://exa mple.invalid/"),
        ("webhook", "https://x.invalid/\r\nX-Injected: 1"),
        ("webhook", ""),
        ("apprise", "json://[::1"),
        ("apprise", "json://x.invalid:99999/"),
    ],
)
def test_an_address_that_is_none_holds_up_no_other_delivery(
    world: World, tmp_path: Path, receiver: Receiver, kind: str, url: str
) -> None:
    queue(world, tmp_path, url, kind)
    queue(world, tmp_path, receiver.url)
    states = [row["state"] for row in work(world, tmp_path, loopback_senders())]
    assert states in (["dead", "sent"], ["pending", "sent"])
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("10.1.2.3", False),
        ("100.64.0.1", False),
        ("172.31.0.1", False),
        ("192.168.0.1", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("fe80::1", False),
        ("fd00::1", False),
        ("::ffff:127.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
    ],
)
def test_an_address_is_judged_through_every_embedding(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_the_vetted_address_is_the_one_that_is_dialled(receiver: Receiver) -> None:
    """A name is resolved once: what answers differently at a second look is never asked."""
    seen: list[str] = []

    def allowed(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        seen.append(str(address))
        return True

    port = int(receiver.url.rpartition(":")[2].partition("/")[0])
    stream = VettedNetwork(allowed).connect_tcp("127.0.0.1", port, timeout=2)
    peer = stream.get_extra_info("server_addr")
    stream.close()
    assert seen == [peer[0]]


def test_apprise_cannot_reach_private_addresses(receiver: Receiver) -> None:
    with pytest.raises(NotSent) as refused:
        apprise_child.send(receiver.url.replace("http://", "json://"), "title", "body")
    assert refused.value.final
    assert "must not reach" in str(refused.value)
    assert receiver.got == []


@pytest.mark.parametrize("url", ["gopher://example.com", "syslog://", "SysLog://daemon"])
def test_an_address_that_apprise_does_not_know_is_final(
    world: World, tmp_path: Path, url: str
) -> None:
    queue(world, tmp_path, url, kind="apprise")
    work(world, tmp_path, Senders())
    assert delivery(world)[:2] == ("dead", 1)


def test_secrets_are_encrypted_and_keys_can_be_rotated(tmp_path: Path) -> None:
    made = cipher(tmp_path)
    key_file = tmp_path / "keys" / "notifications.key"
    assert key_file.stat().st_mode & 0o077 == 0
    sealed = seal(made, {"url": "https://example.com/token-in-here"})
    assert "token-in-here" not in sealed
    assert unseal(cipher(tmp_path), sealed)["url"].endswith("token-in-here")
    newer = Fernet.generate_key().decode()
    rotated = cipher(tmp_path, f"{newer},{key_file.read_text()}")
    assert unseal(rotated, sealed) == unseal(made, sealed)
    with pytest.raises(BadSecretKey, match="PORTFOLIO_SECRET_KEY"):
        unseal(cipher(tmp_path, newer), sealed)
    with pytest.raises(BadSecretKey, match="Fernet keys"):
        cipher(tmp_path, "not a key")


def test_a_secret_of_a_lost_key_is_reported_and_tried_again(
    world: World, tmp_path: Path, receiver: Receiver
) -> None:
    queue(world, tmp_path / "one", receiver.url)
    (row,) = work(world, tmp_path / "another", loopback_senders())
    assert row["state"] == "pending"
    assert "PORTFOLIO_SECRET_KEY" in row["error"]
    assert receiver.got == []
