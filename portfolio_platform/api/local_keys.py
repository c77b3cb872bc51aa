"""The embedded mode's own token authority: one ES256 key under the platform's home.

Hosted Supabase replaces all of this by its Auth service; the API verifies both the same way.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

ISSUER = "portfolio-platform/embedded"
AUDIENCE = "authenticated"
LOCAL_USER = "00000000-0000-4000-8000-000000000001"

_KEY_FILE = "token-key.pem"
_JWKS_FILE = "jwks.json"


class LocalKeyError(RuntimeError):
    """The key file cannot be used; the message names it and the remedy."""


def jwks_path(home: Path) -> Path:
    """Where the public key set lies; written on first use."""
    path = home / _JWKS_FILE
    if not path.is_file():
        _write(path, json.dumps(jwks(home), indent=1).encode(), mode=0o644)
    return path


def jwks(home: Path) -> dict[str, Any]:
    """Public key set of the home's key; the key is made on first use."""
    return {"keys": [_public_jwk(_private_key(home))]}


def issue_token(
    home: Path,
    sub: str | uuid.UUID,
    role: str = "authenticated",
    expires_in: float = 3600.0,
    *,
    issuer: str = ISSUER,
    audience: str = AUDIENCE,
    claims: dict[str, Any] | None = None,
) -> str:
    """A signed token for one user.

    Parameters
    ----------
    home
        PORTFOLIO_HOME; its key signs, and is made (mode 0600) if missing.
    sub
        The user's id, a UUID as in ``auth.users``.
    role
        ``authenticated`` or ``anon``; the API refuses any other.
    expires_in
        Seconds until the token expires.

    Raises
    ------
    LocalKeyError
        The key file is unreadable, not a P-256 key, or readable by other users.
    ValueError
        `sub` is not a UUID.
    """
    key = _private_key(home)
    now = int(time.time())
    payload = {
        **(claims or {}),
        "iss": issuer,
        "aud": audience,
        "sub": str(uuid.UUID(str(sub))),
        "role": role,
        "iat": now,
        "exp": int(now + expires_in),
    }
    return jwt.encode(
        payload, key, algorithm="ES256", headers={"kid": _public_jwk(key)["kid"], "typ": "JWT"}
    )


def _private_key(home: Path) -> ec.EllipticCurvePrivateKey:
    path = home / _KEY_FILE
    if not path.is_file():
        home.mkdir(parents=True, exist_ok=True)
        fresh = ec.generate_private_key(ec.SECP256R1())
        pem = fresh.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        _write(path, pem, mode=0o600)
        (home / _JWKS_FILE).unlink(missing_ok=True)
    if path.stat().st_mode & 0o077:
        raise LocalKeyError(f"{path} is readable by other users; run: chmod 600 {path}")
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except ValueError as error:
        raise LocalKeyError(f"{path} is not a PEM key; delete it to make a new one") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise LocalKeyError(f"{path} is not a P-256 key; delete it to make a new one")
    return key


def _write(path: Path, content: bytes, *, mode: int) -> None:
    """Create the file whole or not at all; of two starters at once the first wins."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(scratch, path)
        except FileExistsError:
            return
    finally:
        scratch.unlink()


def _public_jwk(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    numbers = key.public_key().public_numbers()
    body = {"crv": "P-256", "kty": "EC", "x": _octets(numbers.x), "y": _octets(numbers.y)}
    # RFC 7638: the thumbprint of the required members, in lexicographic order.
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    kid = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
    return {**body, "kid": kid, "alg": "ES256", "use": "sig", "key_ops": ["verify"]}


def _octets(number: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(32, "big")).rstrip(b"=").decode()
