"""Probes, measures, schemas and the catalogue of problems: no token needed."""

from __future__ import annotations

import time
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Literal

import psycopg
from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from portfolio_platform.api.bodies import schema
from portfolio_platform.api.problems import CATALOGUE, Problem, responses
from portfolio_platform.api.representation import json_response
from portfolio_platform.api.services import Services, services_of
from portfolio_platform.store.feed.measures import exposition as feed_exposition
from portfolio_platform.store.reads import freshness
from portfolio_platform.store.reads.consumer_lag import LAG
from portfolio_platform.store.reads.rpc_counters import COUNTERS
from portfolio_platform.store.reads.session import PROBE, DatabaseBusy
from portfolio_platform.store.rpc_counters import exposition as rpc_exposition

_PROBE_SECONDS = 1.0
_UP = {
    "portfolio_rpc_counters_up": "Whether the endpoints' counters could be read.",
    "portfolio_feed_up": "Whether the change feed's lag could be read.",
}

router = APIRouter(tags=["operations"])


class Live(BaseModel):
    """The process answers."""

    status: Literal["live"]


class Check(BaseModel):
    """One thing that must hold."""

    name: str
    ok: bool
    detail: str


class Ready(BaseModel):
    """Every check holds."""

    status: Literal["ready"]
    checks: list[Check]


class ProblemKind(BaseModel):
    """One entry of the catalogue."""

    code: str
    status: int
    title: str
    remedy: str


@router.get("/livez", responses={200: {"model": Live}})
async def live(request: Request) -> Response:
    """The process is alive."""
    return json_response({"status": "live"}, cache_control="no-store")


@router.get("/readyz", responses={200: {"model": Ready}, **responses("not-ready")})
async def ready(request: Request) -> Response:
    """The database answers, its schema is there, and keys and data are as young as required."""
    services = services_of(request)
    checks = [*await _remembered(services), _keys(services)]
    if services.closing.is_set():
        checks.append({"name": "serving", "ok": False, "detail": "shutting down"})
    failed = [check["name"] for check in checks if not check["ok"]]
    if failed:
        raise Problem("not-ready", f"failing: {', '.join(failed)}", checks=checks, retry_after=2)
    return json_response({"status": "ready", "checks": checks}, cache_control="no-store")


@router.get(
    "/metrics",
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def measures(request: Request) -> Response:
    """Prometheus measures: of this process, of the RPC endpoints over all runs, of the change feed.

    The latter two are left out while the database does not answer; `portfolio_rpc_counters_up` and
    `portfolio_feed_up` say so.
    """
    services = services_of(request)
    text = services.measures.exposition() + await _stored_measures(services)
    return Response(text, media_type=CONTENT_TYPE_LATEST)


@router.get("/problems", responses={200: {"model": list[ProblemKind]}})
async def problems(request: Request) -> Response:
    """Every kind of problem this API answers with."""
    return json_response([asdict(kind) for kind in CATALOGUE.values()])


@router.get("/problems/{code}", responses={200: {"model": ProblemKind}, **responses("not-found")})
async def problem_kind(request: Request, code: str) -> Response:
    """What a problem's `type` means, and its remedy."""
    if code not in CATALOGUE:
        raise Problem("not-found", "there is no such kind of problem")
    return json_response(asdict(CATALOGUE[code]))


@router.get(
    "/schemas/{kind}.json", responses={200: {"model": dict[str, Any]}, **responses("invalid")}
)
async def spec_schema(
    request: Request, kind: Literal["strategy", "backtest", "settings"]
) -> Response:
    """JSON Schema of a spec."""
    return json_response(schema(kind))


async def _remembered(services: Services) -> list[dict[str, Any]]:
    """The database's checks, made at most once a second however often anyone asks."""
    async with services.probing:
        at, checks = services.probed
        if not checks or time.monotonic() - at > _PROBE_SECONDS:
            checks = await _database(services)
            services.probed = (time.monotonic(), checks)
        return checks


async def _database(services: Services) -> list[dict[str, Any]]:
    database = services.database
    try:
        missing, newest = await database.read(
            PROBE, (freshness.SCHEMA, ()), (freshness.NEWEST_SNAPSHOT, ())
        )
    except (psycopg.Error, DatabaseBusy):
        return [{"name": "database", "ok": False, "detail": "it does not answer"}]
    absent = missing[0]["missing"]
    checks = [
        {"name": "database", "ok": True, "detail": "it answers"},
        {
            "name": "schema",
            "ok": not absent,
            "detail": f"missing: {', '.join(absent)}" if absent else "all relations are there",
        },
    ]
    oldest = services.settings.ready_max_age_seconds
    if oldest is not None:
        age = (datetime.now(UTC) - newest[0]["recorded_at"]).total_seconds() if newest else None
        checks.append(
            {
                "name": "snapshot",
                "ok": age is not None and age <= oldest,
                "detail": "there is none" if age is None else f"{age:.0f} s old, limit {oldest:g}",
            }
        )
    return checks


async def _stored_measures(services: Services) -> bytes:
    """Exposition of what the database counts, read at most once a second."""
    async with services.counting:
        at, text = services.counted
        if not text or time.monotonic() - at > _PROBE_SECONDS:
            try:
                counters, lags = await services.database.read(PROBE, (COUNTERS, ()), (LAG, ()))
                text = (_up(1) + rpc_exposition(counters) + feed_exposition(lags)).encode()
            except (psycopg.Error, DatabaseBusy):
                text = _up(0).encode()
            services.counted = (time.monotonic(), text)
        return text


def _up(value: int) -> str:
    return "".join(
        f"# HELP {name} {meaning}\n# TYPE {name} gauge\n{name} {value}\n"
        for name, meaning in _UP.items()
    )


def _keys(services: Services) -> dict[str, Any]:
    age = services.keys.age_seconds
    ok = services.keys.failures == 0 or services.keys.trusted()
    return {
        "name": "keys",
        "ok": ok,
        "detail": "not fetched yet" if age is None else f"fetched {age:.0f} s ago",
    }
