"""`portfolio-platform api`: serve the read layer with the platform's settings."""

from __future__ import annotations

import hashlib
import hmac

from portfolio_platform.api.local_keys import ISSUER, jwks_path
from portfolio_platform.api.settings import ApiSettings
from portfolio_platform.settings import Settings
from portfolio_platform.store.secrets import KEY_FILE, newest_key


def api_settings(settings: Settings) -> ApiSettings:
    """Settings of the read layer from those of the platform."""
    if not settings.jwks_url and not settings.supabase_url:
        jwks_path(settings.home_path)
    sealing = _sealing_key(settings)
    return ApiSettings.model_validate(
        {
            "database_url": settings.resolve_api_database_url(),
            "jwks": settings.resolve_jwks(),
            "issuer": settings.resolve_issuer(ISSUER),
            "audience": settings.jwt_audience,
            "secret_key": sealing,
            "cursor_secret": _cursor_secret(sealing) if sealing else None,
            "stale_after_seconds": settings.stale_after_seconds,
            "telemetry": settings.otlp_endpoint is not None,
        }
    )


def _sealing_key(settings: Settings) -> str | None:
    """The configured key, else the one that `up` has kept under the home.

    None is made here: the daemon could not read what is sealed with the key of another home.
    """
    if settings.secret_key is not None:
        return newest_key(settings.secret_key.get_secret_value())
    kept = settings.home_path / KEY_FILE
    return newest_key(kept.read_text()) if kept.exists() else None


def _cursor_secret(sealing: str) -> str:
    """Page cursors outlive a restart and hold for every process with the same key."""
    return hmac.digest(sealing.encode(), b"page cursors", hashlib.sha256).hex()


def serve(settings: Settings, host: str, port: int) -> None:
    """Serve until stopped."""
    import logging

    from portfolio_platform.api.serve import run

    logging.basicConfig(level=settings.log_level.upper(), format="%(message)s")
    run(
        api_settings(settings),
        host,
        port,
        lambda url: print(f"API at {url}, documentation at {url}/docs", flush=True),
    )
