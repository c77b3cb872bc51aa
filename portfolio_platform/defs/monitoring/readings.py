"""From stored facts to the readings that rules compare."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

from psycopg import Connection

from portfolio_platform.defs.monitoring import rules
from portfolio_platform.defs.monitoring.rules import Reading
from portfolio_platform.store import alert_facts


class CannotEvaluate(ValueError):
    """The rule names something that is not there; the message is for its owner."""


def readings(conn: Connection, user_id: UUID, params: rules.Params, now: datetime) -> list[Reading]:
    """Readings of a rule, one per subject.

    Raises
    ------
    CannotEvaluate
        An unknown mint or portfolio.
    """
    return _READERS[type(params)](conn, user_id, params, now)


def _symbol(conn: Connection, mint: str) -> str:
    symbol = alert_facts.symbol(conn, mint)
    if symbol is None:
        raise CannotEvaluate(f"mint: no token {mint} is known")
    return symbol


def _own(conn: Connection, user_id: UUID, portfolio_id: str) -> None:
    if not alert_facts.owns_portfolio(conn, user_id, portfolio_id):
        raise CannotEvaluate(f"portfolio_id: no portfolio {portfolio_id} of yours")


def _unknown(subject: str, now: datetime) -> list[Reading]:
    return [Reading(subject, None, now, "nothing is known yet")]


def _price_move(
    conn: Connection, user_id: UUID, params: rules.PriceMove, now: datetime
) -> list[Reading]:
    symbol = _symbol(conn, params.mint)
    since = now - timedelta(hours=params.window_hours)
    known = alert_facts.prices(conn, params.mint, since)
    if len(known) < 2:
        return _unknown(params.mint, now)
    (then_at, then), (now_at, price) = known[0], known[-1]
    move = price / then - 1
    value = {"any": abs(move), "up": move, "down": -move}[params.direction]
    shown = f"{symbol} moved {move:+.2%} in {params.window_hours:g} h, to {price:.6g}"
    evidence = {"from": then, "from_at": _iso(then_at), "to": price, "to_at": _iso(now_at)}
    return [Reading(params.mint, value, now_at, shown, evidence)]


def _drawdown(
    conn: Connection, user_id: UUID, params: rules.Drawdown, now: datetime
) -> list[Reading]:
    since = now - timedelta(days=params.window_days)
    if params.mint is not None:
        subject, name = params.mint, _symbol(conn, params.mint)
        known = alert_facts.prices(conn, params.mint, since)
    else:
        assert params.portfolio_id is not None
        _own(conn, user_id, params.portfolio_id)
        subject, name = params.portfolio_id, "the portfolio"
        known = alert_facts.portfolio_values(conn, user_id, params.portfolio_id, since)
    if not known:
        return _unknown(subject, now)
    high_at, high = max(known, key=lambda pair: pair[1])
    at, last = known[-1]
    fall = 1 - last / high if high > 0 else 0.0
    shown = f"{name} is {fall:.2%} below its high of {params.window_days:g} days"
    evidence = {"high": high, "high_at": _iso(high_at), "last": last, "last_at": _iso(at)}
    return [Reading(subject, fall, at, shown, evidence)]


def _assets(conn: Connection, user_id: UUID, portfolio_id: str) -> tuple[datetime, list[Any]]:
    _own(conn, user_id, portfolio_id)
    found = alert_facts.portfolio_state(conn, user_id, portfolio_id)
    return (datetime.now(UTC), []) if found is None else (found[0], found[1]["assets"])


def _weight_drift(
    conn: Connection, user_id: UUID, params: rules.WeightDrift, now: datetime
) -> list[Reading]:
    at, assets = _assets(conn, user_id, params.portfolio_id)
    drifts = {
        one["symbol"]: float(Decimal(one["weight"]) - Decimal(one["target_weight"]))
        for one in assets
        if one["weight"] is not None and one["target_weight"] is not None
    }
    if not drifts:
        return _unknown(params.portfolio_id, now)
    worst = max(drifts, key=lambda name: (abs(drifts[name]), name))
    shown = f"{worst} is {drifts[worst]:+.2%} away from its target weight"
    return [Reading(params.portfolio_id, abs(drifts[worst]), at, shown, {"drifts": drifts})]


def _utilization(
    conn: Connection, user_id: UUID, params: rules.Utilization, now: datetime
) -> list[Reading]:
    if params.mint is not None:
        symbol = _symbol(conn, params.mint)
        found = alert_facts.reserve_utilization(conn, params.mint)
        if found is None:
            return _unknown(params.mint, now)
        at, used = found
        shown = f"{symbol} lending utilization is {used:.2%}"
        return [Reading(params.mint, params.outside(float(used)), at, shown, {"utilization": used})]
    assert params.portfolio_id is not None
    at, assets = _assets(conn, user_id, params.portfolio_id)
    used_by = {
        one["symbol"]: float(Fraction(one["utilization"]))
        for one in assets
        if one["utilization"] is not None
    }
    if not used_by:
        return _unknown(params.portfolio_id, now)
    worst = max(used_by, key=lambda name: (params.outside(used_by[name]), name))
    band = f"[{params.lower:g}, {params.upper:g}]"
    shown = f"utilization of {worst} is {used_by[worst]:.4f}, band {band}"
    value = params.outside(used_by[worst])
    return [Reading(params.portfolio_id, value, at, shown, {"utilization": used_by})]


def _depeg(conn: Connection, user_id: UUID, params: rules.Depeg, now: datetime) -> list[Reading]:
    symbol = _symbol(conn, params.mint)
    known = alert_facts.prices(conn, params.mint, now)
    if not known:
        return _unknown(params.mint, now)
    at, price = known[-1]
    away = price / params.peg - 1
    shown = f"{symbol} trades at {price:.6g}, {away:+.2%} from its peg of {params.peg:g}"
    return [Reading(params.mint, abs(away), at, shown, {"price": price, "peg": params.peg})]


def _liquidity_drop(
    conn: Connection, user_id: UUID, params: rules.LiquidityDrop, now: datetime
) -> list[Reading]:
    symbol = _symbol(conn, params.mint)
    known = alert_facts.depths(conn, params.mint, now - timedelta(hours=params.window_hours))
    if not known:
        return _unknown(params.mint, now)
    high_at, high = max(known, key=lambda pair: pair[1])
    at, depth = known[-1]
    drop = 1 - depth / high if high > 0 else 0.0
    shown = f"depth of {symbol} at 100 bps fell {drop:.2%} in {params.window_hours:g} h"
    evidence = {"high": high, "high_at": _iso(high_at), "depth": depth}
    return [Reading(params.mint, drop, at, shown, evidence)]


def _stale_data(
    conn: Connection, user_id: UUID, params: rules.StaleData, now: datetime
) -> list[Reading]:
    at = alert_facts.newest(conn, params.source)
    if at is None:
        return _unknown(params.source, now)
    age = (now - at).total_seconds()
    shown = f"the newest {params.source} are {age:.0f} s old"
    return [Reading(params.source, age, at, shown, {"newest": _iso(at)})]


def _failed_plan(
    conn: Connection, user_id: UUID, params: rules.FailedPlan, now: datetime
) -> list[Reading]:
    if params.portfolio_id is not None:
        _own(conn, user_id, params.portfolio_id)
    found = []
    for row in alert_facts.newest_plans(conn, user_id, params.portfolio_id):
        failed = row["outcome"] == "failed"
        why = ", ".join(row["reasons"])
        shown = f"the plan of {row['name']}: {row['outcome']}" + (f" ({why})" if why else "")
        evidence = {"version": row["version"], "outcome": row["outcome"], "reasons": row["reasons"]}
        found.append(Reading(row["portfolio_id"], float(failed), row["as_of"], shown, evidence))
    return found


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


_READERS: dict[type[rules.Params], Callable[..., list[Reading]]] = {
    rules.PriceMove: _price_move,
    rules.Drawdown: _drawdown,
    rules.WeightDrift: _weight_drift,
    rules.Utilization: _utilization,
    rules.Depeg: _depeg,
    rules.LiquidityDrop: _liquidity_drop,
    rules.StaleData: _stale_data,
    rules.FailedPlan: _failed_plan,
}
