"""The application: services with a lifetime, routes, errors and the envelope around them."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from portfolio_platform import __version__
from portfolio_platform.api import docs_page, openapi, services
from portfolio_platform.api.envelope import Envelope
from portfolio_platform.api.problems import Problem
from portfolio_platform.api.routes import (
    alert_rules,
    alerts,
    backtests,
    bars,
    channels,
    freshness,
    health,
    lineage,
    optimizations,
    portfolios,
    reallocation,
    strategies,
    stream,
    tokens,
    weights,
)
from portfolio_platform.api.routes import (
    settings as settings_routes,
)
from portfolio_platform.api.settings import ApiSettings

log = logging.getLogger("portfolio_platform.api")

_ROUTERS = (
    weights, lineage, tokens, bars, strategies, portfolios, reallocation, backtests,
    optimizations, alerts, alert_rules, channels, settings_routes, stream, freshness, health,
)  # fmt: skip
_BY_STATUS = {404: "not-found", 405: "method-not-allowed", 413: "body-too-large"}


def create_app(settings: ApiSettings) -> FastAPI:
    """The read layer as an ASGI application.

    Connections are opened by the lifespan; a database that is down then is retried for ever, and
    answered with 503 meanwhile.
    """
    shared = services.build(settings)
    application = FastAPI(
        title="portfolio_platform",
        version=__version__,
        description="Portfolio decisions for Solana tokens, read from published versions.",
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
        redirect_slashes=False,
        # Not the logs: they would carry the text of exceptions.
        telemetry={
            "tracing": settings.telemetry,
            "metrics": settings.telemetry,
            "logs": False,
            "auto_configure": settings.telemetry,
        },
    )
    application.state.services = shared
    for module in _ROUTERS:
        application.include_router(module.router)
    docs_page.add_to(application)
    openapi.install(application)
    application.add_exception_handler(Problem, _problem)
    application.add_exception_handler(RequestValidationError, _validation)
    application.add_exception_handler(HTTPException, _http)
    application.add_exception_handler(Exception, _unexpected)
    application.add_middleware(
        Envelope,
        measures=shared.measures,
        max_body_bytes=settings.max_body_bytes,
        max_url_bytes=settings.max_url_bytes,
    )
    return application


@asynccontextmanager
async def _lifespan(application: FastAPI) -> AsyncIterator[None]:
    shared: services.Services = application.state.services
    await shared.database.open()
    await shared.wakeup.open()
    try:
        yield
    finally:
        shared.closing.set()
        await shared.wakeup.close()
        await shared.database.close()


def _trace(request: Request) -> str:
    return request.scope["state"]["trace_id"]


async def _problem(request: Request, error: Any) -> Response:
    return error.response(request.url.path, _trace(request))


async def _validation(request: Request, error: Any) -> Response:
    found = [
        {"loc": list(e["loc"]), "msg": e["msg"], "type": e["type"]} for e in error.errors()[:20]
    ]
    problem = Problem("invalid", "the parameters do not validate", errors=found)
    return problem.response(request.url.path, _trace(request))


async def _http(request: Request, error: Any) -> Response:
    code = _BY_STATUS.get(error.status_code, "bad-request")
    detail = {"not-found": "there is nothing at this path"}.get(code)
    problem = Problem(code, detail, headers=error.headers)
    return problem.response(request.url.path, _trace(request))


async def _unexpected(request: Request, error: Exception) -> Response:
    log.error("unhandled error, trace_id=%s", _trace(request), exc_info=error)
    return Problem("internal").response(request.url.path, _trace(request))
