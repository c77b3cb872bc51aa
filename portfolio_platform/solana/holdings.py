"""Balances of a wallet: both token programs and native SOL."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from portfolio_platform.solana.decoded import Decoded, whole
from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Holding:
    """One balance; ``amount`` in base units. Native SOL counts as wrapped SOL."""

    wallet: str
    mint: str
    token_account: str
    amount: int
    frozen: bool
    slot: int
    sha256: str


def wallet_holdings(snapshot: Snapshot, wallets: Iterable[str]) -> list[Holding]:
    """Every balance of the wallets, zero balances included, in a stable order."""
    wanted = set(wallets)
    found: dict[str, Holding] = {}
    for record in sorted(snapshot.accounts, key=lambda one: one.slot):
        if record.error is not None:
            continue
        if record.pubkey in wanted and record.lamports is not None:
            found[record.pubkey] = Holding(
                record.pubkey,
                programs.WRAPPED_SOL,
                record.pubkey,
                record.lamports,
                False,
                record.slot,
                record.sha256,
            )
        if record.owner not in (programs.SPL_TOKEN, programs.TOKEN_2022):
            continue
        answer = record.decode()
        if isinstance(answer, Decoded) and answer.values.get("owner") in wanted:
            found[record.pubkey] = Holding(
                answer.values["owner"],
                answer.values["mint"],
                record.pubkey,
                int(answer.values["amount"]),
                bool(answer.derived["frozen"]),
                record.slot,
                record.sha256,
            )
    return sorted(found.values(), key=lambda one: (one.wallet, one.mint, one.token_account))


def balances(holdings: Iterable[Holding]) -> dict[tuple[str, str], int]:
    """Base units by (wallet, mint); frozen accounts are left out, they cannot be moved."""
    total: dict[tuple[str, str], int] = {}
    for one in holdings:
        if not one.frozen:
            total[(one.wallet, one.mint)] = total.get((one.wallet, one.mint), 0) + one.amount
    return total


def value_of(
    holdings: Iterable[Holding], prices: Mapping[str, float], decimals: Mapping[str, int]
) -> tuple[float, tuple[str, ...]]:
    """Value of the holdings in the unit of ``prices``, and the mints that have no price."""
    total, unpriced = 0.0, set()
    for one in holdings:
        if one.amount == 0:
            continue
        if one.mint in prices and one.mint in decimals:
            total += whole(one.amount, decimals[one.mint]) * prices[one.mint]
        else:
            unpriced.add(one.mint)
    return total, tuple(sorted(unpriced))
