"""Publishing results: a version is immutable, whole or absent, and names what it was made from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Connection, sql
from psycopg.types.json import Jsonb


@dataclass(frozen=True)
class Input:
    """What a result was computed from.

    Attributes
    ----------
    kind : str
        version, price, pool, reserve, stake, holding, account, bars, batch, strategy, request,
        trials.
    id : str
        Identity within its kind.
    sha256 : str or None
        Hash of its content, where it has one of its own.
    detail : mapping
        Anything that helps a reader (slot, interval, rows).
    """

    kind: str
    id: str
    sha256: str | None = None
    detail: Mapping[str, Any] | None = None

    def to_json(self) -> dict[str, Any]:
        """As stored in ``versions.inputs``."""
        named: dict[str, Any] = {"kind": self.kind, "id": self.id}
        if self.sha256 is not None:
            named["sha256"] = self.sha256
        return {**(self.detail or {}), **named}


@dataclass(frozen=True)
class Published:
    """Outcome of `publish`."""

    version: UUID
    content_hash: str
    is_new: bool


def canonical(value: Any) -> bytes:
    """Canonical JSON: sorted keys, no spaces, shortest float that round-trips, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def sha256_of(value: Any) -> str:
    """Hex sha256 of the canonical JSON of `value`."""
    return hashlib.sha256(canonical(value)).hexdigest()


def publish(
    conn: Connection,
    *,
    kind: str,
    subject: str,
    content: Any,
    inputs: Sequence[Input],
    rows: Mapping[str, Sequence[Mapping[str, Any]]],
    as_of: datetime,
    code_version: str,
    run_id: str | None = None,
    user_id: UUID | None = None,
) -> Published:
    """Publish a result in one transaction; readers see all of it or nothing.

    Parameters
    ----------
    content : JSON-safe
        What is hashed together with the inputs: the result without times or durations.
    rows : mapping of table to rows
        Body of the version, parents before children; ``version`` is added to each row.

    Returns
    -------
    Published
        The newest version again, when the content and the inputs are still the same: nothing is
        written. What was the answer before another one came is a new version.
    """
    listed = sorted(
        (i.to_json() for i in inputs), key=lambda i: (i["kind"], i["id"], i.get("sha256", ""))
    )
    digest = sha256_of({"kind": kind, "inputs": listed, "content": content})
    with conn.transaction():
        # One publisher of a subject at a time, also where there is no version to lock yet.
        conn.execute(
            "select pg_advisory_xact_lock(hashtextextended(%s, 0))", (f"publish {kind} {subject}",)
        )
        newest = latest(conn, kind, subject)
        if newest is not None and newest["content_hash"] == digest:
            return Published(newest["version"], digest, is_new=False)
        # The lock was waited for: by now() a later publisher could look like the earlier one.
        found = conn.execute(
            """
            insert into public.versions
                (kind, subject, user_id, content_hash, inputs, code_version, run_id, as_of,
                 recorded_at)
            values (%s, %s, %s, %s, %s, %s, %s, %s,
                    greatest(clock_timestamp(), %s::timestamptz + interval '1 microsecond'))
            returning version
            """,
            (
                *(kind, subject, user_id, digest, Jsonb(listed), code_version, run_id, as_of),
                newest["recorded_at"] if newest is not None else None,
            ),
        ).fetchone()
        assert found is not None
        for table, body in rows.items():
            _insert(conn, table, [{"version": found[0], **row} for row in body])
    return Published(found[0], digest, is_new=True)


def _insert(conn: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    columns = list(rows[0])
    statement = sql.SQL("insert into {} ({}) values ({})").format(
        sql.Identifier("public", table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(sql.Placeholder() for _ in columns),
    )
    with conn.cursor() as cursor:
        cursor.executemany(
            statement,
            [
                [
                    Jsonb(value)
                    if isinstance(value, dict | list) and not _is_text_array(value)
                    else value
                    for value in (row[column] for column in columns)
                ]
                for row in rows
            ],
        )


def _is_text_array(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def latest(
    conn: Connection, kind: str, subject: str, as_of: datetime | None = None
) -> dict[str, Any] | None:
    """Header of the newest version known at `as_of`; None when there is none."""
    with conn.cursor() as cursor:
        cursor.execute(
            """
            select version, content_hash, inputs, as_of, recorded_at, user_id
            from public.versions
            where kind = %(kind)s and subject = %(subject)s
              and (%(as_of)s::timestamptz is null or recorded_at <= %(as_of)s)
            order by recorded_at desc, version limit 1
            """,
            {"kind": kind, "subject": subject, "as_of": as_of},
        )
        row = cursor.fetchone()
        if row is None:
            return None
        return dict(zip([c.name for c in cursor.description or ()], row, strict=True))
