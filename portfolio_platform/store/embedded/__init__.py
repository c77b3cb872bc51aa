"""PostgreSQL without an installation: binaries from a Python package, our own launcher."""

from portfolio_platform.store.embedded.errors import (
    BinariesMissing,
    EmbeddedServerError,
    IncompatibleCluster,
    ServerDidNotStart,
    ServerDidNotStop,
    ServiceUserError,
)
from portfolio_platform.store.embedded.server import EmbeddedServer

__all__ = [
    "BinariesMissing",
    "EmbeddedServer",
    "EmbeddedServerError",
    "IncompatibleCluster",
    "ServerDidNotStart",
    "ServerDidNotStop",
    "ServiceUserError",
]
