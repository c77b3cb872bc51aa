"""Alert rules, what is remembered of them, alerts and deliveries."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row
from psycopg.types.json import Jsonb


@dataclass(frozen=True)
class RuleRow:
    """A stored rule."""

    rule_id: UUID
    user_id: UUID
    name: str
    kind: str
    params: dict[str, Any]
    severity: str
    cooldown_seconds: int
    enabled: bool
    problem: str | None


@dataclass(frozen=True)
class StateRow:
    """What is remembered of a rule and subject."""

    rule_id: UUID
    subject: str
    active: bool
    raised_at: datetime | None


def rules(conn: Connection) -> list[RuleRow]:
    """All rules, those that are switched off included."""
    with conn.cursor(row_factory=class_row(RuleRow)) as cursor:
        return cursor.execute(
            "select rule_id, user_id, name, kind, params, severity, cooldown_seconds, enabled, "
            "problem from public.alert_rules order by created_at, rule_id"
        ).fetchall()


def has_rules(conn: Connection) -> bool:
    """Whether there is anything to evaluate, or an alert of a switched-off rule to clear."""
    row = conn.execute(
        "select exists (select from public.alert_rules where enabled) "
        "or exists (select from public.alerts where cleared_at is null)"
    ).fetchone()
    assert row is not None
    return bool(row[0])


def hold_evaluation(conn: Connection) -> None:
    """One evaluation at a time, until the transaction ends: states are read, then written."""
    conn.execute("select pg_advisory_xact_lock(hashtextextended('alerts', 7302))")


def states(conn: Connection) -> dict[tuple[UUID, str], StateRow]:
    """Remembered states by rule and subject."""
    with conn.cursor(row_factory=class_row(StateRow)) as cursor:
        rows = cursor.execute("select rule_id, subject, active, raised_at from ops.alert_states")
        return {(row.rule_id, row.subject): row for row in rows}


def remember(
    conn: Connection,
    rule_id: UUID,
    subject: str,
    *,
    active: bool,
    raised_at: datetime | None,
    value: float | None,
) -> None:
    """Keep the state of a rule and subject for the next evaluation."""
    conn.execute(
        """
        insert into ops.alert_states as s (rule_id, subject, active, raised_at, value)
        values (%s, %s, %s, %s, %s)
        on conflict (rule_id, subject) do update
            set active = excluded.active, raised_at = excluded.raised_at, value = excluded.value,
                evaluated_at = now()
        """,
        (rule_id, subject, active, raised_at, value),
    )


def note_problem(conn: Connection, rule_id: UUID, problem: str | None) -> None:
    """Tell the owner why a rule cannot be evaluated (None: it can); written when it changes."""
    conn.execute(
        "update public.alert_rules set problem = %s "
        "where rule_id = %s and problem is distinct from %s",
        (problem, rule_id, problem),
    )


def raise_alert(
    conn: Connection,
    rule: RuleRow,
    *,
    subject: str,
    message: str,
    value: float | None,
    threshold: float,
    evidence: dict[str, Any],
    observed_at: datetime,
    now: datetime,
    run_id: str | None,
) -> UUID | None:
    """Begin an episode; None when one of the same rule and subject is open already."""
    row = conn.execute(
        """
        insert into public.alerts (rule_id, user_id, kind, subject, severity, message, value,
                                   threshold, evidence, observed_at, raised_at, run_id)
        values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
        on conflict (rule_id, subject) where cleared_at is null do nothing
        returning alert_id
        """,
        (
            rule.rule_id,
            rule.user_id,
            rule.kind,
            subject,
            rule.severity,
            message,
            value,
            threshold,
            Jsonb(evidence),
            observed_at,
            now,
            run_id,
        ),
    ).fetchone()
    if row is None:
        return None
    _queue(conn, row[0], "raised")
    return row[0]


def clear_alert(conn: Connection, rule_id: UUID, subject: str, now: datetime) -> UUID | None:
    """End the open episode; None when there is none."""
    row = conn.execute(
        "update public.alerts set cleared_at = %s "
        "where rule_id = %s and subject = %s and cleared_at is null returning alert_id",
        (now, rule_id, subject),
    ).fetchone()
    if row is None:
        return None
    _queue(conn, row[0], "cleared")
    return row[0]


def _queue(conn: Connection, alert_id: UUID, event: Literal["raised", "cleared"]) -> None:
    """One delivery per channel of the user that takes this severity, in the same transaction."""
    conn.execute(
        """
        insert into public.notification_deliveries (alert_id, channel_id, user_id, event)
        select a.alert_id, c.channel_id, a.user_id, %s
        from public.alerts as a join public.notification_channels as c using (user_id)
        where a.alert_id = %s and c.enabled
          and array_position(array['info', 'warning', 'critical'], a.severity)
              >= array_position(array['info', 'warning', 'critical'], c.min_severity)
        on conflict (alert_id, channel_id, event) do nothing
        """,
        (event, alert_id),
    )


@dataclass(frozen=True)
class Delivery:
    """A notification that is to be sent now."""

    delivery_id: UUID
    event: str
    attempts: int
    created_at: datetime
    channel_id: UUID
    channel: str
    channel_kind: str
    secret: str
    alert_id: UUID
    kind: str
    subject: str
    severity: str
    message: str
    value: float | None
    threshold: float | None
    evidence: dict[str, Any]
    observed_at: datetime
    raised_at: datetime
    cleared_at: datetime | None
    rule: str


def due(conn: Connection) -> list[tuple[UUID, int]]:
    """Deliveries to be attempted now, with their number of attempts so far."""
    rows = conn.execute(
        "select delivery_id, attempts from public.notification_deliveries "
        "where state = 'pending' and next_attempt_at <= now() order by next_attempt_at limit 500"
    )
    return [(row[0], row[1]) for row in rows]


def claim(conn: Connection, lease: timedelta) -> Delivery | None:
    """Take the delivery that is due the longest; nobody else takes it while the lease lasts."""
    with conn.cursor(row_factory=class_row(Delivery)) as cursor:
        return cursor.execute(
            """
            with taken as (
                update public.notification_deliveries as d
                set attempts = d.attempts + 1, next_attempt_at = now() + %s
                where d.delivery_id = (
                    select delivery_id from public.notification_deliveries
                    where state = 'pending' and next_attempt_at <= now()
                    order by next_attempt_at limit 1 for update skip locked)
                returning d.*)
            select t.delivery_id, t.event, t.attempts, t.created_at, c.channel_id,
                   c.name as channel, c.kind as channel_kind, c.secret, a.alert_id, a.kind,
                   a.subject, a.severity, a.message, a.value, a.threshold, a.evidence,
                   a.observed_at, a.raised_at, a.cleared_at, r.name as rule
            from taken as t
            join public.notification_channels as c using (channel_id)
            join public.alerts as a using (alert_id)
            join public.alert_rules as r using (rule_id)
            """,
            (lease,),
        ).fetchone()


def sent(conn: Connection, delivery_id: UUID) -> None:
    """The receiver has taken it."""
    conn.execute(
        "update public.notification_deliveries set state = 'sent', sent_at = now(), "
        "last_error = null where delivery_id = %s",
        (delivery_id,),
    )


def not_sent(conn: Connection, delivery_id: UUID, error: str, again_in: timedelta | None) -> None:
    """It failed: try again after `again_in`, or never (a dead letter with the reason)."""
    conn.execute(
        """
        update public.notification_deliveries
        set state = case when %(wait)s::interval is null then 'dead' else 'pending' end,
            next_attempt_at = now() + coalesce(%(wait)s, interval '0'), last_error = %(error)s
        where delivery_id = %(id)s
        """,
        {"wait": again_in, "error": error[:500], "id": delivery_id},
    )
