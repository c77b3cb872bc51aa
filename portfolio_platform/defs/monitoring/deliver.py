"""Delivering notifications: at least once, with an idempotency id, backing off, then given up."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Any, Protocol

import httpcore
from cryptography.fernet import MultiFernet
from psycopg import Connection

from portfolio_platform.defs.monitoring import apprise_child, webhooks
from portfolio_platform.defs.monitoring.addresses import public_pool
from portfolio_platform.defs.monitoring.webhooks import NotSent
from portfolio_platform.store import alerts
from portfolio_platform.store.alerts import Delivery
from portfolio_platform.store.secrets import BadSecretKey, unseal

Connect = Callable[[], AbstractContextManager[Connection]]
MAX_ATTEMPTS = 6
_FIRST_WAIT = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(hours=2)
_LEASE = timedelta(minutes=3)


class Sender(Protocol):
    """Sends a delivery whose address has been decrypted."""

    def __call__(self, delivery: Delivery, target: dict[str, Any]) -> None:
        """Raise `NotSent` when it was not taken."""
        ...


class Senders:
    """The two kinds of channels.

    Parameters
    ----------
    pool : httpcore.ConnectionPool, optional
        Network of the webhooks; public addresses only, when none is given.
    schemes : tuple of str
        Accepted URL schemes of webhooks.
    """

    def __init__(
        self,
        pool: httpcore.ConnectionPool | None = None,
        schemes: tuple[str, ...] = ("https",),
    ) -> None:
        self._pool = pool or public_pool()
        self._schemes = schemes

    def __call__(self, delivery: Delivery, target: dict[str, Any]) -> None:
        """Send by the channel's kind."""
        if delivery.channel_kind == "webhook":
            webhooks.send(
                self._pool,
                target,
                str(delivery.delivery_id),
                message(delivery),
                schemes=self._schemes,
            )
        else:
            apprise_child.send(str(target.get("url", "")), title(delivery), delivery.message)


def title(delivery: Delivery) -> str:
    """One line for a person."""
    mark = "cleared" if delivery.event == "cleared" else delivery.severity
    return f"[{mark}] {delivery.rule}"


def message(delivery: Delivery) -> dict[str, Any]:
    """Body of a webhook."""

    def iso(moment: datetime | None) -> str | None:
        return None if moment is None else moment.isoformat()

    return {
        "type": f"alert.{delivery.event}",
        "timestamp": iso(delivery.created_at),
        "data": {
            "alert_id": str(delivery.alert_id),
            "rule": delivery.rule,
            "kind": delivery.kind,
            "subject": delivery.subject,
            "severity": delivery.severity,
            "message": delivery.message,
            "value": delivery.value,
            "threshold": delivery.threshold,
            "evidence": delivery.evidence,
            "observed_at": iso(delivery.observed_at),
            "raised_at": iso(delivery.raised_at),
            "cleared_at": iso(delivery.cleared_at),
        },
    }


def wait_after(attempt: int) -> timedelta | None:
    """How long to wait after failed attempt number `attempt`; None: give up."""
    if attempt >= MAX_ATTEMPTS:
        return None
    return min(_LONGEST_WAIT, _FIRST_WAIT * 4 ** (attempt - 1))


def deliver_due(
    connect: Connect, cipher: MultiFernet, sender: Sender, limit: int = 200
) -> list[dict[str, Any]]:
    """Send what is due, oldest first; no transaction is open while a receiver is waited for.

    A process killed between sending and noting it sends the same message with the same id again.
    """
    rows: list[dict[str, Any]] = []
    while len(rows) < limit:
        with connect() as conn:
            delivery = alerts.claim(conn, _LEASE)
        if delivery is None:
            break
        rows.append(_attempt(connect, cipher, sender, delivery))
    return rows


def _attempt(
    connect: Connect, cipher: MultiFernet, sender: Sender, delivery: Delivery
) -> dict[str, Any]:
    row = {
        "channel": delivery.channel,
        "event": delivery.event,
        "rule": delivery.rule,
        "attempt": delivery.attempts,
    }
    try:
        sender(delivery, unseal(cipher, delivery.secret))
    except (NotSent, BadSecretKey) as error:
        final = isinstance(error, NotSent) and error.final
        wait = None if final else wait_after(delivery.attempts)
        with connect() as conn:
            alerts.not_sent(conn, delivery.delivery_id, str(error), wait)
        return {**row, "state": "dead" if wait is None else "pending", "error": str(error)}
    with connect() as conn:
        alerts.sent(conn, delivery.delivery_id)
    return {**row, "state": "sent", "error": None}
