"""`portfolio-platform api`: serve the read layer with the platform's settings."""

from __future__ import annotations

from portfolio_platform.api.local_keys import ISSUER, jwks_path
from portfolio_platform.api.settings import ApiSettings
from portfolio_platform.settings import Settings


def api_settings(settings: Settings) -> ApiSettings:
    """Settings of the read layer from those of the platform."""
    if not settings.jwks_url and not settings.supabase_url:
        jwks_path(settings.home_path)
    return ApiSettings.model_validate(
        {
            "database_url": settings.resolve_api_database_url(),
            "jwks": settings.resolve_jwks(),
            "issuer": settings.resolve_issuer(ISSUER),
            "audience": settings.jwt_audience,
            "stale_after_seconds": settings.stale_after_seconds,
            "telemetry": settings.otlp_endpoint is not None,
        }
    )


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
