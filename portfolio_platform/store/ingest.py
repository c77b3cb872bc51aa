"""Writing what the chain said: universe, account bytes, and the facts decoded from them.

Facts are append-only. Storing the same decode of the same bytes again writes nothing; a decoder
that now reads them differently adds a row with a later ``recorded_at``.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection, sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

FACT_TABLES = {
    "token_prices": ("public", "price_id"),
    "pool_states": ("public", "pool_state_id"),
    "lending_reserves": ("public", "reserve_id"),
    "stake_pool_rates": ("public", "rate_id"),
    "wallet_holdings": ("public", "holding_id"),
    "quarantine": ("chain", "quarantine_id"),
}


@dataclass(frozen=True)
class AccountRow:
    """One account as the chain returned it."""

    pubkey: str
    owner: str | None
    lamports: int | None
    slot: int
    data: bytes


def save_tokens(conn: Connection, tokens: Iterable[Mapping[str, Any]]) -> int:
    """Insert or refresh tokens; a row that would not change is left alone (and not logged)."""
    changed = 0
    with conn.cursor() as cursor:
        for token in tokens:
            cursor.execute(
                """
                insert into public.tokens as t
                    (mint, symbol, name, decimals, is_stable, token_group, token_program,
                     history_symbol, extensions)
                values (%(mint)s, %(symbol)s, %(name)s, %(decimals)s, %(is_stable)s,
                        %(token_group)s, %(token_program)s, %(history_symbol)s, %(extensions)s)
                on conflict (mint) do update set
                    symbol = excluded.symbol, name = excluded.name,
                    decimals = coalesce(excluded.decimals, t.decimals),
                    is_stable = excluded.is_stable,
                    token_group = coalesce(excluded.token_group, t.token_group),
                    token_program = coalesce(excluded.token_program, t.token_program),
                    history_symbol = coalesce(excluded.history_symbol, t.history_symbol),
                    extensions = t.extensions || excluded.extensions
                where (t.symbol, t.name, t.decimals, t.is_stable, t.token_group, t.token_program,
                       t.history_symbol, t.extensions)
                    is distinct from
                      (excluded.symbol, excluded.name, coalesce(excluded.decimals, t.decimals),
                       excluded.is_stable, coalesce(excluded.token_group, t.token_group),
                       coalesce(excluded.token_program, t.token_program),
                       coalesce(excluded.history_symbol, t.history_symbol),
                       t.extensions || excluded.extensions)
                """,
                {
                    "name": None,
                    "decimals": None,
                    "is_stable": False,
                    "token_group": None,
                    "token_program": None,
                    "history_symbol": None,
                    **token,
                    "extensions": Jsonb(token.get("extensions", {})),
                },
            )
            changed += cursor.rowcount
    return changed


def register_token(conn: Connection, mint: str, symbol: str) -> None:
    """Make a token known by its symbol; one that is already known is left as it is."""
    conn.execute(
        "insert into public.tokens (mint, symbol) values (%s, %s) on conflict do nothing",
        (mint, symbol),
    )


def universe(conn: Connection) -> dict[str, Any] | None:
    """The watched universe as it was read last, in the form of its JSON; None before the first."""
    head = conn.execute(
        "select name, hub from chain.universes order by recorded_at desc limit 1"
    ).fetchone()
    if head is None:
        return None
    accounts = conn.execute(
        "select pubkey, role, mint from chain.watched_accounts where universe = %s "
        "order by role, pubkey",
        (head[0],),
    ).fetchall()
    tokens = conn.execute(
        "select mint, symbol, coalesce(name, ''), decimals, is_stable, token_group, history_symbol "
        "from public.tokens where decimals is not null order by mint"
    ).fetchall()
    return {
        "name": head[0],
        "hub": head[1],
        "accounts": [{"pubkey": k, "role": role, "mint": mint} for k, role, mint in accounts],
        "tokens": [
            {
                "mint": mint,
                "symbol": symbol,
                "name": name,
                "decimals": decimals,
                "stable": stable,
                "group": group,
                "history_symbol": history_symbol,
            }
            for mint, symbol, name, decimals, stable, group, history_symbol in tokens
        ],
    }


def watch_accounts(
    conn: Connection, name: str, hub: str, accounts: Iterable[tuple[str, str, str | None]]
) -> None:
    """Record what the universe watches now: (pubkey, role, mint). Others are watched no more."""
    conn.execute(
        "insert into chain.universes (name, hub) values (%s, %s) "
        "on conflict (name) do update set hub = excluded.hub, recorded_at = now()",
        (name, hub),
    )
    listed = list(accounts)
    conn.execute(
        "delete from chain.watched_accounts where (pubkey, role) not in "
        "(select * from unnest(%s::text[], %s::text[]))",
        ([pubkey for pubkey, _, _ in listed], [role for _, role, _ in listed]),
    )
    with conn.cursor() as cursor:
        cursor.executemany(
            """
            insert into chain.watched_accounts (pubkey, role, mint, universe)
            values (%s, %s, %s, %s)
            on conflict (pubkey, role) do update
                set mint = excluded.mint, universe = excluded.universe
            """,
            [(pubkey, role, mint, name) for pubkey, role, mint in listed],
        )


def save_accounts(
    conn: Connection, accounts: Sequence[AccountRow], observed_at: datetime
) -> dict[tuple[str, int], int]:
    """Store account bytes, once per content; ``snapshot_id`` by (pubkey, slot)."""
    ids: dict[tuple[str, int], int] = {}
    with conn.cursor() as cursor:
        digests = [hashlib.sha256(account.data).hexdigest() for account in accounts]
        cursor.executemany(
            "insert into chain.account_data (sha256, data) values (%s, %s) on conflict do nothing",
            sorted({d: a.data for d, a in zip(digests, accounts, strict=True)}.items()),
        )
        slots = [account.slot for account in accounts]
        if slots:
            cursor.execute(
                "select ops.ensure_slots('account_snapshots', %s, %s)", (min(slots), max(slots))
            )
        for digest, account in zip(digests, accounts, strict=True):
            cursor.execute(
                """
                insert into chain.account_snapshots
                    (pubkey, owner, lamports, slot, sha256, observed_at)
                values (%s, %s, %s, %s, %s, %s)
                on conflict (pubkey, slot, sha256) do update set sha256 = excluded.sha256
                returning snapshot_id
                """,
                (
                    account.pubkey,
                    account.owner,
                    account.lamports,
                    account.slot,
                    digest,
                    observed_at,
                ),
            )
            row = cursor.fetchone()
            assert row is not None
            ids[account.pubkey, account.slot] = int(row[0])
    return ids


def save_snapshot(
    conn: Connection,
    slot: int,
    observed_at: datetime,
    accounts: Sequence[AccountRow],
    *,
    absent: Sequence[tuple[str, int, str]] = (),
    epoch: int | None = None,
) -> tuple[uuid.UUID, dict[tuple[str, int], int]]:
    """Store account bytes, once per content, and one row per (account, slot, content).

    Parameters
    ----------
    absent : sequence of (pubkey, slot, why)
        Accounts that were asked for and are not there.

    Returns
    -------
    fetch_id : UUID
        Names this fetch; the facts of one fetch are decoded together.
    ids : dict of (pubkey, slot) to int
        ``snapshot_id`` of each account row.
    """
    fetch_id = uuid.uuid4()
    ids = save_accounts(conn, accounts, observed_at)
    with conn.cursor() as cursor:
        cursor.execute(
            "insert into chain.fetches (fetch_id, slot, snapshot_ids, absent, epoch, observed_at) "
            "values (%s, %s, %s, %s, %s, %s)",
            (
                fetch_id,
                slot,
                sorted(ids.values()),
                Jsonb([list(one) for one in absent]),
                epoch,
                observed_at,
            ),
        )
    return fetch_id, ids


def _typed(value: Any) -> sql.Composable:
    """A placeholder whose type does not depend on the value (a list of small ints is bigint[])."""
    if isinstance(value, Jsonb):
        return sql.SQL("%s::jsonb")
    if isinstance(value, list):
        numbers = any(isinstance(one, int) for one in value)
        return sql.SQL("%s::bigint[]" if numbers else "%s::text[]")
    return sql.Placeholder()


def save_facts(conn: Connection, table: str, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Append decoded facts; a row equal to one already stored is not written again.

    Parameters
    ----------
    table : str
        One of `FACT_TABLES`.
    rows : sequence of mappings
        Column names to values; jsonb values as plain dict or list.

    Returns
    -------
    list of int
        Identity of each fact, stored now or before, in the order of `rows`.
    """
    schema, identity = FACT_TABLES[table]
    name = sql.Identifier(schema, table)
    ids: list[int] = []
    with conn.cursor() as cursor:
        for row in rows:
            columns = [sql.Identifier(column) for column in row]
            values = [Jsonb(v) if isinstance(v, dict) else v for v in row.values()]
            same = sql.SQL(" and ").join(
                sql.SQL("{} is not distinct from {}").format(column, _typed(v))
                for column, v in zip(columns, values, strict=True)
            )
            cursor.execute(
                sql.SQL(
                    "with known as (select {id} as id from {table} where {same} limit 1), "
                    "added as (insert into {table} ({columns}) select {values} "
                    "          where not exists (select 1 from known) returning {id} as id) "
                    "select id from known union all select id from added"
                ).format(
                    id=sql.Identifier(identity),
                    table=name,
                    same=same,
                    columns=sql.SQL(", ").join(columns),
                    values=sql.SQL(", ").join(sql.Placeholder() for _ in columns),
                ),
                values + values,
            )
            found = cursor.fetchone()
            assert found is not None
            ids.append(int(found[0]))
    return ids


@dataclass(frozen=True)
class StoredFetch:
    """A stored fetch: account rows with their bytes, and what was absent."""

    fetch_id: uuid.UUID
    slot: int
    epoch: int | None
    observed_at: datetime
    absent: tuple[tuple[str, int, str], ...]
    accounts: tuple[dict[str, Any], ...]


def latest_fetch(
    conn: Connection, as_of: datetime | None = None, fetch_id: uuid.UUID | None = None
) -> StoredFetch | None:
    """The newest fetch known at `as_of` (or the named one); None before the first.

    Each account is a dict of ``snapshot_id, pubkey, owner, lamports, slot, sha256, data``.
    """
    head = conn.execute(
        """
        select fetch_id, slot, epoch, observed_at, absent, snapshot_ids from chain.fetches
        where (%(as_of)s::timestamptz is null or recorded_at <= %(as_of)s)
          and (%(fetch_id)s::uuid is null or fetch_id = %(fetch_id)s)
        order by observed_at desc, slot desc, recorded_at desc limit 1
        """,
        {"as_of": as_of, "fetch_id": fetch_id},
    ).fetchone()
    if head is None:
        return None
    with conn.cursor(row_factory=dict_row) as cursor:
        accounts = cursor.execute(
            """
            select s.snapshot_id, s.pubkey, s.owner, s.lamports, s.slot, s.sha256, d.data
            from chain.account_snapshots as s join chain.account_data as d using (sha256)
            where s.snapshot_id = any (%s) order by s.pubkey, s.slot
            """,
            (head[5],),
        ).fetchall()
    absent = tuple((pubkey, slot, why) for pubkey, slot, why in head[4])
    return StoredFetch(head[0], head[1], head[2], head[3], absent, tuple(accounts))
