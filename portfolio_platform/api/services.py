"""What the routes of one application share."""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any

from cryptography.fernet import Fernet
from fastapi import Request

from portfolio_platform.api.auth import TokenVerifier
from portfolio_platform.api.cursors import CursorSigner
from portfolio_platform.api.keys import KeySet
from portfolio_platform.api.limits import RateLimiter
from portfolio_platform.api.measures import Measures
from portfolio_platform.api.settings import ApiSettings
from portfolio_platform.store.reads.session import Database
from portfolio_platform.store.reads.wakeup import Wakeup


class BodyCache:
    """Bodies of immutable versions, least recently used first out.

    Nothing is looked up here before the database has shown the caller the version's header.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._bodies: OrderedDict[tuple[str, ...], dict[str, Any]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def get(self, *key: str) -> dict[str, Any] | None:
        """The body stored under `key`, or None."""
        body = self._bodies.get(key)
        if body is None:
            self.misses += 1
            return None
        self._bodies.move_to_end(key)
        self.hits += 1
        return body

    def put(self, body: dict[str, Any], *key: str) -> None:
        """Remember `body`; it must never be changed afterwards."""
        if self._size:
            self._bodies[key] = body
            if len(self._bodies) > self._size:
                self._bodies.popitem(last=False)


@dataclass
class Services:
    """Everything with a lifetime: built with the application, opened and closed with it."""

    settings: ApiSettings
    database: Database
    wakeup: Wakeup
    keys: KeySet
    verifier: TokenVerifier
    limiter: RateLimiter
    cursors: CursorSigner
    bodies: BodyCache
    measures: Measures
    cipher: Fernet | None
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    streams: dict[str, int] = field(default_factory=dict)
    probing: asyncio.Lock = field(default_factory=asyncio.Lock)
    probed: tuple[float, list[dict[str, Any]]] = (0.0, [])
    counting: asyncio.Lock = field(default_factory=asyncio.Lock)
    counted: tuple[float, bytes] = (0.0, b"")


def build(settings: ApiSettings) -> Services:
    """Services of these settings; nothing is connected yet."""
    secret = settings.cursor_secret
    legacy = settings.allow_hs256_secret
    sealing = settings.secret_key
    conninfo = settings.database_url.get_secret_value()
    database = Database(
        conninfo,
        min_size=settings.pool_min_size,
        max_size=settings.pool_max_size,
        acquire_timeout=settings.pool_timeout,
        statement_timeout=settings.statement_timeout,
        prepare=settings.prepared_statements,
    )
    keys = KeySet(
        settings.jwks,
        cooldown=settings.jwks_refetch_cooldown,
        max_age=settings.jwks_max_age,
        outage_age=settings.jwks_outage_age,
        legacy_secret=legacy.get_secret_value() if legacy else None,
    )
    services = Services(
        settings=settings,
        database=database,
        wakeup=Wakeup(conninfo, enabled=settings.listen),
        keys=keys,
        verifier=TokenVerifier(settings, keys),
        limiter=RateLimiter(settings.rate_per_second, settings.rate_burst),
        cursors=CursorSigner(
            secret.get_secret_value().encode() if secret else secrets.token_bytes(32)
        ),
        bodies=BodyCache(settings.body_cache_size),
        measures=Measures(),
        cipher=Fernet(sealing.get_secret_value()) if sealing else None,
    )
    services.measures.gauges(lambda: _gauges(services))
    return services


def services_of(request: Request) -> Services:
    """The services of the application that serves `request`."""
    return request.app.state.services


def _gauges(services: Services) -> dict[str, float]:
    pool = services.database.pool_stats()
    age = services.keys.age_seconds
    return {
        "portfolio_api_pool_size": pool.get("pool_size", 0),
        "portfolio_api_pool_available": pool.get("pool_available", 0),
        "portfolio_api_pool_waiting": pool.get("requests_waiting", 0),
        "portfolio_api_pool_errors": pool.get("requests_errors", 0),
        "portfolio_api_jwks_age_seconds": -1.0 if age is None else age,
        "portfolio_api_jwks_fetches": services.keys.fetches,
        "portfolio_api_jwks_failures": services.keys.failures,
        "portfolio_api_token_cache_hits": services.verifier.hits,
        "portfolio_api_token_cache_misses": services.verifier.misses,
        "portfolio_api_body_cache_hits": services.bodies.hits,
        "portfolio_api_body_cache_misses": services.bodies.misses,
        "portfolio_api_rate_limited": services.limiter.refused,
        "portfolio_api_listening": float(services.wakeup.listening),
    }
