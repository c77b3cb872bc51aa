"""`portfolio-platform quote`: what a trade would give now, exact to the base unit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from portfolio_platform.defs.solana.snapshots import read_universe
from portfolio_platform.settings import Settings
from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.discovery import dependencies
from portfolio_platform.solana.dumps import DumpError, load_dump
from portfolio_platform.solana.pools import POOL_KINDS, PoolRefused, build_pools
from portfolio_platform.solana.price_points import group_decimals
from portfolio_platform.solana.rpc import RpcPool
from portfolio_platform.solana.snapshot import AccountRecord, Group, Snapshot, fetch_snapshot
from portfolio_platform.solana.universe import Universe, WatchedAccount


class QuoteRefused(ValueError):
    """The question cannot be asked: an unknown mint, a bad amount, no pools."""


def snapshot_of_dumps(directory: Path) -> tuple[Snapshot, Universe]:
    """Account dumps of a directory as one snapshot, its pools as the universe.

    Raises
    ------
    QuoteRefused
        The directory holds no account.
    """
    records: dict[str, AccountRecord] = {}
    pools: dict[str, Decoded] = {}
    for path in sorted(directory.rglob("*.json")):
        try:
            dump = load_dump(path)
        except DumpError:
            continue
        if dump.pubkey is None:
            continue
        # Dumps of one directory are taken to be of one moment, whatever slots they name.
        record = AccountRecord(
            dump.pubkey, dump.owner, dump.lamports, dump.data, dump.sha256, slot=0
        )
        records[dump.pubkey] = record
        answer = record.decode()
        if isinstance(answer, Decoded) and answer.kind in POOL_KINDS:
            pools[dump.pubkey] = answer
    if not records:
        raise QuoteRefused(f"{directory} holds no account dump with a public key")
    universe = Universe(
        name=directory.name,
        accounts=tuple(WatchedAccount(pubkey=key, role="pool") for key in pools),
    )
    groups = {}
    for key, answer in pools.items():
        needs = dependencies(key, answer)
        present = tuple(one for one in (key, *needs.all) if one in records)
        groups[key] = Group(key, present, frozenset(needs.optional), 0)
    snapshot = Snapshot(0, 0, datetime.now(UTC), None, tuple(records.values()), groups)
    return snapshot, universe


async def _read(settings: Settings, universe: Universe) -> Snapshot:
    wanted = universe.model_copy(update={"accounts": universe.by_role("pool")})
    async with RpcPool(settings.resolve_rpc_urls()) as pool:
        return await fetch_snapshot(pool, wanted)


def _base_units(amount: str, mint: str, decimals: dict[str, int]) -> int:
    if mint not in decimals:
        raise QuoteRefused(f"decimals of {mint} are not known: its mint account was not read")
    try:
        exact = Decimal(amount) * 10 ** decimals[mint]
    except InvalidOperation as error:
        raise QuoteRefused(f"amount {amount!r} is not a number") from error
    if not exact.is_finite() or exact <= 0 or exact != exact.to_integral_value():
        raise QuoteRefused(
            f"amount {amount} is not a positive amount of at most {decimals[mint]} decimals"
        )
    return int(exact)


def run_quote(
    settings: Settings, sell: str, buy: str, amount: str, accounts: Path | None
) -> dict[str, Any]:
    """Quote a sale over the best route; the answer carries amounts, fees, impact or a refusal.

    Raises
    ------
    QuoteRefused
        Unknown mint, bad amount, or no account to quote from.
    """
    from portfolio_platform.reallocation import simulate_quote

    if accounts is not None:
        snapshot, universe = snapshot_of_dumps(accounts)
    else:
        universe = read_universe(settings.resolve_universe())
        snapshot = asyncio.run(_read(settings, universe))
    addresses = [one.pubkey for one in universe.by_role("pool") if one.pubkey in snapshot.groups]
    built, refused = build_pools(snapshot, addresses)
    decimals = universe.decimals | group_decimals({one.pubkey: one for one in snapshot.accounts})
    symbols = {token.symbol: token.mint for token in universe.tokens}
    sell, buy = symbols.get(sell, sell), symbols.get(buy, buy)
    traded = {mint for pool in built.values() for mint in (pool.mint_a, pool.mint_b)}
    for mint in (sell, buy):
        if mint not in traded:
            raise QuoteRefused(_why_untraded(mint, refused))
    units = _base_units(amount, sell, decimals)
    quoted = simulate_quote(built.values(), sell, buy, units)
    answer = quoted.to_json()
    answer |= {
        "slot": snapshot.slot,
        "decimals_in": decimals.get(sell),
        "decimals_out": decimals.get(buy),
        "pools": [leg["pool"] for leg in answer["legs"]],
        "fee": _fees(answer),
        "refused_pools": {
            **{address: error.reason for address, error in refused.items()},
            **answer["refused_pools"],
        },
    }
    return answer


def _fees(answer: dict[str, Any]) -> dict[str, str]:
    """Pool and transfer fees of all legs by the mint they are taken in, in base units."""
    total: dict[str, int] = {}
    for leg in answer["legs"]:
        for mint, parts in (
            (leg["mint_in"], ("fee", "transfer_fee_in")),
            (leg["mint_out"], ("fee_out", "transfer_fee_out")),
        ):
            taken = sum(int(leg.get(part) or 0) for part in parts)
            if taken:
                total[mint] = total.get(mint, 0) + taken
    return {mint: str(fee) for mint, fee in total.items()}


def _why_untraded(mint: str, refused: dict[str, PoolRefused]) -> str:
    said = f"no readable pool trades {mint}"
    if refused:
        said += "; refused: " + ", ".join(
            f"{address} ({error.reason})" for address, error in sorted(refused.items())
        )
    return said
