"""Page cursors: opaque, signed, and good for one user, one path and one filter only."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any

import orjson

from portfolio_platform.api.problems import Problem

_MAC_BYTES = 16
_MAX_CHARS = 1024


class CursorSigner:
    """Signs the key of the last row of a page together with what the page belongs to."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def sign(self, position: list[Any], *scope: object) -> str:
        """A cursor after `position`, valid only for `scope` (subject, path, filters)."""
        payload = orjson.dumps(position)
        mac = self._mac(payload, scope)
        return base64.urlsafe_b64encode(mac + payload).rstrip(b"=").decode()

    def read(self, cursor: str, *scope: object) -> list[Any]:
        """The position of a cursor made for the same scope.

        Raises
        ------
        Problem
            ``bad-cursor``: altered, truncated, or made for something else.
        """
        if len(cursor) > _MAX_CHARS:
            raise Problem("bad-cursor")
        try:
            raw = base64.b64decode(
                cursor.encode() + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True
            )
        except (binascii.Error, ValueError) as error:
            raise Problem("bad-cursor") from error
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(payload, scope)):
            raise Problem("bad-cursor")
        return orjson.loads(payload)

    def _mac(self, payload: bytes, scope: tuple[object, ...]) -> bytes:
        context = orjson.dumps([str(part) for part in scope])
        message = len(context).to_bytes(4, "big") + context + payload
        return hmac.new(self._secret, message, hashlib.sha256).digest()[:_MAC_BYTES]
