"""Evaluating every rule: alerts are raised and cleared in one transaction with their deliveries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from psycopg import Connection
from pydantic import ValidationError

from portfolio_platform.defs.monitoring import rules
from portfolio_platform.defs.monitoring.readings import CannotEvaluate, readings
from portfolio_platform.store import alerts
from portfolio_platform.store.alerts import RuleRow


def evaluate(conn: Connection, now: datetime, run_id: str | None) -> list[dict[str, Any]]:
    """Evaluate all rules; a rule that cannot be evaluated says why and stops no other.

    Returns
    -------
    list of dict
        One row per rule and subject: ``rule, kind, subject, value, event, message``.
    """
    alerts.hold_evaluation(conn)
    remembered = alerts.states(conn)
    rows: list[dict[str, Any]] = []
    for rule in alerts.rules(conn):
        active = [
            subject
            for (rule_id, subject), state in remembered.items()
            if rule_id == rule.rule_id and state.active
        ]
        if not rule.enabled:
            rows += [_switch_off(conn, rule, subject, now) for subject in active]
            continue
        try:
            params = rules.parse(rule.kind, rule.params)
            found = readings(conn, rule.user_id, params, now)
        except (ValidationError, CannotEvaluate) as error:
            problem = _problem(error)
            alerts.note_problem(conn, rule.rule_id, problem)
            rows.append(_row(rule, "", None, "refused", problem))
            continue
        alerts.note_problem(conn, rule.rule_id, None)
        for reading in found:
            state = remembered.get((rule.rule_id, reading.subject))
            before = rules.State(state.active, state.raised_at) if state else rules.State()
            rows.append(_step(conn, rule, params, reading, before, now, run_id))
        seen = {reading.subject for reading in found}
        rows += [_switch_off(conn, rule, subject, now) for subject in active if subject not in seen]
    return rows


def _problem(error: ValidationError | CannotEvaluate) -> str:
    if isinstance(error, CannotEvaluate):
        return str(error)
    first = error.errors()[0]
    path = ".".join(map(str, first["loc"]))
    return f"params{'.' + path if path else ''}: {first['msg']}"


def _step(
    conn: Connection,
    rule: RuleRow,
    params: rules.Params,
    reading: rules.Reading,
    before: rules.State,
    now: datetime,
    run_id: str | None,
) -> dict[str, Any]:
    levels = params.levels()
    step = rules.step(reading, before, levels, timedelta(seconds=rule.cooldown_seconds), now)
    if step.event == "raised":
        alerts.raise_alert(
            conn,
            rule,
            subject=reading.subject,
            message=f"{rule.name}: {reading.shown}",
            value=reading.value,
            threshold=levels[0],
            evidence=dict(reading.evidence),
            observed_at=reading.observed_at,
            now=now,
            run_id=run_id,
        )
    elif step.event == "cleared":
        alerts.clear_alert(conn, rule.rule_id, reading.subject, now)
    alerts.remember(
        conn,
        rule.rule_id,
        reading.subject,
        active=step.state.active,
        raised_at=step.state.raised_at,
        value=reading.value,
    )
    return _row(rule, reading.subject, reading.value, step.event or "", reading.shown)


def _switch_off(conn: Connection, rule: RuleRow, subject: str, now: datetime) -> dict[str, Any]:
    """End an alert whose rule was switched off, or whose subject is gone."""
    alerts.clear_alert(conn, rule.rule_id, subject, now)
    alerts.remember(conn, rule.rule_id, subject, active=False, raised_at=None, value=None)
    return _row(rule, subject, None, "cleared", "the rule no longer applies")


def _row(
    rule: RuleRow, subject: str, value: float | None, event: str, message: str
) -> dict[str, Any]:
    return {
        "rule": rule.name,
        "kind": rule.kind,
        "subject": subject,
        "value": value,
        "event": event,
        "message": message,
    }
