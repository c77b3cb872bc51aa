"""The best way of one trade through pools whose state moves with every trade."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from portfolio_platform.amm import AmmError, AmmPool, Dust, InsufficientLiquidity, Quote
from portfolio_platform.amm.integers import BPS
from portfolio_platform.reallocation.reasons import Reason
from portfolio_platform.reallocation.splitting import optimal_split

Allowance = Callable[[str, str], int | None]
"""(pool address, mint in) -> largest input that a cap still allows, None without a cap."""


def unlimited(address: str, mint_in: str) -> int | None:
    """Allow any input."""
    return None


class PoolBook:
    """Pools by pair, in a state that moves with each simulated trade.

    Parameters
    ----------
    pools : iterable of AmmPool
        States of one snapshot.
    refused : mapping of str to Reason, optional
        Pools not to be used, by address, with the reason to show.
    """

    def __init__(
        self, pools: Iterable[AmmPool], refused: Mapping[str, Reason] | None = None
    ) -> None:
        self.refused = refused or {}
        self._pools: dict[str, AmmPool] = {}
        self._pairs: dict[tuple[str, str], list[str]] = {}
        for pool in sorted(pools, key=lambda pool: pool.address):
            if pool.address in self._pools:
                raise ValueError(f"pool {pool.address} is given twice")
            self._pools[pool.address] = pool
            for pair in ((pool.mint_a, pool.mint_b), (pool.mint_b, pool.mint_a)):
                self._pairs.setdefault(pair, []).append(pool.address)

    def between(self, mint_in: str, mint_out: str) -> list[AmmPool]:
        """Return the pools that trade the pair, by address."""
        return [self._pools[address] for address in self._pairs.get((mint_in, mint_out), ())]

    def pool(self, address: str) -> AmmPool:
        """Return the present state of a pool."""
        return self._pools[address]

    def apply(self, quotes: Iterable[Quote]) -> None:
        """Move the pools by trades that were quoted on their present state."""
        for quote in quotes:
            self._pools[quote.pool] = self._pools[quote.pool].after(quote)

    def copy(self) -> PoolBook:
        """Return a book that moves on its own."""
        twin = PoolBook((), self.refused)
        twin._pools = dict(self._pools)
        twin._pairs = self._pairs
        return twin


@dataclass(frozen=True)
class Fill:
    """How far a wanted amount could be traded.

    Attributes
    ----------
    hops : tuple of tuple of Quote
        Quotes of each hop in execution order; one hop for a direct trade.
    wanted, amount_in, amount_out : int
        Base units asked to sell, sold and received.
    limited_by : Reason or None
        Why `amount_in` is less than `wanted`.
    refusals : mapping of str to str
        Pools of the pair that were not used, with their reason.
    """

    hops: tuple[tuple[Quote, ...], ...]
    wanted: int
    amount_in: int
    amount_out: int
    limited_by: Reason | None
    refusals: Mapping[str, str] = field(default_factory=dict)

    @property
    def quotes(self) -> tuple[Quote, ...]:
        """All quotes in execution order."""
        return tuple(quote for hop in self.hops for quote in hop)

    @property
    def impact(self) -> Fraction:
        """Upper bound of the price impact: the worst pool of each hop, compounded."""
        kept = Fraction(1)
        for hop in self.hops:
            kept *= 1 - max(quote.impact for quote in hop)
        return 1 - kept


def _nothing(wanted: int, reason: Reason, refusals: Mapping[str, str] | None = None) -> Fill:
    return Fill((), wanted, 0, 0, reason, refusals or {})


def _fit(
    pool: AmmPool, mint_in: str, part: int, impact_bps: int, allowed: int | None
) -> tuple[Quote | None, Reason | None]:
    """Quote as much of `part` as the pool, the impact limit and the cap take."""
    reason: Reason | None = None
    if allowed is not None and part > allowed:
        part, reason = allowed, Reason.CAP_REACHED
    if part <= 0:
        return None, reason or Reason.DUST
    try:
        quote = pool.quote_exact_in(mint_in, part)
        if quote.within_impact(impact_bps):
            return quote, reason
    except InsufficientLiquidity:
        pass  # the impact limit below finds what is there
    except Dust:
        # What a cap leaves may be dust; the cap is why.
        return None, reason or Reason.DUST
    except AmmError as error:
        return None, Reason(error.reason)
    try:
        part = min(part, pool.max_input(mint_in, impact_bps))
        if part <= 0:
            return None, Reason.INSUFFICIENT_LIQUIDITY
        return pool.quote_exact_in(mint_in, part), Reason.INSUFFICIENT_LIQUIDITY
    except AmmError as error:
        return None, Reason(error.reason)


def fill_direct(
    book: PoolBook,
    mint_in: str,
    mint_out: str,
    amount: int,
    impact_bps: int,
    *,
    allowance: Allowance = unlimited,
    split: bool = True,
) -> Fill:
    """Sell `amount` in the pools of one pair, over several where that gives more.

    No pool is moved beyond the impact limit or its cap; what does not fit stays unsold.
    """
    refusals: dict[str, str] = {}
    usable: list[AmmPool] = []
    for pool in book.between(mint_in, mint_out):
        if pool.address in book.refused:
            refusals[pool.address] = book.refused[pool.address].value
            continue
        try:
            pool.marginal_root(mint_in)
        except AmmError as error:
            refusals[pool.address] = error.reason
        else:
            usable.append(pool)
    if not usable:
        reasons = sorted(set(refusals.values()))
        return _nothing(amount, Reason(reasons[0]) if reasons else Reason.NO_POOL, refusals)
    best = _best_single(usable, mint_in, amount, impact_bps, allowance, refusals)
    if len(usable) == 1 or not split:
        return best
    shared = _shared(usable, mint_in, amount, impact_bps, allowance, refusals)
    if (shared.amount_in, shared.amount_out) > (best.amount_in, best.amount_out):
        return shared
    return best


def _best_single(
    pools: list[AmmPool],
    mint_in: str,
    amount: int,
    impact_bps: int,
    allowance: Allowance,
    refusals: Mapping[str, str],
) -> Fill:
    best = _nothing(amount, Reason.DUST, refusals)
    reasons: set[Reason] = set()
    for pool in pools:
        quote, reason = _fit(pool, mint_in, amount, impact_bps, allowance(pool.address, mint_in))
        if quote is None:
            reasons.add(reason or Reason.DUST)
        elif (quote.amount_in, quote.amount_out) > (best.amount_in, best.amount_out):
            best = Fill(((quote,),), amount, quote.amount_in, quote.amount_out, reason, refusals)
    if not best.hops and reasons:
        # A limit says more than dust: a larger trade would not have helped.
        return _nothing(amount, min(reasons, key=lambda r: (r == Reason.DUST, r)), refusals)
    return best


def _shared(
    pools: list[AmmPool],
    mint_in: str,
    amount: int,
    impact_bps: int,
    allowance: Allowance,
    refusals: Mapping[str, str],
) -> Fill:
    open_pools = list(pools)
    closed: dict[str, Quote] = {}
    limits: set[Reason] = set()
    rest = amount
    quotes: dict[str, Quote] = {}
    while open_pools and rest > 0:
        quotes = {}
        full: list[AmmPool] = []
        parts = optimal_split(open_pools, mint_in, rest)
        for pool, part in zip(open_pools, parts, strict=True):
            if part == 0:
                continue
            quote, reason = _fit(pool, mint_in, part, impact_bps, allowance(pool.address, mint_in))
            if quote is not None:
                quotes[pool.address] = quote
            if reason is not None:
                full.append(pool)
                limits.add(reason)
        if not full:
            break
        for pool in full:
            if pool.address in quotes:
                closed[pool.address] = quotes[pool.address]
        rest = amount - sum(quote.amount_in for quote in closed.values())
        open_pools = [pool for pool in open_pools if pool not in full]
        quotes = {}
    chosen = closed | quotes
    if not chosen:
        return _nothing(amount, min(limits, default=Reason.DUST), refusals)
    hop = tuple(chosen[address] for address in sorted(chosen))
    sold = sum(quote.amount_in for quote in hop)
    reason = None
    if sold < amount:
        limited = sorted(limits - {Reason.DUST})
        reason = limited[-1] if limited else Reason.DUST
    return Fill((hop,), amount, sold, sum(quote.amount_out for quote in hop), reason, refusals)


def fill(
    book: PoolBook,
    mint_in: str,
    mint_out: str,
    amount: int,
    impact_bps: int,
    *,
    allowance: Allowance = unlimited,
    split: bool = True,
    intermediates: Iterable[str] = (),
) -> Fill:
    """Sell `amount` directly or through one intermediate mint, whichever gives more.

    More of the amount sold comes first, more received second, fewer hops third.
    """
    best = fill_direct(
        book, mint_in, mint_out, amount, impact_bps, allowance=allowance, split=split
    )
    for middle in sorted(set(intermediates) - {mint_in, mint_out}):
        if not book.between(mint_in, middle) or not book.between(middle, mint_out):
            continue
        trial = _fill_through(book, mint_in, middle, mint_out, amount, impact_bps, allowance, split)
        if (trial.amount_in, trial.amount_out) > (best.amount_in, best.amount_out):
            best = trial
    return best


def _fill_through(
    book: PoolBook,
    mint_in: str,
    middle: str,
    mint_out: str,
    amount: int,
    impact_bps: int,
    allowance: Allowance,
    split: bool,
) -> Fill:
    """Sell through `middle`, as much as both hops together take within the limit."""

    def attempt(part: int) -> tuple[Fill, bool]:
        first = fill_direct(
            book, mint_in, middle, part, impact_bps, allowance=allowance, split=split
        )
        if not first.hops:
            return first, False
        second = fill_direct(
            book, middle, mint_out, first.amount_out, impact_bps, allowance=allowance, split=split
        )
        joined = Fill(
            first.hops + second.hops,
            amount,
            first.amount_in,
            second.amount_out,
            first.limited_by,
            {**first.refusals, **second.refusals},
        )
        whole = second.amount_in == first.amount_out
        return joined, whole and joined.impact * BPS <= impact_bps

    joined, fits = attempt(amount)
    if fits:
        return joined
    low, high = 0, joined.amount_in
    found = _nothing(amount, joined.limited_by or Reason.INSUFFICIENT_LIQUIDITY, joined.refusals)
    while high - low > max(high >> 24, 1):
        part = (low + high) // 2
        joined, fits = attempt(part)
        if fits and joined.amount_in == part:
            low, found = part, joined
        else:
            high = part
    if not found.hops:
        return found
    reason = found.limited_by or Reason.INSUFFICIENT_LIQUIDITY
    return Fill(found.hops, amount, found.amount_in, found.amount_out, reason, found.refusals)
