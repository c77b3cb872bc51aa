"""Where a notification may go: public addresses only, decided on the address that is dialled."""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable

import httpcore
from httpcore import SOCKET_OPTION, NetworkStream, SyncBackend

from portfolio_platform.store.addresses import Address, is_public


class ForbiddenAddress(httpcore.ConnectError):
    """The host is, or resolves to, an address that notifications must not reach."""


class VettedNetwork(SyncBackend):
    """Resolves a host once, refuses what is not allowed, and dials that very address.

    A name that answers differently at the second look (DNS rebinding) gains nothing, for there is
    none; TLS still verifies the name.
    """

    def __init__(self, allowed: Callable[[Address], bool] = is_public) -> None:
        self._allowed = allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        """Connect to the first allowed address of `host`.

        Raises
        ------
        ForbiddenAddress
            Any of its addresses is not allowed.
        """
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the latter: a label of no or too many letters
            raise httpcore.ConnectError(f"{host} does not resolve: {error}") from error
        addresses = list(dict.fromkeys(str(answer[4][0]) for answer in answers))
        for text in addresses:
            if not self._allowed(ipaddress.ip_address(text.partition("%")[0])):
                raise ForbiddenAddress(f"{host} is at {text}, which notifications must not reach")
        return super().connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> NetworkStream:
        """Refused: a socket file is never a public address."""
        raise ForbiddenAddress("notifications do not go to socket files")

    def sleep(self, seconds: float) -> None:
        """Wait between attempts of the connection pool."""
        time.sleep(seconds)


def public_pool(network: VettedNetwork | None = None) -> httpcore.ConnectionPool:
    """A pool without proxies, redirects or retries, over vetted addresses only."""
    return httpcore.ConnectionPool(
        ssl_context=ssl.create_default_context(),
        network_backend=network or VettedNetwork(),
        retries=0,
    )
