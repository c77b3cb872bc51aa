"""Who is asking: verify the bearer token and turn it into a database caller."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import jwt
import orjson
from fastapi import Depends, Request

from portfolio_platform.api.keys import KeySet, KeysUnavailable, VerificationKey
from portfolio_platform.api.problems import Problem
from portfolio_platform.api.settings import ApiSettings
from portfolio_platform.store.reads.session import Caller

LEEWAY_SECONDS = 30
_ROLES = ("anon", "authenticated")


@dataclass(frozen=True, slots=True)
class Verified:
    """A verdict worth remembering until the token expires or its key goes."""

    caller: Caller
    expires_at: float
    key: VerificationKey


class TokenVerifier:
    """Verifies tokens and remembers the verdicts, bounded and least recently used first out."""

    def __init__(self, settings: ApiSettings, keys: KeySet) -> None:
        self._settings = settings
        self._keys = keys
        self._cache: OrderedDict[bytes, Verified] = OrderedDict()
        self.hits = 0
        self.misses = 0

    async def verify(self, token: str) -> Verified:
        """The caller a token speaks for.

        Raises
        ------
        Problem
            ``token-invalid``, ``token-expired``, ``role-refused`` or ``keys-unavailable``.
        """
        digest = hashlib.blake2b(token.encode(), digest_size=20).digest()
        known = self._cache.get(digest)
        if known is not None and self._keys.trusted():
            self._keys.touch()
            if known.expires_at + LEEWAY_SECONDS > time.time() and self._keys.holds(known.key):
                self._cache.move_to_end(digest)
                self.hits += 1
                return known
            del self._cache[digest]
        self.misses += 1
        verified = await self._verify(token)
        if self._settings.token_cache_size:
            self._cache[digest] = verified
            while len(self._cache) > self._settings.token_cache_size:
                self._cache.popitem(last=False)
        return verified

    async def _verify(self, token: str) -> Verified:
        if len(token) > self._settings.max_token_bytes:
            raise _refuse(f"the token is longer than {self._settings.max_token_bytes} bytes")
        if token.startswith(("sb_publishable_", "sb_secret_")):
            raise _refuse("a Supabase API key is not a token; sign in and send the access token")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise _refuse("the token is not a JWT") from error
        kid = header.get("kid")
        if kid is not None and not isinstance(kid, str):
            raise _refuse("the token's kid is not a string")
        try:
            key = await self._keys.key(kid, header.get("alg"))
        except KeysUnavailable as error:
            raise Problem("keys-unavailable", retry_after=5) from error
        if key is None:
            raise _refuse("the token names no key of this project's key set")
        claims = self._claims(token, key)
        return Verified(_caller(claims), float(claims["exp"]), key)

    def _claims(self, token: str, key: VerificationKey) -> dict[str, Any]:
        try:
            return jwt.decode(
                token,
                key.material,
                algorithms=[key.algorithm],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.ExpiredSignatureError as error:
            raise _refuse(_expired(token), code="token-expired") from error
        except jwt.MissingRequiredClaimError as error:
            raise _refuse(f"the token lacks the claim {error.claim}") from error
        except jwt.InvalidAudienceError as error:
            raise _refuse(f"the token's aud is not {self._settings.audience}") from error
        except jwt.InvalidIssuerError as error:
            raise _refuse(f"the token's iss is not {self._settings.issuer}") from error
        except jwt.ImmatureSignatureError as error:
            raise _refuse("the token is not valid yet (nbf or iat)") from error
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise _refuse("the token's signature or form is not valid") from error


def _caller(claims: dict[str, Any]) -> Caller:
    role = claims.get("role")
    if role not in _ROLES:
        shown = role if isinstance(role, str) and role.isidentifier() else "none"
        raise Problem("role-refused", f"role {shown} may not use this API; a user's token may")
    try:
        subject = str(uuid.UUID(claims["sub"]))
    except (ValueError, TypeError, AttributeError) as error:
        raise _refuse("the token's sub is not a UUID") from error
    passed = {**claims, "sub": subject}
    return Caller(role=role, subject=subject, claims=orjson.dumps(passed))


def _expired(token: str) -> str:
    expiry = jwt.decode(token, options={"verify_signature": False}).get("exp")
    moment = datetime.fromtimestamp(float(expiry), UTC) if expiry is not None else None
    shown = moment.isoformat(timespec="seconds") if moment else "an earlier time"
    return f"the token expired at {shown}"


def _refuse(detail: str, *, code: str = "token-invalid") -> Problem:
    return Problem(
        code, detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token", realm="api"'}
    )


def bearer(request: Request) -> str | None:
    """The bearer token of a request, or None."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


async def signed_in(request: Request) -> Caller:
    """The verified caller, within their rate.

    Raises
    ------
    Problem
        No token, a bad one, or too many requests.
    """
    services = request.app.state.services
    token = bearer(request)
    if token is None:
        services.limiter.take(f"address:{_address(request)}")
        raise Problem("token-required", headers={"WWW-Authenticate": 'Bearer realm="api"'})
    try:
        verified: Verified = await services.verifier.verify(token)
    except Problem:
        services.limiter.take(f"address:{_address(request)}")
        raise
    caller = verified.caller
    services.limiter.take(caller.subject)
    request.state.expires_at = verified.expires_at
    request.state.subject = caller.subject
    return caller


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


SignedIn = Annotated[Caller, Depends(signed_in)]
