"""Answering optimization requests: weights for a spec that came with the request."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from psycopg import Connection
from pydantic import ValidationError

from portfolio_platform.settings import Settings
from portfolio_platform.store import requests
from portfolio_platform.store.publish import Input, publish, sha256_of

Connect = Callable[[], AbstractContextManager[Connection]]
Say = Callable[[str], None]
TABLE: requests.RequestTable = "optimization_requests"
_FINISHED = ("done", "failed", "cancelled")


def answer_optimization(
    connect: Connect,
    settings: Settings,
    request_id: str | UUID,
    code_version: str,
    run_id: str | None,
    say: Say,
) -> dict[str, Any]:
    """Decide for a stored request and publish the weights; it always ends in a stated outcome.

    The decision is that of a stored strategy: the same function over the same reads. The version
    belongs to the request's owner and has the request as its subject. A request cancelled
    meanwhile stays cancelled and nothing is published for it.
    """
    from portfolio_platform.optimization import StrategySpec

    with connect() as conn:
        row = requests.request(conn, TABLE, request_id)
        if row.state in _FINISHED:
            return _outcome(row.request_id, row.state, row.reason)
        if not requests.mark_request(conn, TABLE, row.request_id, "running", progress=0.1):
            return _outcome(row.request_id, "cancelled", None)
    try:
        spec = StrategySpec.model_validate(row.spec)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        return _failed(connect, row.request_id, f"invalid_spec: {path}: {first['msg']}")
    return _decide(connect, settings, row, spec, code_version, run_id, say)


def _decide(
    connect: Connect,
    settings: Settings,
    row: requests.RequestRow,
    spec: Any,
    code_version: str,
    run_id: str | None,
    say: Say,
) -> dict[str, Any]:
    from portfolio_platform.defs.market.bars import preference
    from portfolio_platform.defs.portfolio import weights
    from portfolio_platform.optimization import decide

    with connect() as conn:
        try:
            past = weights.history(conn, spec.bar_interval, preference(settings.bar_preference))
        except weights.NoBars as error:
            reason = f"insufficient_history: {error}"
            requests.mark_request(conn, TABLE, row.request_id, "failed", reason=reason)
            return _outcome(row.request_id, "failed", reason)
    say(f"deciding over {len(past.panel.assets)} assets as of {past.as_of:%Y-%m-%d %H:%M}")
    solution = decide(spec, past.panel, past.as_of)
    content = solution.content()
    content["excluded"] = {**content["excluded"], **past.refused}
    with connect() as conn:
        # Locks the row: what is published now was not cancelled and cannot be any more.
        if not requests.mark_request(conn, TABLE, row.request_id, "running"):
            return _outcome(row.request_id, "cancelled", None)
        published = publish(
            conn,
            kind="weights",
            subject=str(row.request_id),
            user_id=row.user_id,
            content=content,
            inputs=[
                *past.inputs,
                Input("request", str(row.request_id), sha256_of(spec.model_dump(mode="json"))),
            ],
            rows={
                "weight_sets": [
                    {
                        "request_id": row.request_id,
                        "status": solution.status,
                        "reason": solution.reason,
                        "solution": solution.to_json() | {"excluded": content["excluded"]},
                        "report": weights.risk_report(spec, past, solution),
                    }
                ],
                "weights": [
                    {"mint": mint, "weight": weight} for mint, weight in solution.weights.items()
                ],
            },
            as_of=past.as_of,
            code_version=code_version,
            run_id=run_id,
        )
        optimal = solution.status == "optimal"
        state = "done" if optimal else "failed"
        said = None if optimal else f"{solution.status}: {solution.reason}"
        requests.mark_request(
            conn,
            TABLE,
            row.request_id,
            state,
            reason=said,
            progress=1.0,
            version=published.version,
        )
    return {
        **_outcome(row.request_id, state, said),
        "version": str(published.version),
        "status": solution.status,
        "engine": solution.engine,
        "volatility": solution.volatility,
    }


def _failed(connect: Connect, request_id: UUID, reason: str) -> dict[str, Any]:
    with connect() as conn:
        kept = requests.mark_request(conn, TABLE, request_id, "failed", reason=reason)
    return _outcome(request_id, "failed" if kept else "cancelled", reason if kept else None)


def _outcome(request_id: UUID, state: str, reason: str | None) -> dict[str, Any]:
    return {"request": str(request_id), "state": state, "reason": reason}
