"""The API's way into Postgres: a pool, and one short transaction per request as the caller.

The login role can become ``anon`` or ``authenticated`` and nothing else. Role and claims are set
with transaction-local scope only, so a pooled connection carries no identity from one request to
the next, and a transaction-mode pooler is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

import orjson
import psycopg
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from portfolio_platform.store.reads.exchange import (
    Call,
    ConnectionLost,
    Parameter,
    Row,
    Statement,
    exchange,
    forget_prepared,
)

BEGIN_READ = Statement("begin isolation level repeatable read, read only")
BEGIN_WRITE = Statement("begin isolation level read committed, read write")
COMMIT = Statement("commit")
ROLLBACK = Statement("rollback")
DEALLOCATE = Statement("deallocate all")
ASSUME = Statement(
    "select set_config('role', $1::text, true), "
    "set_config('request.jwt.claims', $2::text, true), "
    "set_config('request.jwt.claim.sub', $3::text, true), "
    "set_config('statement_timeout', $4::text, true)"
)

# "cached plan must not change result type", and a plan name that the server does not know.
_OUTDATED_PLAN = (psycopg.errors.FeatureNotSupported, psycopg.errors.InvalidSqlStatementName)
_CLIENT_GRACE_SECONDS = 3.0
_RECONNECT_SECONDS = 3.0

Role = Literal["anon", "authenticated"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a transaction runs as: the role, and the verified claims that policies read."""

    role: Role
    subject: str | None
    claims: bytes


# Reads shared facts for the readiness probe; it has no subject, so it owns nothing.
PROBE = Caller(role="authenticated", subject=None, claims=b'{"role":"authenticated"}')


class DatabaseBusy(RuntimeError):
    """No connection became free in time, or the server did not answer in time."""


class Database:
    """Pool of connections; every read and write is one transaction as one caller.

    Parameters
    ----------
    conninfo
        libpq URL or DSN of the API's login role.
    min_size, max_size
        Connections kept and allowed.
    acquire_timeout
        Seconds a request waits for a free connection.
    statement_timeout
        Seconds one statement may run in the server.
    prepare
        Keep named plans on connections; must be off behind a transaction-mode pooler.
    """

    def __init__(
        self,
        conninfo: str,
        *,
        min_size: int = 2,
        max_size: int = 8,
        acquire_timeout: float = 2.0,
        statement_timeout: float = 2.0,
        prepare: bool = True,
    ) -> None:
        self._prepare = prepare
        self._acquire_timeout = acquire_timeout
        self._statement_timeout = str(round(statement_timeout * 1000)).encode()
        self._deadline = statement_timeout + _CLIENT_GRACE_SECONDS
        self._check: asyncio.Task[None] | None = None
        arguments: dict[str, Any] = {
            "autocommit": True,
            "application_name": "portfolio_platform.api",
            "connect_timeout": 5,
        }
        if prepare:
            arguments["options"] = "-c timezone=UTC"
        self._pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
            conninfo,
            kwargs=arguments,
            min_size=min_size,
            max_size=max_size,
            timeout=acquire_timeout,
            max_waiting=max_size * 50,
            reconnect_timeout=_RECONNECT_SECONDS,
            configure=_configure,
            open=False,
        )

    async def open(self) -> None:
        """Start connecting; returns at once, also when the server is not there yet."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.close(timeout=5.0)

    def pool_stats(self) -> dict[str, int]:
        """Counters of the pool, by psycopg_pool's names (``pool_size``, ``requests_waiting`` …)."""
        return dict(self._pool.get_stats())

    async def read(self, caller: Caller, *calls: Call) -> list[list[Row]]:
        """Rows of each call, all from one read-only snapshot, in one round trip.

        Raises
        ------
        DatabaseBusy, ConnectionLost
            No connection, or none that answers.
        psycopg.Error
            What the server refused, by its SQLSTATE class.
        """
        try:
            return await self._transaction(BEGIN_READ, caller, calls)
        except ConnectionLost:
            await self._replace_broken()
            return await self._transaction(BEGIN_READ, caller, calls)

    async def write(self, caller: Caller, *calls: Call) -> list[list[Row]]:
        """Like `read` in a read-write transaction; never repeated, its outcome may be unknown."""
        return await self._transaction(BEGIN_WRITE, caller, calls)

    async def one(self, caller: Caller, statement: Statement, *parameters: Parameter) -> Row | None:
        """First row of one read, or None."""
        rows = (await self.read(caller, (statement, parameters)))[0]
        return rows[0] if rows else None

    async def all(self, caller: Caller, statement: Statement, *parameters: Parameter) -> list[Row]:
        """All rows of one read."""
        return (await self.read(caller, (statement, parameters)))[0]

    async def _transaction(
        self, begin: Statement, caller: Caller, calls: Sequence[Call]
    ) -> list[list[Row]]:
        identity = (caller.role, caller.claims, caller.subject or "", self._statement_timeout)
        script = [(begin, ()), (ASSUME, identity), *calls, (COMMIT, ())]
        async with self._connection() as connection:
            try:
                async with asyncio.timeout(self._deadline):
                    try:
                        answers = await exchange(connection, script, prepare=self._prepare)
                    except _OUTDATED_PLAN:
                        # A migration changed a table, or a pooler forgot the plan. The failed
                        # transaction did nothing, so it may run again, also when it writes.
                        await exchange(
                            connection, [(ROLLBACK, ()), (DEALLOCATE, ())], prepare=False
                        )
                        forget_prepared(connection)
                        answers = await exchange(connection, script, prepare=self._prepare)
            except TimeoutError as error:
                raise DatabaseBusy("the database did not answer in time") from error
        return answers[2:-1]

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        try:
            connection = await self._pool.getconn(self._acquire_timeout)
        except (PoolTimeout, psycopg.OperationalError) as error:
            raise DatabaseBusy("no database connection became free in time") from error
        clean = False
        try:
            yield connection
            clean = True
        except ConnectionLost:
            raise
        except psycopg.Error:
            clean = await self._roll_back(connection)
            raise
        finally:
            if not clean:
                # Cancelled or broken mid-way: unread answers are on the wire, so never reuse it.
                await connection.close()
            # A cancellation while the pool's lock is waited for would lose the connection for ever.
            await asyncio.shield(self._pool.putconn(connection))

    async def _roll_back(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        try:
            await exchange(connection, [(ROLLBACK, ())], prepare=False)
        except psycopg.Error:
            return False
        return True

    async def _replace_broken(self) -> None:
        """Throw out dead connections, once for all requests that notice at the same time."""
        if self._check is None or self._check.done():
            self._check = asyncio.create_task(self._pool.check())
        await asyncio.shield(self._check)


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    set_json_loads(orjson.loads, connection)
