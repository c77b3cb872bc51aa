"""`portfolio-platform quote`: what a trade would give now, exact to the base unit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path
from typing import Any

from portfolio_platform.amm.integers import U64_MAX
from portfolio_platform.defs.solana.snapshots import read_universe
from portfolio_platform.localnet.dump_universe import KNOWN_TOKENS
from portfolio_platform.localnet.kinds import derived_address, usual_owner
from portfolio_platform.settings import Settings
from portfolio_platform.solana.decoded import Decoded
from portfolio_platform.solana.discovery import dependencies
from portfolio_platform.solana.dumps import Dump, iter_dumps
from portfolio_platform.solana.pools import POOL_KINDS, PoolRefused, build_pools
from portfolio_platform.solana.price_points import group_decimals
from portfolio_platform.solana.rpc import RpcError, RpcPool
from portfolio_platform.solana.snapshot import AccountRecord, Group, Snapshot, fetch_snapshot
from portfolio_platform.solana.universe import Universe


class QuoteRefused(ValueError):
    """The question cannot be asked; ``reason`` is stable, the text says what is wrong with it."""

    def __init__(
        self, reason: str, message: str, pools: Mapping[str, PoolRefused] | None = None
    ) -> None:
        self.reason = reason
        self.pools = pools or {}
        super().__init__(message)

    def to_json(self, sell: str, buy: str, amount: str) -> dict[str, Any]:
        """The refusal in the shape of an answer, with the question as it was asked."""
        return {
            "sell": sell,
            "buy": buy,
            "amount": amount,
            "amount_out": None,
            "refused": self.reason,
            "detail": str(self),
            "refused_pools": {address: error.reason for address, error in self.pools.items()},
        }


@dataclass(frozen=True)
class _Market:
    snapshot: Snapshot
    pools: tuple[str, ...]
    symbols: Mapping[str, str]
    decimals: Mapping[str, int]


def _dumped(directory: Path) -> dict[str, Dump]:
    """Dumps by address; one that names none has the address that its contents prove."""
    found: dict[str, Dump] = {}
    for dump in iter_dumps(directory):
        if isinstance(dump, Dump):
            key = dump.pubkey or derived_address(dump.path, dump.data)
            if key is not None:
                found.setdefault(key, dump)
    return found


def _record(key: str, dump: Dump) -> AccountRecord:
    owner = dump.owner or usual_owner(dump.path, dump.data)
    return AccountRecord(key, owner, dump.lamports, dump.data, dump.sha256, slot=dump.slot or 0)


def snapshot_of_dumps(directory: Path) -> tuple[Snapshot, tuple[str, ...]]:
    """Account dumps below a directory as one snapshot, and the pools among them.

    Dumps that name no slot are taken to be of one moment with the others of their pool; a pool
    whose dumps name several slots is refused as incoherent when it is built.

    Raises
    ------
    QuoteRefused
        The directory holds no account.
    """
    records = {key: _record(key, dump) for key, dump in _dumped(directory).items()}
    if not records:
        raise QuoteRefused("no_accounts", f"{directory} holds no account dump with a public key")
    groups = {}
    accounts: dict[tuple[str, int], AccountRecord] = {}
    for key, record in records.items():
        answer = record.decode()
        if not isinstance(answer, Decoded) or answer.kind not in POOL_KINDS:
            continue
        needs = dependencies(key, answer)
        present = tuple(one for one in (key, *needs.all) if one in records)
        named = {records[one].slot for one in present} - {0}
        slot = max(named, default=0)
        groups[key] = Group(key, present, frozenset(needs.optional), slot)
        for one in present:
            read = records[one]
            if not read.slot or len(named) <= 1:
                read = replace(read, slot=slot)
            accounts[one, read.slot] = read
    slots = [slot for _, slot in accounts] or [0]
    snapshot = Snapshot(
        max(slots), min(slots), datetime.now(UTC), None, tuple(accounts.values()), groups
    )
    return snapshot, tuple(groups)


async def _read(settings: Settings, universe: Universe) -> Snapshot:
    wanted = universe.model_copy(update={"accounts": universe.by_role("pool")})
    async with RpcPool(settings.resolve_rpc_urls()) as pool:
        return await fetch_snapshot(pool, wanted)


def _market(settings: Settings, accounts: Path | None) -> _Market:
    if accounts is not None:
        snapshot, pools = snapshot_of_dumps(accounts)
        symbols = {symbol: mint for mint, (symbol, *_) in KNOWN_TOKENS.items()}
        decimals: dict[str, int] = {}
        if settings.universe is not None:
            universe = read_universe(settings.universe)
            symbols |= {token.symbol: token.mint for token in universe.tokens}
    else:
        universe = read_universe(settings.resolve_universe())
        try:
            snapshot = asyncio.run(_read(settings, universe))
        except RpcError as error:
            raise QuoteRefused("rpc_unavailable", str(error)) from error
        pools = tuple(
            one.pubkey for one in universe.by_role("pool") if one.pubkey in snapshot.groups
        )
        symbols = {token.symbol: token.mint for token in universe.tokens}
        decimals = dict(universe.decimals)
    decimals |= group_decimals({one.pubkey: one for one in snapshot.accounts})
    return _Market(snapshot, pools, symbols, decimals)


def base_units(amount: str, decimals: int) -> int:
    """Base units of an amount in whole tokens, exactly.

    Raises
    ------
    QuoteRefused
        ``amount_invalid`` for no number or more places than the token has, and
        ``amount_out_of_range`` for what is not positive or exceeds 64 bits.
    """
    try:
        exact = Decimal(amount)
    except InvalidOperation as error:
        raise QuoteRefused("amount_invalid", f"amount {amount!r} is not a number") from error
    if not exact.is_finite():
        raise QuoteRefused("amount_invalid", f"amount {amount!r} is not a finite number")
    if exact <= 0:
        raise QuoteRefused("amount_out_of_range", f"amount {amount} is not positive")
    # The size is judged before any power is taken: 1e400000000 must not fill the memory.
    if exact.adjusted() + decimals > len(str(U64_MAX)):
        raise QuoteRefused("amount_out_of_range", f"amount {amount} exceeds 64 bits in base units")
    fine = QuoteRefused(
        "amount_invalid", f"amount {amount} has places beyond the at most {decimals} decimals"
    )
    if exact.adjusted() + decimals < 0:
        raise fine
    units = Fraction(exact) * 10**decimals
    if units.denominator != 1:
        raise fine
    if units > U64_MAX:
        raise QuoteRefused("amount_out_of_range", f"amount {amount} exceeds 64 bits in base units")
    return int(units)


def run_quote(
    settings: Settings, sell: str, buy: str, amount: str, accounts: Path | None
) -> dict[str, Any]:
    """Quote a sale over the best route; the answer carries amounts, fees, impact or a refusal.

    Raises
    ------
    QuoteRefused
        Unknown mint, bad amount, no account to quote from, or no answer from the network.
    """
    from portfolio_platform.reallocation import simulate_quote

    market = _market(settings, accounts)
    built, refused = build_pools(market.snapshot, market.pools)
    sell, buy = market.symbols.get(sell, sell), market.symbols.get(buy, buy)
    if sell == buy:
        raise QuoteRefused("same_mint", f"{sell} is on both sides of the trade")
    traded = {mint for pool in built.values() for mint in (pool.mint_a, pool.mint_b)}
    for mint in (sell, buy):
        if mint not in traded:
            raise _untraded(mint, market, refused)
    if sell not in market.decimals:
        raise QuoteRefused("decimals_missing", f"the mint account of {sell} was not read")
    units = base_units(amount, market.decimals[sell])
    answer = simulate_quote(built.values(), sell, buy, units).to_json()
    names = {mint: symbol for symbol, mint in market.symbols.items()}
    return answer | {
        "slot": market.snapshot.slot,
        "symbol_in": names.get(sell),
        "symbol_out": names.get(buy),
        "decimals_in": market.decimals.get(sell),
        "decimals_out": market.decimals.get(buy),
        "pools": [leg["pool"] for leg in answer["legs"]],
        "fee": _fees(answer["legs"]),
        "refused_pools": {
            **{address: error.reason for address, error in refused.items()},
            **answer["refused_pools"],
        },
    }


def _fees(legs: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Pool and transfer fees of all legs by the mint they are taken in, in base units."""
    total: dict[str, int] = {}
    for leg in legs:
        for mint, parts in (
            (leg["mint_in"], ("fee", "transfer_fee_in")),
            (leg["mint_out"], ("fee_out", "transfer_fee_out")),
        ):
            taken = sum(int(leg[part]) for part in parts)
            if taken:
                total[mint] = total.get(mint, 0) + taken
    return {mint: str(fee) for mint, fee in total.items()}


def _untraded(mint: str, market: _Market, refused: Mapping[str, PoolRefused]) -> QuoteRefused:
    said = f"no readable pool trades {mint}"
    if refused:
        said += "; refused: " + ", ".join(
            f"{address} ({error.reason})" for address, error in sorted(refused.items())
        )
    known = mint in market.decimals or mint in market.symbols.values()
    return QuoteRefused("no_pool" if known else "unknown_token", said, refused)


def quote_text(answer: Mapping[str, Any]) -> str:
    """The answer as a person reads it."""

    def whole(units: str, side: str) -> str:
        places = answer[f"decimals_{side}"]
        name = answer[f"symbol_{side}"] or answer[f"mint_{side}"]
        if places is None:
            return f"{units} base units of {name}"
        return f"{Decimal(units).scaleb(-places):f} {name}"

    lines = [f"sell      {whole(answer['amount_in'], 'in')}  ({answer['amount_in']} base units)"]
    if answer["refused"] is None:
        lines += [
            f"get       {whole(answer['amount_out'], 'out')}  ({answer['amount_out']} base units)",
            f"at least  {whole(answer['min_out'], 'out')}  ({answer['min_out']} base units)",
        ]
    else:
        lines += [
            f"refused   {answer['refused']}",
            f"possible  {whole(answer['available_in'], 'in')}",
        ]
    if answer["legs"]:
        lines.append(f"impact    {answer['impact_bps']} bps, without fees")
    lines += [f"fee       {fee} base units of {mint}" for mint, fee in answer["fee"].items()]
    lines += [
        f"pool      {leg['pool']}  {leg['kind']}, {leg['crossed']} "
        f"{'bins' if leg['kind'] == 'dlmm' else 'ticks'} crossed, {leg['amount_in']} in, "
        f"{leg['amount_out']} out"
        for leg in answer["legs"]
    ]
    lines += [f"not used  {pool}  {why}" for pool, why in answer["refused_pools"].items()]
    return "\n".join(lines)
