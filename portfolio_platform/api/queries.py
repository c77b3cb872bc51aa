"""Asking the database as the caller, timed, with its refusals turned into problems."""

from __future__ import annotations

import time
from typing import Any

import psycopg
from fastapi import Request
from psycopg import errors

from portfolio_platform.api.problems import Problem
from portfolio_platform.api.services import services_of
from portfolio_platform.store.reads.exchange import Call, ConnectionLost, Parameter, Row, Statement
from portfolio_platform.store.reads.session import Caller, DatabaseBusy

_CONFLICTS = {
    "strategies_user_id_slug_key": "you already have a strategy with this slug",
    "portfolios_strategy_id_fkey": "a portfolio still follows this strategy",
}


async def read(request: Request, caller: Caller, *calls: Call) -> list[list[Row]]:
    """Rows of each call from one read-only transaction."""
    started = time.perf_counter()
    try:
        return await services_of(request).database.read(caller, *calls)
    except (psycopg.Error, DatabaseBusy) as error:
        raise problem_of(error) from error
    finally:
        _note(request, started)


async def write(request: Request, caller: Caller, *calls: Call) -> list[list[Row]]:
    """Rows of each call from one read-write transaction."""
    started = time.perf_counter()
    try:
        return await services_of(request).database.write(caller, *calls)
    except (psycopg.Error, DatabaseBusy) as error:
        raise problem_of(error) from error
    finally:
        _note(request, started)


async def one(
    request: Request, caller: Caller, statement: Statement, *parameters: Parameter
) -> Row | None:
    """First row of one read, or None."""
    rows = (await read(request, caller, (statement, parameters)))[0]
    return rows[0] if rows else None


async def many(
    request: Request, caller: Caller, statement: Statement, *parameters: Parameter
) -> list[Row]:
    """All rows of one read."""
    return (await read(request, caller, (statement, parameters)))[0]


def problem_of(error: Exception) -> Problem:
    """The problem that tells a client what happened, with nothing of the SQL in it."""
    if isinstance(error, ConnectionLost):
        return Problem("database-unavailable", retry_after=2)
    if isinstance(error, DatabaseBusy):
        return Problem("database-busy", str(error), retry_after=2)
    if isinstance(error, errors.QueryCanceled):
        return Problem("query-timeout", retry_after=5)
    if isinstance(error, errors.InsufficientPrivilege):
        return Problem("forbidden", "the database does not let this role do that")
    if isinstance(error, errors.UniqueViolation | errors.ForeignKeyViolation):
        constraint = error.diag.constraint_name or ""
        if constraint.endswith("user_id_fkey"):
            return Problem("forbidden", "this user is not signed up on this platform")
        return Problem("conflict", _CONFLICTS.get(constraint, "it contradicts a stored row"))
    if isinstance(error, errors.CheckViolation | errors.DataError):
        return Problem("invalid", "a value is out of the range that the store accepts", errors=[])
    if isinstance(
        error,
        errors.OperationalError | errors.SerializationFailure | errors.DeadlockDetected,
    ):
        return Problem("database-unavailable", retry_after=2)
    return Problem("internal")


def _note(request: Request, started: float) -> None:
    timings: dict[str, Any] = request.scope["state"].setdefault("timings", {})
    timings["db"] = timings.get("db", 0.0) + time.perf_counter() - started
