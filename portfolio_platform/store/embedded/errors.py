"""What can go wrong with the embedded server, each with what to do about it."""


class EmbeddedServerError(RuntimeError):
    """Base of every error of the embedded Postgres server."""


class BinariesMissing(EmbeddedServerError):
    """The PostgreSQL binaries of the requested major version are not installed."""


class IncompatibleCluster(EmbeddedServerError):
    """The data directory was written by another major version of PostgreSQL."""


class ServiceUserError(EmbeddedServerError):
    """There is no account under which the server may run, or it may not use its directory."""


class ServerDidNotStart(EmbeddedServerError):
    """The server exited, or did not accept a connection before the deadline."""


class ServerDidNotStop(EmbeddedServerError):
    """The server did not exit within the time allowed."""
