"""The key set: fetched, cached through outages, and each key pinned to one algorithm."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import orjson
from jwt import PyJWK
from jwt.exceptions import PyJWKError

_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_FETCH_TIMEOUT = 5.0
_MAX_DOCUMENT = 262_144
LEGACY = "legacy-hs256"


class KeysUnavailable(RuntimeError):
    """No key set was ever fetched, or the last one is too old to trust."""


@dataclass(frozen=True)
class VerificationKey:
    """A key and the only algorithm it may verify."""

    kid: str
    algorithm: str
    material: Any


def pinned_algorithm(jwk: dict[str, Any], *, symmetric: bool) -> str | None:
    """The one algorithm of a key, from its type; None where the key may not verify at all.

    Parameters
    ----------
    symmetric
        Whether HS256 keys are admitted.
    """
    kind, named = jwk.get("kty"), jwk.get("alg")
    if jwk.get("use", "sig") != "sig" or "verify" not in jwk.get("key_ops", ["verify"]):
        return None
    if kind == "oct":
        return "HS256" if symmetric and named in (None, "HS256") else None
    if kind in ("EC", "OKP"):
        by_curve = _CURVES.get(jwk.get("crv", ""))
        return by_curve if named in (None, by_curve) else None
    if kind == "RSA":
        return named if named in _RSA else "RS256" if named is None else None
    return None


def read_keys(document: Any, *, symmetric: bool) -> dict[str, VerificationKey]:
    """Usable keys of a JWKS document by ``kid``; keys that may not verify are left out.

    Raises
    ------
    ValueError
        The document is not a key set.
    """
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise ValueError('a key set is an object with a list "keys"')
    found: dict[str, VerificationKey] = {}
    for jwk in document["keys"]:
        kid = jwk.get("kid") if isinstance(jwk, dict) else None
        algorithm = pinned_algorithm(jwk, symmetric=symmetric) if kid else None
        if not isinstance(kid, str) or algorithm is None:
            continue
        try:
            found[kid] = VerificationKey(kid, algorithm, PyJWK(jwk, algorithm=algorithm).key)
        except PyJWKError:
            continue
    return found


class KeySet:
    """Keys by ``kid`` from a URL, a file or a document.

    An unknown ``kid`` causes at most one fetch per `cooldown`. When the source is down the last
    keys keep verifying for `outage_age` seconds.

    Parameters
    ----------
    source
        http(s) URL, path, or the document.
    legacy_secret
        Shared HS256 secret; admits HS256 tokens and symmetric keys of the document.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self,
        source: str | Path | dict[str, Any],
        *,
        cooldown: float,
        max_age: float,
        outage_age: float,
        legacy_secret: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._cooldown = cooldown
        self._max_age = max_age
        self._outage_age = outage_age
        self._symmetric = legacy_secret is not None
        self._legacy = (
            VerificationKey(LEGACY, "HS256", legacy_secret.encode()) if legacy_secret else None
        )
        self._clock = clock
        self._keys: dict[str, VerificationKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None
        self._lock = asyncio.Lock()
        self._background: asyncio.Task[None] | None = None
        self.generation = 0
        self.fetches = 0
        self.failures = 0

    @property
    def age_seconds(self) -> float | None:
        """Seconds since the keys were last fetched; None before the first success."""
        return None if self._fetched_at is None else self._clock() - self._fetched_at

    async def key(self, kid: str | None, algorithm: str | None) -> VerificationKey | None:
        """The key named `kid`, or None.

        `algorithm` is what the token's header claims. It is only consulted to recognise a legacy
        HS256 token that names no known key; a found key keeps its own algorithm.

        Raises
        ------
        KeysUnavailable
            There is no usable key set, so nothing can be said about any token.
        """
        if self._fetched_at is None:
            await self._refresh()
        self.touch()
        if kid is not None and kid in self._keys:
            self._require_trust()
            return self._keys[kid]
        if self._legacy is not None and algorithm == "HS256":
            return self._legacy
        if kid is None:
            return None
        await self._refresh()
        self._require_trust()
        return self._keys.get(kid)

    def holds(self, key: VerificationKey) -> bool:
        """Whether a token verified by `key` earlier would still be accepted."""
        return key is self._legacy or self._keys.get(key.kid) is key

    def trusted(self) -> bool:
        """Whether the keys at hand may still verify."""
        age = self.age_seconds
        return age is not None and (isinstance(self._source, dict) or age <= self._outage_age)

    def touch(self) -> None:
        """Fetch anew in the background when the keys are old; nobody waits for it."""
        if self._is_old() and (self._background is None or self._background.done()):
            self._background = asyncio.create_task(self._refresh())

    def _is_old(self) -> bool:
        age = self.age_seconds
        return age is None or (age > self._max_age and not isinstance(self._source, dict))

    def _require_trust(self) -> None:
        if not self.trusted():
            raise KeysUnavailable("the key set has not been reachable")

    async def _refresh(self) -> None:
        asked_at = self._clock()
        async with self._lock:
            if self._tried_at is not None and (
                self._tried_at >= asked_at or self._clock() - self._tried_at < self._cooldown
            ):
                return
            self._tried_at = self._clock()
            self.fetches += 1
            try:
                keys = read_keys(await self._load(), symmetric=self._symmetric)
            except (OSError, ValueError, httpx.HTTPError):
                self.failures += 1
                return
            unchanged = {
                kid: self._keys[kid]
                for kid, key in keys.items()
                if kid in self._keys and _same(self._keys[kid], key)
            }
            self._keys = keys | unchanged
            self._fetched_at = self._clock()
            self.generation += 1

    async def _load(self) -> Any:
        if isinstance(self._source, dict):
            return self._source
        if isinstance(self._source, Path):
            return orjson.loads(self._source.read_bytes())
        async with httpx.AsyncClient(timeout=_FETCH_TIMEOUT, follow_redirects=False) as client:
            response = await client.get(self._source, headers={"Accept": "application/json"})
            response.raise_for_status()
            if len(response.content) > _MAX_DOCUMENT:
                raise ValueError("the key set is larger than 256 KiB")
            return orjson.loads(response.content)


def _same(one: VerificationKey, other: VerificationKey) -> bool:
    if one.algorithm != other.algorithm:
        return False
    if isinstance(one.material, bytes):
        return one.material == other.material
    return one.material.public_numbers() == other.material.public_numbers()
