"""Stored bytes to facts: prices with their verdicts, pools, reserves, stake rates, holdings.

Everything here reads the newest stored fetch, so a decoder fix is one materialisation: the bytes
stay, new rows with a later ``recorded_at`` appear.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from functools import cached_property
from typing import Any
from uuid import UUID

from psycopg import Connection

from portfolio_platform.amm import AmmError, AmmPool
from portfolio_platform.settings import Settings
from portfolio_platform.solana.decoded import Decoded, Refused
from portfolio_platform.solana.discovery import dependencies
from portfolio_platform.solana.holdings import wallet_holdings
from portfolio_platform.solana.pools import build_pools
from portfolio_platform.solana.price_points import collect, group_decimals, pool_price
from portfolio_platform.solana.prices import GateSettings, PriceVerdict, judge
from portfolio_platform.solana.snapshot import AccountRecord, Group, Snapshot
from portfolio_platform.solana.universe import Universe
from portfolio_platform.store import ingest


class NoSnapshot(RuntimeError):
    """Nothing has been fetched yet."""


@dataclass(frozen=True)
class StoredSnapshot:
    """The newest stored fetch, as the snapshot it was, with the ids of its rows."""

    fetch_id: UUID
    snapshot: Snapshot
    universe: Universe
    ids: Mapping[tuple[str, int], int]

    def id_of(self, pubkey: str, slot: int) -> int:
        """``snapshot_id`` of an account row."""
        return self.ids[pubkey, slot]

    @cached_property
    def decoded(self) -> dict[tuple[str, int], Decoded | Refused]:
        """Every account, decoded once."""
        return {(one.pubkey, one.slot): one.decode() for one in self.snapshot.accounts}


def stored_snapshot(
    conn: Connection, as_of: datetime | None = None, fetch_id: UUID | None = None
) -> StoredSnapshot:
    """Restore the newest fetch known at `as_of`, or the named one.

    Raises
    ------
    NoSnapshot
        There is none: materialise ``account_snapshots`` first.
    """
    fetch = ingest.latest_fetch(conn, as_of, fetch_id)
    described = ingest.universe(conn)
    if fetch is None or described is None:
        raise NoSnapshot("no account has been fetched yet; materialise account_snapshots first")
    universe = Universe.model_validate(described)
    records = [
        AccountRecord(
            pubkey=row["pubkey"],
            owner=row["owner"],
            lamports=None if row["lamports"] is None else int(row["lamports"]),
            data=bytes(row["data"]),
            sha256=row["sha256"],
            slot=row["slot"],
        )
        for row in fetch.accounts
    ]
    records += [
        AccountRecord(pubkey, None, None, b"", "", slot, error=why)
        for pubkey, slot, why in fetch.absent
    ]
    slots = [one.slot for one in records]
    return StoredSnapshot(
        fetch_id=fetch.fetch_id,
        snapshot=Snapshot(
            slot=max(slots),
            oldest_slot=min(slots),
            block_time=fetch.observed_at,
            epoch=fetch.epoch,
            accounts=tuple(records),
            groups=groups_of(tuple(records), universe),
        ),
        universe=universe,
        ids={(row["pubkey"], row["slot"]): row["snapshot_id"] for row in fetch.accounts},
    )


def groups_of(records: tuple[AccountRecord, ...], universe: Universe) -> dict[str, Group]:
    """Each watched account with what it depends on, at the slot where they stand together."""
    at_slot: dict[int, set[str]] = defaultdict(set)
    by_key: dict[str, AccountRecord] = {}
    for record in records:
        at_slot[record.slot].add(record.pubkey)
        by_key.setdefault(record.pubkey, record)
    groups = {}
    for account in universe.accounts:
        anchor = by_key.get(account.pubkey)
        if anchor is None:
            continue
        answer = anchor.decode()
        needs = dependencies(account.pubkey, answer) if isinstance(answer, Decoded) else None
        keys = (account.pubkey, *(needs.all if needs else ()))
        # An anchor read in several calls stands in the call that holds its dependencies.
        slot = max(
            (one for one, present in at_slot.items() if account.pubkey in present),
            key=lambda one: len(at_slot[one].intersection(keys)),
        )
        present = tuple(key for key in dict.fromkeys(keys) if key in at_slot[slot])
        optional = frozenset(needs.optional if needs else ())
        groups[account.pubkey] = Group(account.pubkey, present, optional, slot)
    return groups


def gates(settings: Settings) -> GateSettings:
    """Thresholds of the price gates from the platform's settings."""
    return GateSettings(
        max_age_seconds=settings.max_price_age_seconds,
        max_confidence=settings.max_price_confidence,
        max_deviation=settings.max_price_deviation,
    )


def quarantine_refused(conn: Connection, stored: StoredSnapshot) -> list[dict[str, Any]]:
    """Quarantine every account that no decoder reads; returns what was refused."""
    refused = [
        {
            "snapshot_id": stored.ids[record.pubkey, record.slot],
            "pubkey": record.pubkey,
            "owner": record.owner,
            "slot": record.slot,
            "sha256": record.sha256,
            "reason": answer.reason,
            "observed_at": stored.snapshot.block_time,
        }
        for record in stored.snapshot.accounts
        if record.error is None
        and isinstance(answer := stored.decoded[record.pubkey, record.slot], Refused)
    ]
    ingest.save_facts(conn, "quarantine", refused)
    return refused


def save_prices(conn: Connection, stored: StoredSnapshot, settings: Settings) -> list[PriceVerdict]:
    """Judge every price of the snapshot and store it with its verdict.

    A refused oracle is quarantined with the reasons as well.
    """
    snapshot = stored.snapshot
    verdicts = judge(
        collect(snapshot, stored.universe),
        gates(settings),
        now=snapshot.block_time,
        hub=stored.universe.hub,
    )
    known = {token.mint for token in stored.universe.tokens}
    for one in verdicts:
        if one.mint not in known:
            ingest.register_token(conn, one.mint, one.mint[:6])
    ingest.save_facts(
        conn,
        "token_prices",
        [
            {
                "mint": one.mint,
                "source": one.source,
                "pubkey": one.pubkey,
                "snapshot_id": stored.id_of(one.pubkey, one.slot),
                "slot": one.slot,
                "price": one.price,
                "confidence": one.confidence,
                "published_at": one.published_at,
                "age_slots": one.age_slots,
                "age_seconds": one.age_seconds,
                "depth": one.depth,
                "verdict": one.verdict,
                "reasons": list(one.reasons),
                "observed_at": snapshot.block_time,
            }
            for one in verdicts
        ],
    )
    oracles = {one.pubkey for one in stored.universe.by_role("oracle")}
    ingest.save_facts(
        conn,
        "quarantine",
        [
            {
                "snapshot_id": stored.id_of(one.pubkey, one.slot),
                "pubkey": one.pubkey,
                "owner": None,
                "slot": one.slot,
                "sha256": one.sha256,
                "reason": f"price refused: {', '.join(one.reasons)}",
                "observed_at": snapshot.block_time,
            }
            for one in verdicts
            if one.verdict == "refused" and one.pubkey in oracles
        ],
    )
    return verdicts


def _anchors(stored: StoredSnapshot, role: str) -> list[tuple[AccountRecord, Decoded, str | None]]:
    """Decoded accounts of a role with the mint they are about, at the slot of their group."""
    found = []
    for account in stored.universe.accounts:
        group = stored.snapshot.groups.get(account.pubkey)
        if account.role != role or group is None:
            continue
        record = stored.snapshot.get(account.pubkey, group.slot)
        if record is None or record.error is not None:
            continue
        answer = stored.decoded[record.pubkey, record.slot]
        if isinstance(answer, Decoded):
            found.append((record, answer, account.mint))
    return found


def save_pools(conn: Connection, stored: StoredSnapshot) -> list[dict[str, Any]]:
    """Pool states that can be quoted, and for the others the reason why not.

    Depth is what moves the price by 50 and 100 bps, in whole quote tokens of the pool's price
    point (its US dollar value where the quote is the hub).
    """
    addresses = [
        one.pubkey
        for one in stored.universe.by_role("pool")
        if one.pubkey in stored.snapshot.groups
    ]
    built, refused = build_pools(stored.snapshot, addresses)
    decimals = stored.universe.decimals
    rows = []
    for record, answer, _ in _anchors(stored, "pool"):
        group = stored.snapshot.group(record.pubkey)
        pool = built.get(record.pubkey)
        known = decimals | group_decimals(group)
        spot = pool_price(answer, group, known)
        mint_a, mint_b = (spot.mint_a, spot.mint_b) if spot else ("", "")
        depths = [_depth(pool, known, bps) if pool else None for bps in (50, 100)]
        rows.append(
            {
                "pubkey": record.pubkey,
                "kind": answer.kind,
                "mint_a": mint_a,
                "mint_b": mint_b,
                "snapshot_id": stored.id_of(record.pubkey, record.slot),
                "account_ids": [
                    stored.id_of(one.pubkey, one.slot)
                    for one in group.values()
                    if one.error is None
                ],
                "slot": record.slot,
                "spot_price": spot.price if spot else None,
                "fee_bps": _fee_bps(pool) if pool else None,
                "depth_50bps": depths[0],
                "depth_100bps": depths[1],
                "refused": None if pool else str(refused[record.pubkey]),
                "state": pool.to_json() if pool else {},
                "observed_at": stored.snapshot.block_time,
            }
        )
    ingest.save_facts(conn, "pool_states", rows)
    return rows


def _depth(pool: AmmPool, decimals: Mapping[str, int], bps: int) -> float | None:
    """Whole B tokens that buy A until its price is `bps` higher; None where it cannot be said."""
    if pool.mint_b not in decimals:
        return None
    try:
        return pool.max_input(pool.mint_b, bps) / 10 ** decimals[pool.mint_b]
    except AmmError:
        return None


def _fee_bps(pool: AmmPool) -> float | None:
    """What a marginal trade pays: one minus marginal over spot price, in basis points."""
    try:
        kept = Fraction(pool.marginal_root(pool.mint_b) ** 2, 2**128) / pool.spot(pool.mint_b)
    except AmmError:
        return None
    return round(float(1 - kept) * 10_000, 6)


def save_reserves(conn: Connection, stored: StoredSnapshot) -> list[dict[str, Any]]:
    """Lending reserves: what is free, what is lent, at which rates."""
    rows = []
    for record, answer, _ in _anchors(stored, "reserve"):
        derived = answer.derived
        rows.append(
            {
                "pubkey": record.pubkey,
                "program": record.owner,
                "mint": answer.values["mint"],
                "snapshot_id": stored.id_of(record.pubkey, record.slot),
                "slot": record.slot,
                "available": int(derived["available"]),
                "borrowed": int(derived["borrowed"]),
                "utilization": derived["utilization"],
                "supply_apr": derived["supply_apr"],
                "borrow_apr": derived["borrow_apr"],
                "observed_at": stored.snapshot.block_time,
            }
        )
    ingest.save_facts(conn, "lending_reserves", rows)
    return rows


def save_stake_rates(conn: Connection, stored: StoredSnapshot) -> list[dict[str, Any]]:
    """Exchange rates of liquid staking tokens."""
    rows = []
    for record, answer, mint in _anchors(stored, "stake_pool"):
        values = answer.values
        spl = answer.kind == "spl_stake_pool"
        supply = values["pool_token_supply"] if spl else values["msol_supply"]
        rate = answer.derived.get("rate")
        lamports = (
            values["total_lamports"]
            if spl
            else values["msol_price"] * values["msol_supply"] // 2**32
        )
        rows.append(
            {
                "pubkey": record.pubkey,
                "mint": mint,
                "snapshot_id": stored.id_of(record.pubkey, record.slot),
                "slot": record.slot,
                "rate": rate,
                "total_lamports": lamports,
                "supply": supply,
                "observed_at": stored.snapshot.block_time,
            }
        )
    ingest.save_facts(conn, "stake_pool_rates", rows)
    return rows


def save_holdings(conn: Connection, stored: StoredSnapshot) -> list[dict[str, Any]]:
    """Balances of the watched wallets."""
    wallets = [one.pubkey for one in stored.universe.by_role("wallet")]
    rows = [
        {
            "wallet": one.wallet,
            "mint": one.mint,
            "token_account": one.token_account,
            "amount": one.amount,
            "frozen": one.frozen,
            "snapshot_id": stored.id_of(one.token_account, one.slot),
            "slot": one.slot,
            "observed_at": stored.snapshot.block_time,
        }
        for one in wallet_holdings(stored.snapshot, wallets)
    ]
    ingest.save_facts(conn, "wallet_holdings", rows)
    return rows
