"""What the chain said: the universe, the bytes of its accounts, and which were read together."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

from portfolio_platform.store import bulk

ROWS_PER_LOAD = 2_000


@dataclass(frozen=True)
class AccountRow:
    """One account as the chain returned it."""

    pubkey: str
    owner: str | None
    lamports: int | None
    slot: int
    data: bytes


def save_tokens(conn: Connection, tokens: Iterable[Mapping[str, Any]]) -> int:
    """Insert or refresh tokens; a row that would not change is left alone (and not logged).

    Decimals that were read from the mint's own account (see `describe_mints`) stay.
    """
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
                    decimals = case when t.token_program is null
                                    then coalesce(excluded.decimals, t.decimals)
                                    else t.decimals end,
                    is_stable = excluded.is_stable,
                    token_group = coalesce(excluded.token_group, t.token_group),
                    token_program = coalesce(excluded.token_program, t.token_program),
                    history_symbol = coalesce(excluded.history_symbol, t.history_symbol),
                    extensions = t.extensions || excluded.extensions
                where (t.symbol, t.name, t.decimals, t.is_stable, t.token_group, t.token_program,
                       t.history_symbol, t.extensions)
                    is distinct from
                      (excluded.symbol, excluded.name,
                       case when t.token_program is null
                            then coalesce(excluded.decimals, t.decimals) else t.decimals end,
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


def describe_mints(conn: Connection, mints: Sequence[Mapping[str, Any]]) -> int:
    """Keep what mint accounts say of their tokens; how many tokens changed.

    Parameters
    ----------
    mints : sequence of mappings
        ``mint, symbol`` (for a token that is not known yet), ``decimals, token_program,
        extensions``.
    """
    return sum(
        conn.execute(
            """
            insert into public.tokens as t (mint, symbol, decimals, token_program, extensions)
            values (%(mint)s, %(symbol)s, %(decimals)s, %(token_program)s, %(extensions)s)
            on conflict (mint) do update set
                decimals = excluded.decimals, token_program = excluded.token_program,
                extensions = t.extensions || excluded.extensions
            where (t.decimals, t.token_program, t.extensions) is distinct from
                  (excluded.decimals, excluded.token_program, t.extensions || excluded.extensions)
            """,
            {**one, "extensions": Jsonb(dict(one["extensions"]))},
        ).rowcount
        for one in {one["mint"]: one for one in mints}.values()
    )


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
    for start in range(0, len(accounts), ROWS_PER_LOAD):
        ids |= _save_accounts(conn, accounts[start : start + ROWS_PER_LOAD], observed_at)
    return ids


def _save_accounts(
    conn: Connection, accounts: Sequence[AccountRow], observed_at: datetime
) -> dict[tuple[str, int], int]:
    digests = [hashlib.sha256(account.data).hexdigest() for account in accounts]
    contents = {d: a.data for d, a in zip(digests, accounts, strict=True)}
    known = conn.execute(
        "select sha256 from chain.account_data where sha256 = any (%s)", (list(contents),)
    )
    for (digest,) in known:
        del contents[digest]
    bulk.upsert(
        conn,
        "chain.account_data",
        {"sha256": list(contents), "data": list(contents.values())},
        conflict=("sha256",),
    )
    bulk.upsert(
        conn,
        "chain.account_snapshots",
        {
            "pubkey": [account.pubkey for account in accounts],
            "owner": [account.owner for account in accounts],
            "lamports": [account.lamports for account in accounts],
            "slot": [account.slot for account in accounts],
            "sha256": digests,
            "observed_at": [observed_at] * len(accounts),
        },
        conflict=("pubkey", "slot", "sha256"),
        last_wins=True,
    )
    found = conn.execute(
        """
        select s.pubkey, s.slot, s.snapshot_id
        from unnest(%s::text[], %s::bigint[], %s::text[]) as k (pubkey, slot, sha256)
        join chain.account_snapshots as s using (pubkey, slot, sha256)
        """,
        (
            [account.pubkey for account in accounts],
            [account.slot for account in accounts],
            digests,
        ),
    )
    return {(pubkey, slot): int(number) for pubkey, slot, number in found}


@dataclass(frozen=True)
class ReadTogether:
    """A watched account with what was read beside it in one call, at one slot.

    Attributes
    ----------
    ids : tuple of int
        ``snapshot_id`` of every account that was there.
    absent : tuple of str
        Accounts that were asked for and are not there.
    optional : tuple of str
        Those of them that may rightly be absent.
    """

    slot: int
    ids: tuple[int, ...]
    absent: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()


def save_fetch(
    conn: Connection,
    slot: int,
    observed_at: datetime,
    groups: Mapping[str, ReadTogether],
    *,
    ids: Iterable[int] = (),
    absent: Sequence[tuple[str, int, str]] = (),
    epoch: int | None = None,
    whole: bool = True,
    numbering: int = 0,
) -> uuid.UUID:
    """Record that these account rows were read for one purpose; its name.

    Parameters
    ----------
    ids : iterable of int
        Account rows that stand in no group.
    absent : sequence of (pubkey, slot, why)
        Accounts that were asked for and are not there.
    whole : bool
        Whether it is the whole universe.
    """
    fetch_id = uuid.uuid4()
    seen = set(ids).union(*(group.ids for group in groups.values()))
    conn.execute(
        "insert into chain.fetches (fetch_id, slot, snapshot_ids, absent, epoch, observed_at, "
        "groups, whole, numbering) values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (
            fetch_id,
            slot,
            sorted(seen),
            Jsonb([list(one) for one in absent]),
            epoch,
            observed_at,
            Jsonb({anchor: asdict(group) for anchor, group in groups.items()}),
            whole,
            numbering,
        ),
    )
    return fetch_id


def save_snapshot(
    conn: Connection,
    slot: int,
    observed_at: datetime,
    accounts: Sequence[AccountRow],
    *,
    absent: Sequence[tuple[str, int, str]] = (),
    epoch: int | None = None,
) -> tuple[uuid.UUID, dict[tuple[str, int], int]]:
    """Store the bytes of accounts that were read together, and that they were.

    Returns
    -------
    fetch_id : UUID
    ids : dict of (pubkey, slot) to int
        ``snapshot_id`` of each account row.
    """
    ids = save_accounts(conn, accounts, observed_at)
    return save_fetch(
        conn, slot, observed_at, {}, ids=ids.values(), absent=absent, epoch=epoch
    ), ids


@dataclass(frozen=True)
class FetchHead:
    """A stored fetch without its bytes.

    ``numbering`` counts how often the slots have begun again; ``recorded_at`` is when the
    database learnt it.
    """

    fetch_id: uuid.UUID
    slot: int
    epoch: int | None
    observed_at: datetime
    recorded_at: datetime
    numbering: int
    absent: tuple[tuple[str, int, str], ...]
    snapshot_ids: tuple[int, ...]
    groups: Mapping[str, ReadTogether]


@dataclass(frozen=True)
class Newest:
    """How far the chain has been read."""

    slot: int
    observed_at: datetime
    numbering: int


def newest_fetch(conn: Connection) -> Newest | None:
    """Newest slot of the present numbering, whether of a whole fetch or not."""
    row = conn.execute(
        "select slot, observed_at, numbering from chain.fetches "
        "where numbering = (select max(numbering) from chain.fetches) "
        "order by slot desc, observed_at desc limit 1"
    ).fetchone()
    return None if row is None else Newest(*row)


def fetches_within(
    conn: Connection, start: datetime, end: datetime
) -> list[tuple[uuid.UUID, bool]]:
    """Fetches observed in [start, end), oldest first, and whether each was whole."""
    return conn.execute(
        "select fetch_id, whole from chain.fetches where observed_at >= %s and observed_at < %s "
        "order by observed_at, recorded_at",
        (start, end),
    ).fetchall()


def fetch_head(
    conn: Connection, as_of: datetime | None = None, fetch_id: uuid.UUID | None = None
) -> FetchHead | None:
    """The newest whole fetch known at `as_of`, or the named one; None before the first."""
    row = conn.execute(
        """
        select fetch_id, slot, epoch, observed_at, recorded_at, numbering, absent, snapshot_ids,
               groups
        from chain.fetches
        where (%(as_of)s::timestamptz is null or recorded_at <= %(as_of)s)
          and case when %(fetch_id)s::uuid is null then whole else fetch_id = %(fetch_id)s end
        order by observed_at desc, slot desc, recorded_at desc limit 1
        """,
        {"as_of": as_of, "fetch_id": fetch_id},
    ).fetchone()
    if row is None:
        return None
    groups = {
        anchor: ReadTogether(
            group["slot"], tuple(group["ids"]), tuple(group["absent"]), tuple(group["optional"])
        )
        for anchor, group in row[8].items()
    }
    return FetchHead(
        fetch_id=row[0],
        slot=row[1],
        epoch=row[2],
        observed_at=row[3],
        recorded_at=row[4],
        numbering=row[5],
        absent=tuple((pubkey, slot, why) for pubkey, slot, why in row[6]),
        snapshot_ids=tuple(row[7]),
        groups=groups,
    )


def accounts_of(conn: Connection, snapshot_ids: Iterable[int]) -> list[dict[str, Any]]:
    """Account rows with their bytes: ``snapshot_id, pubkey, owner, lamports, slot, sha256, data``.

    Rows whose bytes were pruned are left out.
    """
    with conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """
            select s.snapshot_id, s.pubkey, s.owner, s.lamports, s.slot, s.sha256, d.data
            from chain.account_snapshots as s join chain.account_data as d using (sha256)
            where s.snapshot_id = any (%s) order by s.pubkey, s.slot
            """,
            (sorted(snapshot_ids),),
        ).fetchall()


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
    """The newest whole fetch known at `as_of` (or the named one) with all its bytes."""
    head = fetch_head(conn, as_of, fetch_id)
    if head is None:
        return None
    accounts = tuple(accounts_of(conn, head.snapshot_ids))
    return StoredFetch(
        head.fetch_id, head.slot, head.epoch, head.observed_at, head.absent, accounts
    )
