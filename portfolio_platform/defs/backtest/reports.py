"""Answering backtest requests: from the stored spec to the stored report."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any
from uuid import UUID

from psycopg import Connection
from pydantic import ValidationError

from portfolio_platform.defs.market.bars import last_time, market_panel, preference, price_panel
from portfolio_platform.market.panel import MarketPanel
from portfolio_platform.settings import Settings
from portfolio_platform.store import latest, requests, trials
from portfolio_platform.store.publish import Input, publish, sha256_of

Connect = Callable[[], AbstractContextManager[Connection]]
Say = Callable[[str], None]
TABLE: requests.RequestTable = "backtest_requests"


def answer_backtest(
    connect: Connect,
    settings: Settings,
    request_id: str | UUID,
    code_version: str,
    run_id: str | None,
    say: Say,
) -> dict[str, Any]:
    """Run a stored request and publish its report; the request always ends in a stated outcome.

    A request that was interrupted continues from its last stored block of decisions. One that is
    cancelled meanwhile stops at the next block.
    """
    from portfolio_platform.backtesting import BacktestSpec, Cancelled

    with connect() as conn:
        row = requests.request(conn, TABLE, request_id)
        if row.state in ("done", "failed", "cancelled"):
            return {"request": str(row.request_id), "state": row.state, "reason": row.reason}
        requests.mark_request(conn, TABLE, row.request_id, "running")
    try:
        spec = BacktestSpec.model_validate(row.spec)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        return _failed(connect, row.request_id, f"{path}: {first['msg']}")
    try:
        return _run(connect, settings, row, spec, code_version, run_id, say)
    except Cancelled:
        return _cancelled(connect, row.request_id)


def _failed(connect: Connect, request_id: UUID, reason: str) -> dict[str, Any]:
    with connect() as conn:
        requests.mark_request(conn, TABLE, request_id, "failed", reason=reason)
    return {"request": str(request_id), "state": "failed", "reason": reason}


def _cancelled(connect: Connect, request_id: UUID) -> dict[str, Any]:
    with connect() as conn:
        trials.abandon(conn, request_id)
        trials.drop_blocks(conn, request_id)
    return {"request": str(request_id), "state": "cancelled", "reason": None}


def _strategies(
    conn: Connection, row: requests.RequestRow, spec: Any
) -> tuple[dict[str, Any], list[Input]]:
    """Specs of the stored strategies that the request names and its owner may use."""
    from portfolio_platform.optimization import StrategySpec

    wanted = {one for one in spec.strategies if isinstance(one, str)}
    wanted |= {one.slug for one in spec.benchmarks if one.kind == "strategy"}
    found = {}
    inputs = []
    for stored in requests.strategies(conn, enabled_only=False):
        mine = stored.user_id is None or stored.user_id == row.user_id
        if stored.slug in wanted and mine:
            found[stored.slug] = StrategySpec.model_validate(stored.spec)
            inputs.append(
                Input(
                    "strategy",
                    str(stored.strategy_id),
                    sha256_of(found[stored.slug].model_dump(mode="json")),
                    {"slug": stored.slug},
                )
            )
    return found, inputs


def _run(
    connect: Connect,
    settings: Settings,
    row: requests.RequestRow,
    spec: Any,
    code_version: str,
    run_id: str | None,
    say: Say,
) -> dict[str, Any]:
    from portfolio_platform.backtesting import (
        CannotRun,
        TrialFamily,
        chain_hash,
        planned_trials,
        render_html,
        run_backtest,
    )

    with connect() as conn:
        market, inputs = market_panel(conn, spec.interval, preference(settings.bar_preference))
        moment = last_time(market)
        if moment is None:
            reason = f"no clean {spec.interval} bars; materialise market_bars first"
            requests.mark_request(conn, TABLE, row.request_id, "failed", reason=reason)
            return {"request": str(row.request_id), "state": "failed", "reason": reason}
        panel = price_panel(conn, market)
        symbols = {mint: row["symbol"] for mint, row in latest.tokens(conn).items()}
        strategies, strategy_inputs = _strategies(conn, row, spec)
        missing = {s for s in spec.strategies if isinstance(s, str)} - strategies.keys()
        if missing:
            reason = f"strategies: unknown: {', '.join(sorted(missing))}"
            requests.mark_request(conn, TABLE, row.request_id, "failed", reason=reason)
            return {"request": str(row.request_id), "state": "failed", "reason": reason}
        try:
            planned = planned_trials(
                spec, panel, strategies=strategies, volumes=market.quote_volume
            )
        except CannotRun:
            planned = []
        family = family_name(spec.family, row.user_id)
        added = trials.register(
            conn,
            family,
            [(trial.config_hash, trial.config) for trial in planned],
            chain_hash,
            row.user_id,
            request_id=row.request_id,
            code_version=code_version,
            seed=spec.seed,
        )
        known = TrialFamily.from_rows(family, trials.family_rows(conn, family))
        previous = _previous(conn, spec, strategy_inputs)
        resume = trials.blocks(conn, row.request_id)
    say(f"{len(planned)} configurations, {added} of them new to family {family}")
    if resume:
        say(f"continues after {sum(len(b['decisions']) for b in resume)} stored decisions")
    result = run_backtest(
        spec,
        panel,
        strategies=strategies,
        trials=known,
        code_version=code_version,
        provenance=provenance(market, inputs, symbols),
        volumes=market.quote_volume,
        previous=previous,
        resume=resume,
        **_watch(connect, row.request_id, say),
    )
    document = result.to_json()
    document["headline"] = headline(document)
    with connect() as conn:
        trials.finish(conn, family, [trial.row() for trial in result.trials])
    with connect() as conn:
        # Locks the row: what is published now was not cancelled and cannot be any more.
        if not requests.mark_request(conn, TABLE, row.request_id, "running"):
            return _cancelled(connect, row.request_id)
        published = publish(
            conn,
            kind="backtest",
            subject=str(row.request_id),
            user_id=row.user_id,
            content=result.content_hash,
            inputs=[*inputs, *strategy_inputs, _trials_input(known, result.trials)],
            rows={
                "backtest_reports": [
                    {
                        "request_id": row.request_id,
                        "outcome": result.outcome,
                        "report": document,
                        "html": render_html(document),
                    }
                ]
            },
            as_of=moment,
            code_version=code_version,
            run_id=run_id,
        )
        said = "; ".join(one.message for one in result.reasons) or None
        state = "failed" if result.outcome == "failed" else "done"
        requests.mark_request(
            conn,
            TABLE,
            row.request_id,
            state,
            reason=said,
            progress=1.0,
            version=published.version,
        )
        trials.drop_blocks(conn, row.request_id)
    return {
        "request": str(row.request_id),
        "state": state,
        "reason": said,
        "version": str(published.version),
        "outcome": result.outcome,
        **document["headline"],
    }


def _trials_input(known: Any, own: Any) -> Input:
    """The family as it was when the report was judged: its count is part of the answer."""
    family = known.with_trials(own)
    return Input("trials", family.name, family.identity, {"count": len(family.trials)})


def _previous(conn: Connection, spec: Any, strategy_inputs: list[Input]) -> Any:
    """What the first stored strategy was before its newest change, if that is asked for."""
    from portfolio_platform.optimization import StrategySpec

    asked = any(one.kind == "previous" for one in spec.benchmarks)
    stored = [one for one in spec.strategies if isinstance(one, str)]
    if not (asked and stored):
        return None
    ids = {(one.detail or {})["slug"]: one.id for one in strategy_inputs}
    found = requests.previous_spec(conn, UUID(ids[stored[0]]))
    if found is None:
        return None
    previous = StrategySpec.model_validate(found)
    strategy_inputs.append(
        Input(
            "strategy",
            f"{ids[stored[0]]}/previous",
            sha256_of(previous.model_dump(mode="json")),
            {"slug": stored[0]},
        )
    )
    return previous


def provenance(market: MarketPanel, inputs: list[Input], symbols: dict[str, str]) -> dict[str, Any]:
    """Data behind a report: each series and file with its hash, and the symbols of tokens."""
    return {
        "symbols": {mint: symbols[mint] for mint in market.assets if mint in symbols},
        "data_versions": {
            f"{one.kind} {(one.detail or {}).get('series', one.id)}": one.sha256 for one in inputs
        },
    }


def family_name(family: str, user_id: UUID | None) -> str:
    """Families are counted per user: nobody's trials deflate another's results."""
    return family if user_id is None else f"{user_id}/{family}"


def _watch(connect: Connect, request_id: UUID, say: Say) -> dict[str, Any]:
    """Callbacks that store blocks, report rate and time left, and notice a cancellation."""
    started = time.monotonic()
    first: list[int] = []
    said = [started]

    def progress(step: Any) -> None:
        if step.block is not None:
            with connect() as conn:
                trials.save_block(conn, request_id, step.block)
                requests.mark_request(
                    conn,
                    TABLE,
                    request_id,
                    "running",
                    progress=0.95 * step.done / max(step.total, 1),
                )
        if not first:
            first.append(step.done)
        now = time.monotonic()
        if now - said[0] >= 1.0:
            said[0] = now
            rate = (step.done - first[0]) / max(now - started, 1e-9)
            done = f"{step.done} of {step.total} decisions"
            if rate > 0:
                done += f", {rate:.0f}/s, {(step.total - step.done) / rate:.0f} s left"
            say(f"{step.label}: {done}")

    def cancelled() -> bool:
        with connect() as conn:
            return requests.request(conn, TABLE, request_id).state == "cancelled"

    return {"progress": progress, "cancelled": cancelled}


def headline(document: dict[str, Any]) -> dict[str, Any]:
    """The few figures that a list of reports shows."""
    found: dict[str, Any] = {"outcome": document["outcome"]}
    for name, section in list(document["strategies"].items())[:1]:
        metrics = section["metrics"]
        found["strategy"] = name
        for key in ("cagr", "volatility", "sharpe", "max_drawdown", "final_equity"):
            if key in metrics:
                found[key] = metrics[key]
    found["verdict"] = document["verdict"]["sentence"]
    return found


def answer_pending(
    connect: Connect, settings: Settings, code_version: str, run_id: str | None, say: Say
) -> list[dict[str, Any]]:
    """Answer every open request in turn."""
    with connect() as conn:
        waiting = requests.pending_requests(conn, TABLE)
    return [
        answer_backtest(connect, settings, row.request_id, code_version, run_id, say)
        for row in waiting
    ]
