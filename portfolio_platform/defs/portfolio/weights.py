"""Optimal weights of a strategy at a moment, as a version with its lineage."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection
from pydantic import ValidationError

from portfolio_platform.defs.market.bars import last_time, market_panel, price_panel
from portfolio_platform.defs.market.metrics import SUBJECT as METRICS
from portfolio_platform.defs.market.metrics import NoBars
from portfolio_platform.market.panel import MarketPanel
from portfolio_platform.optimization import (
    NoAnswer,
    PricePanel,
    Solution,
    StrategySpec,
    decide,
    estimate_moments,
)
from portfolio_platform.optimization.frontier import efficient_frontier
from portfolio_platform.optimization.risk_report import risk_report as risk_of_solution
from portfolio_platform.store import ingest, latest
from portfolio_platform.store.publish import Input, Published, publish, sha256_of
from portfolio_platform.store.publish import latest as latest_version
from portfolio_platform.store.requests import StrategyRow


@dataclass(frozen=True)
class History:
    """Panel of one interval, what it was built from, and what was published from it before."""

    panel: PricePanel
    inputs: tuple[Input, ...]
    as_of: datetime
    refused: dict[str, str]


def refused_mints(conn: Connection, as_of: datetime | None = None) -> dict[str, str]:
    """Mints that have prices on the chain of which none was accepted, and why.

    The hub is never among them: it is the unit that everything else is priced in.
    """
    reasons: dict[str, set[str]] = {}
    universe = ingest.universe(conn)
    accepted = {universe["hub"]} if universe else set()
    for row in latest.prices(conn, as_of):
        if row["verdict"] == "accepted":
            accepted.add(row["mint"])
        reasons.setdefault(row["mint"], set()).update(row["reasons"])
    return {
        mint: "price refused: " + ", ".join(sorted(why))
        for mint, why in reasons.items()
        if mint not in accepted
    }


def history(
    conn: Connection, interval: str, prefer: tuple[str, ...], as_of: datetime | None = None
) -> History:
    """What a decision may look at: clean closes of tokens whose price was not refused.

    Raises
    ------
    NoBars
        There is no clean bar of that interval.
    """
    market, inputs = market_panel(conn, interval, prefer, as_of)
    moment = last_time(market)
    if moment is None:
        raise NoBars(f"no clean {interval} bars; materialise market_bars first")
    refused = refused_mints(conn, as_of)
    yields = {
        row["mint"]: float(row["supply_apr"])
        for row in latest.reserves(conn, as_of)
        if row["supply_apr"] is not None
    }
    for mint, earned in latest.staking_yields(conn, as_of).items():
        yields[mint] = yields.get(mint, 0.0) + earned
    found = list(inputs)
    metrics = latest_version(conn, "metrics", METRICS, as_of)
    if metrics is not None:
        found.append(Input("version", str(metrics["version"]), metrics["content_hash"]))
    kept = _without(market, refused)
    return History(price_panel(conn, kept, yields), tuple(found), moment, refused)


def _without(panel: MarketPanel, refused: dict[str, str]) -> MarketPanel:
    from dataclasses import replace

    keep = [column for column, asset in enumerate(panel.assets) if asset not in refused]
    return replace(
        panel,
        assets=tuple(panel.assets[column] for column in keep),
        close=panel.close[:, keep],
        quote_volume=panel.quote_volume[:, keep],
    )


@dataclass(frozen=True)
class Decided:
    """Weights as published, with what they were made from and what they replace."""

    published: Published
    solution: Solution
    report: dict[str, Any]
    inputs: tuple[Input, ...]
    previous: GoodWeights | None


def publish_weights(
    conn: Connection,
    strategy: StrategyRow,
    past: History,
    *,
    code_version: str,
    run_id: str | None,
) -> Decided:
    """Decide and publish; a typed outcome without weights is published as such.

    The last good weights stay the latest ones: readers take the newest version whose status is
    ``optimal`` and are told about a newer failure.

    Raises
    ------
    ValidationError
        The stored spec is not valid (the message carries the path of the field).
    """
    spec = StrategySpec.model_validate(strategy.spec)
    costs = spec.turnover is not None or spec.cost_bps > 0
    previous = last_good_weights(conn, strategy.strategy_id)
    current = previous.weights if previous and costs else None
    solution = decide(spec, past.panel, past.as_of, current=current)
    content = solution.content()
    content["excluded"] = {**content["excluded"], **past.refused}
    stored = solution.to_json() | {"excluded": content["excluded"]}
    inputs = [
        *past.inputs,
        Input(
            "strategy",
            str(strategy.strategy_id),
            sha256_of(spec.model_dump(mode="json")),
            {"slug": strategy.slug},
        ),
    ]
    report = risk_report(spec, past, solution)
    published = publish(
        conn,
        kind="weights",
        subject=strategy.subject,
        user_id=strategy.user_id,
        content=content,
        inputs=inputs,
        rows={
            "weight_sets": [
                {
                    "strategy_id": strategy.strategy_id,
                    "status": solution.status,
                    "reason": solution.reason,
                    "solution": stored,
                    "report": report,
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
    return Decided(published, solution, report, tuple(inputs), previous)


def risk_report(spec: StrategySpec, past: History, solution: Solution) -> dict[str, Any]:
    """Risk, efficient frontier and outlook of the weights, as stored for the API.

    The outlook (mean and covariance per bar) is what plans show expected performance from.
    """
    if not solution.ok:
        return {"risk": {"status": solution.status, "reason": solution.reason}}
    plain = spec
    if spec.model == "ensemble":
        plain = StrategySpec.model_validate(
            {**spec.model_dump(), "model": "Classic", "members": ()}
        )
    try:
        moments = estimate_moments(plain, past.panel, past.as_of)
    except NoAnswer as refused:
        return {"risk": {"status": refused.status, "reason": refused.reason}}
    return {
        "risk": risk_of_solution(plain, moments, solution),
        "frontier": efficient_frontier(plain, moments, solution=solution),
        "outlook": {
            "assets": list(moments.assets),
            "mean": moments.mean.tolist(),
            "covariance": moments.covariance.tolist(),
            "periods_per_year": spec.bars_per_year,
            "risk_free": spec.risk_free_rate,
        },
    }


@dataclass(frozen=True)
class GoodWeights:
    """The newest weights of a strategy that are an answer, not a refusal."""

    version: UUID
    content_hash: str
    as_of: datetime
    weights: dict[str, float]
    report: dict[str, Any]


def last_good_weights(
    conn: Connection, strategy_id: UUID, as_of: datetime | None = None
) -> GoodWeights | None:
    """The newest version whose status is ``optimal``; None before the first."""
    head = conn.execute(
        """
        select v.version, v.content_hash, v.as_of, s.report
        from public.versions as v join public.weight_sets as s using (version)
        where s.strategy_id = %(strategy)s and s.status = 'optimal'
          and (%(as_of)s::timestamptz is null or v.recorded_at <= %(as_of)s)
        order by v.recorded_at desc, v.version limit 1
        """,
        {"strategy": strategy_id, "as_of": as_of},
    ).fetchone()
    if head is None:
        return None
    rows = conn.execute(
        "select mint, weight from public.weights where version = %s order by mint", (head[0],)
    ).fetchall()
    return GoodWeights(head[0], head[1], head[2], dict(rows), head[3])


def last_refusal(conn: Connection, strategy_id: UUID, as_of: datetime | None = None) -> str | None:
    """Status and reason of a strategy's newest attempt; None where it has weights or none yet."""
    head = conn.execute(
        """
        select s.status, s.reason
        from public.versions as v join public.weight_sets as s using (version)
        where s.strategy_id = %(strategy)s
          and (%(as_of)s::timestamptz is null or v.recorded_at <= %(as_of)s)
        order by v.recorded_at desc, v.version limit 1
        """,
        {"strategy": strategy_id, "as_of": as_of},
    ).fetchone()
    return None if head is None or head[0] == "optimal" else f"{head[0]}: {head[1]}"


def broken_spec(strategy: StrategyRow) -> str | None:
    """Why a stored spec cannot be used, or None."""
    try:
        StrategySpec.model_validate(strategy.spec)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        return f"strategy {strategy.slug}: {path}: {first['msg']}"
    return None
