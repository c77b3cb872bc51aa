"""Swaps from transactions: what the two vaults of a pool gained and lost.

Vault balances before and after are exact, whichever program moved them and whatever fees, rents
or commissions the trader paid besides. The trader's own balances are not: they contain all of
those. Vaults are paired by the pool, never by their owner (some programs own each vault apart).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.transactions import Instruction, TokenChange, Transaction

NATIVE_DECIMALS = 9
_TOKEN_PROGRAMS = frozenset({programs.SPL_TOKEN, programs.TOKEN_2022})
_NOT_POOLS = _TOKEN_PROGRAMS | {
    programs.SYSTEM,
    programs.ASSOCIATED_TOKEN,
    "ComputeBudget111111111111111111111111111111",
}
_TRANSFER, _TRANSFER_CHECKED, _TRANSFER_FEE = 3, 12, 26


@dataclass(frozen=True, slots=True)
class PoolVaults:
    """A pool and where it keeps its two tokens.

    ``native_b`` is set for pools that hold plain SOL: then ``vault_b`` is the account whose
    lamports are the reserve (a bonding curve) and ``mint_b`` is wrapped SOL.
    """

    pool: str
    vault_a: str
    vault_b: str
    mint_a: str
    mint_b: str
    decimals_a: int
    decimals_b: int
    fee_rate: float | None = None
    native_b: bool = False


@dataclass(frozen=True, slots=True)
class Swap:
    """One trade against one pool.

    Attributes
    ----------
    pool : str
        The pool, or ``vault_in/vault_out`` where it was inferred.
    amount_in, amount_out : int
        Base units that the pool received and gave; both 0 for a failed transaction.
    decimals_in, decimals_out : int
    price : float or None
        Whole B per whole A of the pool's own order.
    fee : float or None
        Pool fee in whole input tokens, where the pool's rate is known.
    failed : str or None
        The ledger's error.
    """

    signature: str
    slot: int
    block_time: datetime | None
    pool: str
    mint_in: str
    mint_out: str
    amount_in: int
    amount_out: int
    decimals_in: int
    decimals_out: int
    price: float | None
    volume_a: float
    volume_b: float
    fee: float | None = None
    failed: str | None = None
    program: str | None = None


def pool_swap(transaction: Transaction, pool: PoolVaults) -> Swap | None:
    """The net trade of a transaction against a known pool.

    None when the pool did not trade: it was not touched, or both sides moved the same way
    (liquidity added or removed). A failed transaction gives a swap with ``failed`` set.
    """
    if transaction.error is not None:
        return _failed(transaction, pool)
    gain_a = _token_gain(transaction, pool.vault_a, pool.mint_a)
    gain_b = (
        _native_gain(transaction, pool.vault_b)
        if pool.native_b
        else _token_gain(transaction, pool.vault_b, pool.mint_b)
    )
    if gain_a == 0 or gain_b == 0 or (gain_a > 0) == (gain_b > 0):
        return None
    price = Fraction(abs(gain_b) * 10**pool.decimals_a, abs(gain_a) * 10**pool.decimals_b)
    a_in = gain_a > 0
    decimals_in = pool.decimals_a if a_in else pool.decimals_b
    amount_in = gain_a if a_in else gain_b
    return Swap(
        signature=transaction.signature,
        slot=transaction.slot,
        block_time=transaction.block_time,
        pool=pool.pool,
        mint_in=pool.mint_a if a_in else pool.mint_b,
        mint_out=pool.mint_b if a_in else pool.mint_a,
        amount_in=amount_in,
        amount_out=-gain_b if a_in else -gain_a,
        decimals_in=decimals_in,
        decimals_out=pool.decimals_b if a_in else pool.decimals_a,
        price=float(price),
        volume_a=abs(gain_a) / 10**pool.decimals_a,
        volume_b=abs(gain_b) / 10**pool.decimals_b,
        fee=amount_in / 10**decimals_in * pool.fee_rate if pool.fee_rate is not None else None,
    )


def _failed(transaction: Transaction, pool: PoolVaults) -> Swap:
    return Swap(
        signature=transaction.signature,
        slot=transaction.slot,
        block_time=transaction.block_time,
        pool=pool.pool,
        mint_in=pool.mint_a,
        mint_out=pool.mint_b,
        amount_in=0,
        amount_out=0,
        decimals_in=pool.decimals_a,
        decimals_out=pool.decimals_b,
        price=None,
        volume_a=0.0,
        volume_b=0.0,
        failed=transaction.error,
    )


def _token_gain(transaction: Transaction, vault: str, mint: str) -> int:
    change = transaction.tokens.get(vault)
    return change.delta if change is not None and change.mint == mint else 0


def _native_gain(transaction: Transaction, account: str) -> int:
    before, after = transaction.lamports.get(account, (0, 0))
    return after - before


# -- swaps of pools that nobody listed -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Transfer:
    source: str
    target: str
    authority: str


def infer_swaps(transaction: Transaction) -> list[Swap]:
    """Swaps against pools that are not known beforehand, one per pair of vaults.

    An instruction whose direct inner instructions move two tokens in opposite directions is a
    swap; so is one that moves one token against the lamports of the account that owns the vault
    (native-SOL curves). Amounts are the vaults' net changes over the transaction.
    """
    if transaction.error is not None:
        return []
    found: dict[tuple[str, str], Swap] = {}
    for index, instruction in enumerate(transaction.instructions):
        if instruction.program in _NOT_POOLS:
            continue
        transfers = _direct_transfers(transaction.instructions, index)
        pair: tuple[TokenChange, TokenChange] | None = None
        if len(transfers) == 2:
            pair = _vault_pair(transaction, transfers)
        elif len(transfers) == 1:
            pair = _curve_pair(transaction, instruction, transfers[0])
        if pair is None:
            continue
        gained, lost = pair
        key = (gained.account, lost.account)
        if key not in found:
            found[key] = _inferred(transaction, instruction.program, gained, lost)
    return list(found.values())


def _direct_transfers(instructions: tuple[Instruction, ...], index: int) -> list[_Transfer]:
    parent = instructions[index]
    found = []
    for one in instructions[index + 1 :]:
        if one.depth <= parent.depth:
            break
        if one.depth == parent.depth + 1 and one.program in _TOKEN_PROGRAMS:
            transfer = _transfer(one)
            if transfer is not None:
                found.append(transfer)
    return found


def _transfer(one: Instruction) -> _Transfer | None:
    if not one.data:
        return None
    if one.data[0] == _TRANSFER and len(one.accounts) >= 3:
        source, target, authority = one.accounts[:3]
    elif one.data[0] in (_TRANSFER_CHECKED, _TRANSFER_FEE) and len(one.accounts) >= 4:
        source, _, target, authority = one.accounts[:4]
    else:
        return None
    return _Transfer(source, target, authority)


def _vault_pair(
    transaction: Transaction, transfers: list[_Transfer]
) -> tuple[TokenChange, TokenChange] | None:
    """The vault that gained and the one that lost, or None when the two are not a swap."""
    first, second = transfers
    candidates = []
    for paid, given in ((first, second), (second, first)):
        gained = transaction.tokens.get(paid.target)
        lost = transaction.tokens.get(given.source)
        if gained is None or lost is None or gained.mint == lost.mint:
            continue
        if gained.delta <= 0 or lost.delta >= 0:
            continue
        if {gained.owner, lost.owner} & transaction.signers:
            continue
        candidates.append((paid, gained, lost))
    # A trader's own pair moves the same way; it is told apart by who pays.
    for paid, gained, lost in candidates:
        if paid.authority in transaction.signers:
            return gained, lost
    return (candidates[0][1], candidates[0][2]) if candidates else None


def _curve_pair(
    transaction: Transaction, instruction: Instruction, transfer: _Transfer
) -> tuple[TokenChange, TokenChange] | None:
    """A token vault against the lamports of its owner."""
    for account in (transfer.target, transfer.source):
        change = transaction.tokens.get(account)
        if change is None or change.owner is None or change.owner in transaction.signers:
            continue
        if change.owner not in instruction.accounts or change.delta == 0:
            continue
        lamports = _native_gain(transaction, change.owner)
        if lamports == 0 or (lamports > 0) == (change.delta > 0):
            continue
        before, after = transaction.lamports[change.owner]
        native = TokenChange(
            change.owner, programs.WRAPPED_SOL, None, NATIVE_DECIMALS, before, after
        )
        return (change, native) if change.delta > 0 else (native, change)
    return None


def _inferred(
    transaction: Transaction, program: str, gained: TokenChange, lost: TokenChange
) -> Swap:
    quote_in = gained.mint in _QUOTES and (
        lost.mint not in _QUOTES or _QUOTES[gained.mint] < _QUOTES[lost.mint]
    )
    whole_in = Fraction(gained.delta, 10**gained.decimals)
    whole_out = Fraction(-lost.delta, 10**lost.decimals)
    base, quote = (whole_out, whole_in) if quote_in else (whole_in, whole_out)
    return Swap(
        signature=transaction.signature,
        slot=transaction.slot,
        block_time=transaction.block_time,
        pool=f"{gained.account}/{lost.account}",
        mint_in=gained.mint,
        mint_out=lost.mint,
        amount_in=gained.delta,
        amount_out=-lost.delta,
        decimals_in=gained.decimals,
        decimals_out=lost.decimals,
        price=float(quote / base),
        volume_a=float(base),
        volume_b=float(quote),
        program=program,
    )


# Which side a price is quoted in, the strongest first; otherwise the token that came out.
_QUOTES: Mapping[str, int] = {
    programs.USDC: 0,
    "Es9vMFrzaCERmJfrF4H2FYD4KCoNkY11McCe8BenwNYB": 1,
    programs.WRAPPED_SOL: 2,
}


def swaps_of(
    transactions: Iterable[Transaction], pools: Iterable[PoolVaults]
) -> tuple[list[Swap], list[Swap]]:
    """Trades and failed attempts of known pools, each once per (signature, pool), by slot."""
    known = list(pools)
    good: dict[tuple[str, str], Swap] = {}
    failed: dict[tuple[str, str], Swap] = {}
    for transaction in transactions:
        for pool in known:
            touched = {pool.vault_a, pool.vault_b} & (
                transaction.tokens.keys() | transaction.lamports.keys()
            )
            if not touched:
                continue
            swap = pool_swap(transaction, pool)
            if swap is not None:
                target = good if swap.failed is None else failed
                target[(swap.signature, swap.pool)] = swap

    def order(one: Swap) -> tuple[int, str, str]:
        return one.slot, one.signature, one.pool

    return sorted(good.values(), key=order), sorted(failed.values(), key=order)
