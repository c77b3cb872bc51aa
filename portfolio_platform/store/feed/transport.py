"""Two ways to call the feed's database functions: SQL, and the Data API with a secret key.

Both offer `call(function, **arguments) -> rows`; everything else is written once on top.
"""

from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from portfolio_platform.store import database

if TYPE_CHECKING:
    from supabase import Client

Rows = list[dict[str, Any]]


class FeedError(RuntimeError):
    """The feed's functions refused a call."""


class FeedUnreachable(FeedError):
    """The database or the Data API did not answer; try again later."""


class Transport(Protocol):
    """Calls functions of schema `public` that return rows or one value."""

    def call(self, function: str, **arguments: Any) -> Rows:
        """Rows as mappings; one value comes as `[{function: value}]`."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class SqlTransport:
    """Calls over a connection of its own, which it opens when needed and again when it is lost.

    Always in autocommit: under an open transaction the watermark would stand still.

    Parameters
    ----------
    url : str
        Any spelling of a Postgres URL; log in as `postgres` or another member of `service_role`.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None

    def call(self, function: str, **arguments: Any) -> Rows:
        statement = sql.SQL("select * from {}({})").format(
            sql.Identifier("public", function),
            sql.SQL(", ").join(
                sql.SQL("{} => {}").format(sql.Identifier(name), sql.Placeholder(name))
                for name in arguments
            ),
        )
        values = {
            name: Jsonb(value) if isinstance(value, Mapping) else value
            for name, value in arguments.items()
        }
        try:
            with self._connected().cursor(row_factory=dict_row) as cursor:
                return list(cursor.execute(statement, values))
        except psycopg.OperationalError as error:
            self.close()
            raise FeedUnreachable(
                f"the change feed at {database.place(self._url)} did not answer: "
                f"{database.redact(str(error)).strip()}"
            ) from error
        except psycopg.Error as error:
            raise FeedError(f"{function}: {error.diag.message_primary}") from error

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            try:
                self._connection = database.connect(
                    self._url, autocommit=True, application_name="portfolio_platform feed"
                )
            except database.DatabaseUnreachable as error:
                raise FeedUnreachable(str(error)) from None
        return self._connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class RpcTransport:
    """Calls over HTTPS through supabase-py, for those who have API keys only.

    Parameters
    ----------
    client : supabase.Client
        Made with a secret key (`sb_secret_…`); the publishable key is refused by the database.
    """

    def __init__(self, client: "Client") -> None:
        self._client = client

    @classmethod
    def open(cls, url: str, secret_key: str) -> Self:
        """Make the client for a project's URL and secret key."""
        from supabase import create_client

        return cls(create_client(url, secret_key))

    def call(self, function: str, **arguments: Any) -> Rows:
        import httpx
        from postgrest.exceptions import APIError

        try:
            data: Any = self._client.rpc(function, arguments).execute().data
        except httpx.TransportError as error:
            raise FeedUnreachable(f"the Data API did not answer: {error}") from error
        except APIError as error:
            raise FeedError(f"{function}: {error.message}") from error
        if isinstance(data, list):
            return data
        return [{function: data}]

    def close(self) -> None:
        """Nothing is held open between calls."""
