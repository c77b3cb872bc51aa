"""Running the API: uvicorn, told by arguments, that stops without breaking an answer."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable

import uvicorn

from portfolio_platform.api.app import create_app
from portfolio_platform.api.settings import ApiSettings

log = logging.getLogger("portfolio_platform.api")

_GRACE_SECONDS = 10


class Server(uvicorn.Server):
    """Tells streams and waiting requests to end before it waits for them."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[str], None] | None = None) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, then say where."""
        await super().startup(sockets)
        if self._ready is not None and self.started:
            self._ready(self.url())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, end streams with a retry hint, finish what is in flight."""
        services = self.config.loaded_app_services  # type: ignore[attr-defined]
        services.closing.set()
        services.wakeup.wake()
        await super().shutdown(sockets)

    def url(self) -> str:
        """Address that the server listens on."""
        for server in self.servers:
            for bound in server.sockets:
                host, port = bound.getsockname()[:2]
                shown = f"[{host}]" if ":" in host else host
                return f"http://{shown}:{port}"
        raise RuntimeError("the server does not listen")


def build_server(
    settings: ApiSettings,
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], None] | None = None,
) -> Server:
    """A server that is not running yet; port 0 takes a free one."""
    application = create_app(settings)
    config = uvicorn.Config(
        application,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=_GRACE_SECONDS,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=65_536,
        ws="none",
    )
    config.loaded_app_services = application.state.services  # type: ignore[attr-defined]
    return Server(config, ready)


def run(
    settings: ApiSettings,
    host: str = "127.0.0.1",
    port: int = 8000,
    ready: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Parameters
    ----------
    ready
        Called once with the address, when the first request would be answered.
    """
    build_server(settings, host, port, ready).run()
