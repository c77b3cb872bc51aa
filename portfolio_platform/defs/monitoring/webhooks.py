"""Signed webhooks, after the Standard Webhooks specification (standardwebhooks.com)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from typing import Any

import httpcore
import httpx

PREFIX = "whsec_"
_TIMEOUT = {"connect": 5.0, "read": 10.0, "write": 5.0, "pool": 5.0}
# Asking again makes sense after these; every other refusal is final.
_TRANSIENT = frozenset({408, 409, 425, 429})


class NotSent(Exception):
    """A notification was not taken; `final` says that trying again is pointless."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """``v1,`` and the base64 HMAC-SHA256 of ``id.timestamp.body``.

    Parameters
    ----------
    secret : str
        ``whsec_`` and the base64 key, or any other text, whose bytes are then the key.
    """
    key = secret.encode()
    if secret.startswith(PREFIX):
        try:
            key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except binascii.Error as error:
            raise NotSent("the channel's signing secret is not base64", final=True) from error
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def send(
    pool: httpcore.ConnectionPool,
    target: dict[str, Any],
    message_id: str,
    message: dict[str, Any],
    *,
    schemes: tuple[str, ...] = ("https",),
    now: float | None = None,
) -> None:
    """Post a message; redirects are not followed and the answer's body is not read.

    Parameters
    ----------
    target : dict
        ``url`` and ``secret``.
    message_id : str
        Idempotency id: a repetition of the message carries the same one.

    Raises
    ------
    NotSent
        The receiver was not reached, refused it, or may not be reached.
    """
    url = str(target.get("url", ""))
    secret = str(target.get("secret", ""))
    try:
        parts = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise NotSent("the channel's address is not a URL", final=True) from error
    if parts.scheme not in schemes or not parts.host:
        raise NotSent(f"webhooks go to {' or '.join(schemes)} addresses only", final=True)
    if not secret:
        raise NotSent("the channel has no signing secret", final=True)
    body = json.dumps(message, separators=(",", ":"), sort_keys=True).encode()
    timestamp = int(time.time() if now is None else now)
    headers: dict[bytes | str, bytes | str] = {
        "Host": parts.netloc,
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        "User-Agent": "portfolio-platform",
        "Webhook-Id": message_id,
        "Webhook-Timestamp": str(timestamp),
        "Webhook-Signature": signature(secret, message_id, timestamp, body),
    }
    from portfolio_platform.defs.monitoring.addresses import ForbiddenAddress

    try:
        # Names as they are resolved (IDNA), paths as they are sent (percent-encoded).
        address = httpcore.URL(
            scheme=parts.raw_scheme, host=parts.raw_host, port=parts.port, target=parts.raw_path
        )
        with pool.stream(
            "POST", address, headers=headers, content=body, extensions={"timeout": _TIMEOUT}
        ) as response:
            status = response.status
    except ForbiddenAddress as error:
        raise NotSent(str(error), final=True) from error
    except (
        httpcore.NetworkError,
        httpcore.TimeoutException,
        httpcore.ProtocolError,
        httpcore.UnsupportedProtocol,
    ) as error:
        raise NotSent(f"{parts.host}: {error or type(error).__name__}") from error
    if 200 <= status < 300:
        return
    final = 300 <= status < 500 and status not in _TRANSIENT
    raise NotSent(f"{parts.host} answered {status}", final=final)
