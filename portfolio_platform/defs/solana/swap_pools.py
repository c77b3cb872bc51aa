"""The universe's pools as their transactions are read: vaults, decimals, fee, quote side."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from portfolio_platform.defs.solana.facts import pool_rows
from portfolio_platform.defs.solana.stored import StoredFetch
from portfolio_platform.market.cleaning import DOLLARS
from portfolio_platform.solana.price_points import group_decimals, pool_points
from portfolio_platform.solana.swaps import PoolVaults, Swap
from portfolio_platform.solana.universe import Universe

_SIDES = {
    "orca_whirlpool": ("mint_a", "mint_b", "vault_a", "vault_b"),
    "raydium_clmm": ("mint_0", "mint_1", "vault_0", "vault_1"),
    "raydium_cp_swap": ("mint_0", "mint_1", "vault_0", "vault_1"),
    "raydium_amm_v4": ("base_mint", "quote_mint", "base_vault", "quote_vault"),
    "meteora_dlmm": ("mint_x", "mint_y", "reserve_x", "reserve_y"),
}


@dataclass(frozen=True)
class FollowedPool:
    """A pool whose swaps are read.

    ``base`` is the token that its bars are about, ``quote`` what they are quoted in (None where
    neither side is the hub, SOL or a stable token: such a pool has swaps but no bars).
    """

    vaults: PoolVaults
    kind: str
    base: str
    quote: str | None

    @property
    def address(self) -> str:
        """The pool's account."""
        return self.vaults.pool

    def oriented(self, swaps: Iterable[Swap]) -> Iterable[Swap]:
        """Swaps with whole quote tokens per whole base token as their price."""
        if self.base == self.vaults.mint_a:
            return swaps
        return (
            replace(
                one,
                price=None if one.price is None else 1 / one.price,
                volume_a=one.volume_b,
                volume_b=one.volume_a,
            )
            for one in swaps
        )

    def quoted_in(self, universe: Universe) -> str:
        """Symbol of the quote; a mint that only calls itself a dollar is named by its address."""
        assert self.quote is not None
        token = universe.token(self.quote)
        symbol = token.symbol if token is not None else self.quote
        dollar = self.quote == universe.hub or (token is not None and token.stable)
        return symbol if dollar or symbol not in DOLLARS else self.quote


def followed_pools(stored: StoredFetch) -> tuple[list[FollowedPool], dict[str, str]]:
    """Pools of a stored fetch, and for those that cannot be followed the reason why not."""
    found: list[FollowedPool] = []
    refused: dict[str, str] = {}
    for part in stored.parts():
        fees = {row["pubkey"]: row["fee_bps"] for row in pool_rows(part)}
        for record, answer, _ in part.anchors("pool"):
            sides = _SIDES.get(answer.kind)
            if sides is None:
                refused[record.pubkey] = f"{answer.kind} is no pool whose vaults are known"
                continue
            mint_a, mint_b, vault_a, vault_b = (answer.values[name] for name in sides)
            group = part.snapshot.group(record.pubkey)
            decimals = stored.universe.decimals | group_decimals(group)
            if mint_a not in decimals or mint_b not in decimals:
                refused[record.pubkey] = "decimals of its tokens are not known"
                continue
            fee = fees[record.pubkey]
            (point,) = pool_points(record, answer, group, decimals, stored.universe)
            found.append(
                FollowedPool(
                    PoolVaults(
                        pool=record.pubkey,
                        vault_a=vault_a,
                        vault_b=vault_b,
                        mint_a=mint_a,
                        mint_b=mint_b,
                        decimals_a=decimals[mint_a],
                        decimals_b=decimals[mint_b],
                        fee_rate=None if fee is None else fee / 10_000,
                    ),
                    answer.kind,
                    point.mint,
                    None if "no_quote_side" in point.problems else point.quote,
                )
            )
    listed = {one.address for one in found} | refused.keys()
    for account in stored.universe.by_role("pool"):
        if account.pubkey not in listed:
            refused[account.pubkey] = "its account could not be read"
    return found, refused
