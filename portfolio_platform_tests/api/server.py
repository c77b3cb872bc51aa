"""Starting the API in a thread of the test process."""

from __future__ import annotations

import threading
import uuid
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from portfolio_platform.api import ApiSettings, local_keys
from portfolio_platform.api.serve import build_server
from portfolio_platform.api.services import Services
from portfolio_platform.store.secrets import keep_key
from portfolio_platform_tests.store.postgres import Database


def settings_for(database: Database, home: Path, **changes: Any) -> ApiSettings:
    """Settings of a test server; limits are generous unless the test is about them."""
    fields: dict[str, Any] = {
        "database_url": database.url("portfolio_api"),
        "jwks": local_keys.jwks(home),
        "issuer": local_keys.ISSUER,
        "secret_key": keep_key(home),
        "pool_max_size": 4,
        "rate_per_second": 0,
        "statement_timeout": 5,
        "max_open_requests": 10_000,
        "stream_poll": 0.2,
    }
    return ApiSettings.model_validate(fields | changes)


class Served:
    """A running server; leaves nothing behind."""

    def __init__(self, settings: ApiSettings, home: Path) -> None:
        self.home = home
        self._up = threading.Event()
        self._url = ""
        self.server = build_server(settings, port=0, ready=self._ready)
        self._thread = threading.Thread(target=self.server.run, daemon=True)

    @property
    def url(self) -> str:
        """Base URL."""
        return self._url

    @property
    def services(self) -> Services:
        """What the server's routes share."""
        return self.server.config.app.state.services

    def token(self, sub: str | uuid.UUID, role: str = "authenticated", **more: Any) -> str:
        """A token of the home's key."""
        return local_keys.issue_token(self.home, sub, role, **more)

    def client(self, sub: str | uuid.UUID | None = None, **options: Any) -> httpx.Client:
        """A client that speaks as `sub`, or as nobody."""
        headers = {"Authorization": f"Bearer {self.token(sub)}"} if sub else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30, **options)

    def stop(self) -> None:
        """Ask the server to stop and wait for it."""
        self.server.should_exit = True
        self._thread.join(20)
        assert not self._thread.is_alive(), "the server did not stop"

    def __enter__(self) -> Served:
        self._thread.start()
        assert self._up.wait(20), "the server did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _ready(self, url: str) -> None:
        self._url = url
        self._up.set()
