"""One network round trip for a whole transaction.

A request's transaction is ``begin; set role and claims; query…; commit``. Sent one by one these
are four round trips; here they leave in one flush of libpq's pipeline mode and the answers are
read together. psycopg's own pipeline does the same with about three times the CPU per statement.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID
from weakref import WeakKeyDictionary

import orjson
import psycopg
from psycopg import pq
from psycopg.adapt import Transformer

_FAILED = (pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE)
_DONE = pq.ExecStatus.PIPELINE_SYNC
_SKIPPED = pq.ExecStatus.PIPELINE_ABORTED

Parameter = str | int | float | bool | bytes | UUID | datetime | dict[str, Any] | list[str] | None
Row = dict[str, Any]


class ConnectionLost(psycopg.OperationalError):
    """The server went away before the transaction was answered."""


@dataclass(frozen=True)
class Statement:
    """SQL with ``$1``-style parameters, each cast in the text (``$1::uuid``)."""

    text: str
    name: bytes = field(init=False)
    query: bytes = field(init=False)

    def __post_init__(self) -> None:
        query = self.text.encode()
        object.__setattr__(self, "query", query)
        object.__setattr__(self, "name", b"api_" + hashlib.sha256(query).hexdigest()[:20].encode())


Call = tuple[Statement, Sequence[Parameter]]

_prepared: WeakKeyDictionary[psycopg.AsyncConnection[Any], set[bytes]] = WeakKeyDictionary()


def forget_prepared(connection: psycopg.AsyncConnection[Any]) -> None:
    """Prepare everything anew on this connection (after a pooler or DDL dropped the plans)."""
    _prepared.pop(connection, None)


def encode(value: Parameter) -> bytes | None:
    """A parameter as Postgres text."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, datetime):
        return value.isoformat().encode()
    if isinstance(value, dict):
        return orjson.dumps(value)
    if isinstance(value, list):
        quoted = (item.replace("\\", "\\\\").replace('"', '\\"') for item in value)
        return ("{" + ",".join(f'"{item}"' for item in quoted) + "}").encode()
    return str(value).encode()


async def exchange(
    connection: psycopg.AsyncConnection[Any], calls: Sequence[Call], *, prepare: bool = True
) -> list[list[Row]]:
    """Send all calls in one flush and return the rows of each.

    Parameters
    ----------
    connection
        An idle connection in autocommit mode; `calls` bring their own ``begin`` and ``commit``.
    prepare
        Name and keep plans on the connection. Off behind a transaction pooler.

    Raises
    ------
    ConnectionLost
        The connection broke; nothing of it may be used again.
    psycopg.Error
        The first error the server reported, as the class of its SQLSTATE. The transaction is
        still open in its failed state: the caller must roll back or close.
    """
    pg = connection.pgconn
    known = _prepared.setdefault(connection, set())
    announced: list[bytes | None] = []
    try:
        pg.enter_pipeline_mode()
        for statement, parameters in calls:
            values = [encode(value) for value in parameters] or None
            if not prepare:
                pg.send_query_params(statement.query, values, result_format=1)
            else:
                if statement.name not in known:
                    pg.send_prepare(statement.name, statement.query)
                    announced.append(statement.name)
                pg.send_query_prepared(statement.name, values, result_format=1)
            announced.append(None)
        pg.pipeline_sync()
        results = await _receive(pg)
        pg.exit_pipeline_mode()
    except psycopg.OperationalError as error:
        raise ConnectionLost("the connection to the database was lost") from error
    answers: list[list[Row]] = []
    transformer: Any = Transformer(connection)
    failure: pq.abc.PGresult | None = None
    for name, result in zip(announced, results, strict=False):
        if result.status in _FAILED:
            failure = failure or result
        elif result.status == _SKIPPED:
            continue
        elif name is not None:
            known.add(name)
        elif failure is None:
            answers.append(_rows(transformer, result))
    if failure is not None:
        raise _error(failure)
    if len(results) != len(announced):
        raise ConnectionLost("the database answered only part of the transaction")
    return answers


async def _receive(pg: pq.abc.PGconn) -> list[pq.abc.PGresult]:
    loop = asyncio.get_running_loop()
    socket = pg.socket
    results: list[pq.abc.PGresult] = []
    while pg.flush():
        await _ready(loop, socket, write=True)
        pg.consume_input()
    while True:
        while pg.is_busy():
            await _ready(loop, socket)
            pg.consume_input()
        result = pg.get_result()
        if result is None:
            continue
        if result.status == _DONE:
            return results
        results.append(result)
        if pg.status != pq.ConnStatus.OK:
            raise ConnectionLost("the server closed the connection")


async def _ready(loop: asyncio.AbstractEventLoop, socket: int, *, write: bool = False) -> None:
    waiter = loop.create_future()
    loop.add_reader(socket, _wake, waiter)
    if write:
        loop.add_writer(socket, _wake, waiter)
    try:
        await waiter
    finally:
        loop.remove_reader(socket)
        if write:
            loop.remove_writer(socket)


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _rows(transformer: Any, result: pq.abc.PGresult) -> list[Row]:
    if result.status != pq.ExecStatus.TUPLES_OK or result.ntuples == 0:
        return []
    names = [(result.fname(i) or b"").decode() for i in range(result.nfields)]
    transformer.set_pgresult(result)
    return transformer.load_rows(
        0, result.ntuples, lambda values: dict(zip(names, values, strict=True))
    )


def _error(result: pq.abc.PGresult) -> psycopg.Error:
    state = (result.error_field(pq.DiagnosticField.SQLSTATE) or b"XX000").decode()
    message = (result.error_field(pq.DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
    try:
        kind = psycopg.errors.lookup(state)
    except KeyError:
        kind = psycopg.DatabaseError
    if issubclass(kind, psycopg.errors.AdminShutdown | psycopg.errors.CrashShutdown):
        return ConnectionLost(message)
    return kind(message, info=result)
