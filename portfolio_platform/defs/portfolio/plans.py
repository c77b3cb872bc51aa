"""Portfolio states and reallocation plans, each from one coherent snapshot."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection
from pydantic import ValidationError

from portfolio_platform.amm import AmmPool, TransferFee, pool_from_json
from portfolio_platform.defs.portfolio.weights import (
    GoodWeights,
    last_good_weights,
    last_refusal,
)
from portfolio_platform.reallocation import (
    Failure,
    Outlook,
    Plan,
    PlanSettings,
    Portfolio,
    PortfolioState,
    Price,
    Reason,
    SnapshotInfo,
    Token,
    plan,
    portfolio_state,
)
from portfolio_platform.reallocation.rationals import floor_of, ratio
from portfolio_platform.solana.layouts import is_key
from portfolio_platform.store import ingest, latest
from portfolio_platform.store.publish import Input, Published, publish, sha256_of
from portfolio_platform.store.requests import PortfolioRow


class BadSettings(ValueError):
    """Settings of a portfolio that cannot be used; the text carries the path of the field."""


@dataclass(frozen=True)
class Position:
    """Everything that a plan of one portfolio is computed from, as stored facts.

    ``refusals`` say why there is nothing to plan on; what the wallet holds is known all the same.
    """

    portfolio: Portfolio
    targets: dict[str, Any]
    prices: dict[str, Price]
    tokens: dict[str, Token]
    pools: tuple[AmmPool, ...]
    settings: PlanSettings
    snapshot: SnapshotInfo
    as_of: datetime
    inputs: tuple[Input, ...]
    outlook: Outlook | None
    refusals: tuple[Failure, ...]


def settings_of(row: PortfolioRow) -> PlanSettings:
    """Plan settings of a portfolio.

    Raises
    ------
    BadSettings
    """
    try:
        return PlanSettings.model_validate(row.settings)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise BadSettings(f"settings {path}: {first['msg']}") from error


def _refusal(reason: Reason, detail: str) -> Failure:
    return Failure(None, None, None, None, reason, detail)


def _target(
    conn: Connection, row: PortfolioRow, as_of: datetime | None
) -> tuple[GoodWeights | None, Failure | None]:
    """The weights that a portfolio follows, or why it has none."""
    if row.strategy_id is None:
        return None, _refusal(Reason.NO_TARGET, "the portfolio follows no strategy")
    good = last_good_weights(conn, row.strategy_id, as_of)
    if good is not None:
        return good, None
    refused = last_refusal(conn, row.strategy_id, as_of)
    if refused is None:
        return None, _refusal(Reason.NO_TARGET, "the strategy has no weights yet")
    return None, _refusal(Reason.SOLVER_INFEASIBLE, f"the strategy has no weights: {refused}")


def _as_of(
    conn: Connection, moments: list[datetime], as_of: datetime | None, settings: PlanSettings
) -> tuple[datetime, datetime | None]:
    """The moment that is planned for, and when the holdings were observed.

    It is the time of the chain, so that the same snapshot gives the same plan; the clock counts
    only where the snapshot is older than the portfolio allows, and the plan must say so.
    """
    now = as_of or datetime.now(UTC)
    observed = max(moments, default=None)
    if observed is None:
        newest = ingest.newest_fetch(conn)
        observed = newest.observed_at if newest is not None else None
    limit = settings.max_snapshot_age_seconds
    if observed is None or (limit is not None and (now - observed).total_seconds() > limit):
        return now, observed
    return observed, observed


def position(conn: Connection, row: PortfolioRow, as_of: datetime | None = None) -> Position:
    """Holdings, targets, accepted prices and pools of a portfolio at the newest stored slot."""
    refusals = []
    try:
        settings = settings_of(row)
    except BadSettings as error:
        # Only to value what is held: nothing is planned under settings that nobody chose.
        settings = PlanSettings()
        refusals.append(_refusal(Reason.INVALID_SETTINGS, str(error)))
    if not is_key(row.wallet):
        refusals.append(_refusal(Reason.INVALID_SETTINGS, f"wallet {row.wallet} is no public key"))
    weights, missing = _target(conn, row, as_of)
    if missing is not None:
        refusals.append(missing)
    known = latest.tokens(conn)
    tokens = {mint: _token(entry) for mint, entry in known.items()}
    inputs = []
    if weights is not None:
        inputs.append(Input("version", str(weights.version), weights.content_hash))
    held: dict[str, int] = defaultdict(int)
    frozen = set()
    slots, moments, ids = [], [], []
    for holding in latest.holdings(conn, row.wallet, as_of):
        held[holding["mint"]] += int(holding["amount"])
        if holding["frozen"]:
            frozen.add(holding["mint"])
        slots.append(holding["slot"])
        moments.append(holding["observed_at"])
        ids.append(str(holding["snapshot_id"]))
        inputs.append(Input("holding", str(holding["holding_id"]), holding["sha256"]))
    prices: dict[str, Price] = {}
    hub = tokens.get(row.hub_mint, Token(None))
    for quoted in _best_prices(latest.prices(conn, as_of)).values():
        token = tokens[quoted["mint"]]
        if token.decimals is None or hub.decimals is None or quoted["mint"] == row.hub_mint:
            continue
        prices[quoted["mint"]] = Price.from_display(
            repr(quoted["price"]),
            token.decimals,
            hub.decimals,
            observed_at=quoted["observed_at"],
            source=f"{quoted['source']} {quoted['pubkey']}",
        )
        inputs.append(Input("price", str(quoted["price_id"]), quoted["sha256"]))
    pools = []
    for stored in latest.pools(conn, as_of):
        if stored["refused"] is None and (not slots or stored["slot"] >= min(slots)):
            pools.append(pool_from_json(stored["state"]))
            slots.append(stored["slot"])
            ids.append(str(stored["snapshot_id"]))
            inputs.append(Input("pool", str(stored["pool_state_id"]), sha256_of(stored["state"])))
    moment, observed = _as_of(conn, moments, as_of, settings)
    return Position(
        portfolio=Portfolio(
            str(row.portfolio_id), row.hub_mint, dict(held), frozen=frozenset(frozen)
        ),
        targets=weights.weights if weights is not None else {},
        prices=prices,
        tokens=tokens,
        pools=tuple(pools),
        settings=settings,
        snapshot=SnapshotInfo(
            min(slots, default=0), max(slots, default=0), observed, tuple(sorted(set(ids)))
        ),
        as_of=moment,
        inputs=tuple(inputs),
        outlook=outlook_of(weights.report) if weights is not None else None,
        refusals=tuple(refusals),
    )


def outlook_of(report: dict[str, Any]) -> Outlook | None:
    """Expected returns and covariance that the target was decided on, where they were kept."""
    kept = report.get("outlook")
    return Outlook.from_json(kept) if kept else None


def _token(row: dict[str, Any]) -> Token:
    fee = (row["extensions"] or {}).get("transfer_fee")
    return Token(
        row["decimals"],
        row["symbol"],
        TransferFee(fee["bps"], int(fee["max"])) if fee else None,
    )


def _best_prices(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The accepted price of each mint: oracles first, then the deepest pool."""
    chosen: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row["verdict"] != "accepted":
            continue
        best = chosen.get(row["mint"])
        if best is None or _rank(row) < _rank(best):
            chosen[row["mint"]] = row
    return chosen


def _rank(row: dict[str, Any]) -> tuple[int, float, str]:
    if row["source"].startswith("pyth"):
        return 0, (row["confidence"] or 0.0) / row["price"], row["pubkey"]
    if row["source"] in ("spl_stake_pool", "marinade_state"):
        return 2, 0.0, row["pubkey"]
    if row["source"] == "kamino_reserve":
        return 3, 0.0, row["pubkey"]
    return 1, -(row["depth"] or 0.0), row["pubkey"]


def publish_state(
    conn: Connection, row: PortfolioRow, *, code_version: str, run_id: str | None
) -> tuple[Published, PortfolioState]:
    """Value a portfolio against its targets and publish the state."""
    here = position(conn, row)
    targets = {mint: ratio(weight) for mint, weight in here.targets.items()}
    state = portfolio_state(here.portfolio, targets, here.prices, here.tokens, here.settings)
    content = state.to_json()
    published = publish(
        conn,
        kind="portfolio_state",
        subject=str(row.portfolio_id),
        user_id=row.user_id,
        content=content,
        inputs=[one for one in here.inputs if one.kind != "pool"],
        rows={
            "portfolio_states": [
                {
                    "portfolio_id": row.portfolio_id,
                    "nav": None if state.nav is None else floor_of(state.nav),
                    "state": content,
                }
            ]
        },
        as_of=here.as_of,
        code_version=code_version,
        run_id=run_id,
    )
    return published, state


def last_reallocation_at(conn: Connection, row: PortfolioRow) -> datetime | None:
    """When the portfolio was last told to move."""
    found = conn.execute(
        """
        select v.as_of from public.versions as v join public.reallocation_plans as p using (version)
        where p.portfolio_id = %s and p.outcome = 'reallocation'
        order by v.recorded_at desc limit 1
        """,
        (row.portfolio_id,),
    ).fetchone()
    return None if found is None else found[0]


def publish_plan(
    conn: Connection,
    row: PortfolioRow,
    *,
    code_version: str,
    run_id: str | None,
    refusals: Iterable[Failure] = (),
) -> tuple[Published, Plan]:
    """Decide and plan from the newest stored snapshot, and publish the outcome, whatever it is.

    `refusals` are reasons of the caller not to plan (the chain could not be read).
    """
    here = position(conn, row)
    made = plan(
        here.portfolio,
        here.targets,
        here.prices,
        here.pools,
        here.settings,
        tokens=here.tokens,
        as_of=here.as_of,
        snapshot=here.snapshot,
        last_reallocation_at=last_reallocation_at(conn, row),
        outlook=here.outlook,
        references={f"{one.kind}/{one.id}": one.sha256 or "" for one in here.inputs},
        refusals=(*here.refusals, *refusals),
    )
    content = made.to_json()
    published = publish(
        conn,
        kind="plan",
        subject=str(row.portfolio_id),
        user_id=row.user_id,
        content=content,
        inputs=here.inputs,
        rows={
            "reallocation_plans": [
                {
                    "portfolio_id": row.portfolio_id,
                    "outcome": made.outcome.value,
                    "reasons": reasons(made),
                    "plan": content,
                    "plan_inputs": made.inputs.to_json(),
                }
            ],
            "plan_trades": [
                {
                    "step": step.number,
                    "side": step.side,
                    "mint_in": step.quote.mint_in,
                    "mint_out": step.quote.mint_out,
                    "pool": step.quote.pool,
                    "amount_in": step.quote.amount_in,
                    "expected_out": step.quote.amount_out,
                    "min_out": step.min_out,
                    "fee": step.quote.fee,
                    "impact_bps": float(step.quote.impact * 10_000),
                }
                for step in made.steps
            ],
        },
        as_of=here.as_of,
        code_version=code_version,
        run_id=run_id,
    )
    return published, made


def reasons(made: Plan) -> list[str]:
    """Why: the typed reasons, and what triggered where a reallocation has nothing against it."""
    named = [reason.value for reason in made.reasons]
    return named or [trigger.value for trigger in made.triggers]
