"""FastAPI only: the thin read layer over published versions, and the door for requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from portfolio_platform.api.app import create_app
    from portfolio_platform.api.settings import ApiSettings

__all__ = ["ApiSettings", "create_app"]


def __getattr__(name: str) -> Any:
    # Issuing a token must not pay for importing FastAPI.
    if name == "create_app":
        from portfolio_platform.api.app import create_app

        return create_app
    if name == "ApiSettings":
        from portfolio_platform.api.settings import ApiSettings

        return ApiSettings
    raise AttributeError(name)
