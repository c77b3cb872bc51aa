"""Accounts of a test's own making, at any moment of history, served by a local chain."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from portfolio_platform.solana.layouts import (
    key_bytes,
    key_text,
    programs,
    pyth,
    raydium_amm,
    spl_token,
    stake_pool,
)

SLOT = 300_000_000
DECIMALS = {programs.WRAPPED_SOL: 9, programs.USDC: 6}
SYMBOLS = {programs.WRAPPED_SOL: "SOL", programs.USDC: "USDC"}


def key(name: str) -> str:
    """An address by a readable name."""
    return key_text(hashlib.sha256(name.encode()).digest())


class Dumps:
    """Account dumps in a folder, and the universe that watches them."""

    def __init__(self, folder: Path, now: datetime) -> None:
        self.folder = folder / "accounts"
        self.folder.mkdir(parents=True)
        self.now = now
        self.tokens: dict[str, dict[str, Any]] = {}
        self.accounts: list[dict[str, Any]] = []
        self.token(programs.USDC, stable=True)

    def write(self, pubkey: str, owner: str, data: bytes, lamports: int = 10_000_000) -> None:
        """One account."""
        account = {"data": [base64.b64encode(data).decode(), "base64"], "owner": owner}
        account |= {"lamports": lamports, "executable": False, "rentEpoch": 0}
        file = self.folder / f"{pubkey}.json"
        file.write_text(json.dumps({"pubkey": pubkey, "account": account}))

    def watch(self, pubkey: str, role: str, mint: str | None = None) -> str:
        """Add an account to the universe."""
        self.accounts.append({"pubkey": pubkey, "role": role, "mint": mint})
        return pubkey

    def token(
        self,
        mint: str,
        symbol: str | None = None,
        decimals: int | None = None,
        *,
        stable: bool = False,
    ) -> str:
        """A mint of SPL Token that the universe lists."""
        places = DECIMALS.get(mint, 6) if decimals is None else decimals
        self.write(
            mint,
            programs.SPL_TOKEN,
            spl_token.MINT.pack(initialized=1, decimals=places, supply=10**15),
        )
        self.list_token(mint, symbol or SYMBOLS.get(mint, mint[:4]), places, stable=stable)
        return mint

    def list_token(self, mint: str, symbol: str, decimals: int, *, stable: bool = False) -> None:
        """A token of the universe, whatever its mint account says."""
        self.tokens[mint] = {
            "mint": mint,
            "symbol": symbol,
            "decimals": decimals,
            "stable": stable,
            "history_symbol": f"Crypto.{symbol}/USD",
        }

    def oracle(self, mint: str, price: float, *, age: float = 1.0, name: str = "") -> str:
        """A PriceUpdateV2 about a mint."""
        pubkey = key(f"oracle {mint} {name}")
        self.write(
            pubkey,
            programs.PYTH_RECEIVER,
            pyth.PRICE_UPDATE_V2.pack(
                verification=pyth.VERIFICATION_FULL,
                price=round(price * 10**8),
                confidence=round(price * 10**5),
                exponent=-8,
                publish_time=int(self.now.timestamp() - age),
                posted_slot=SLOT - 1,
            ),
        )
        return self.watch(pubkey, "oracle", mint)

    def pool(self, mint: str, price: float, *, whole: float = 100_000.0, name: str = "") -> str:
        """A constant-product pool of a mint against USDC."""
        pubkey = key(f"pool {mint} {name}")
        sides = []
        for side, amount in ((mint, whole), (programs.USDC, whole * price)):
            vault = key(f"vault {pubkey} {side}")
            self.write(
                vault,
                programs.SPL_TOKEN,
                spl_token.TOKEN_ACCOUNT.pack(
                    mint=key_bytes(side),
                    amount=round(amount * 10 ** self.tokens[side]["decimals"]),
                    state=1,
                ),
            )
            sides.append(vault)
        self.write(
            pubkey,
            programs.RAYDIUM_AMM_V4,
            raydium_amm.POOL.pack(
                status=6,
                base_decimals=self.tokens[mint]["decimals"],
                quote_decimals=6,
                swap_fee_numerator=25,
                swap_fee_denominator=10_000,
                base_mint=key_bytes(mint),
                quote_mint=key_bytes(programs.USDC),
                base_vault=key_bytes(sides[0]),
                quote_vault=key_bytes(sides[1]),
            ),
        )
        return self.watch(pubkey, "pool")

    def balance(
        self,
        wallet: str,
        mint: str,
        amount: int,
        *,
        frozen: bool = False,
        extensions: Sequence[spl_token.Extension] | None = None,
    ) -> str:
        """A token account of a wallet; of Token-2022 where it has extensions (also none)."""
        pubkey = key(f"balance {wallet} {mint}")
        state = spl_token.STATE_FROZEN if frozen else spl_token.STATE_INITIALIZED
        data = spl_token.TOKEN_ACCOUNT.pack(
            mint=key_bytes(mint), owner=key_bytes(wallet), amount=amount, state=state
        )
        owner = programs.SPL_TOKEN
        if extensions is not None:
            owner = programs.TOKEN_2022
            data = spl_token.pack_extensions(data, spl_token.ACCOUNT_TYPE_ACCOUNT, list(extensions))
        self.write(pubkey, owner, data)
        return pubkey

    def mint_2022(self, mint: str, decimals: int, *extensions: spl_token.Extension) -> str:
        """A mint of Token-2022; the universe does not list it."""
        base = spl_token.MINT.pack(initialized=1, decimals=decimals, supply=10**15)
        self.write(
            mint,
            programs.TOKEN_2022,
            spl_token.pack_extensions(base, spl_token.ACCOUNT_TYPE_MINT, list(extensions)),
        )
        return mint

    def stake_pool(self, mint: str, lamports: int, supply: int, epoch: int) -> str:
        """An SPL stake pool of a mint."""
        pubkey = key(f"stake pool {mint}")
        self.write(
            pubkey,
            programs.SPL_STAKE_POOL,
            stake_pool.STAKE_POOL.pack(
                account_type=stake_pool.ACCOUNT_TYPE_STAKE_POOL,
                pool_mint=key_bytes(mint),
                total_lamports=lamports,
                pool_token_supply=supply,
                last_update_epoch=epoch,
            ),
        )
        return self.watch(pubkey, "stake_pool", mint)

    def universe(self) -> Path:
        """The universe as a file."""
        file = self.folder.parent / "universe.json"
        body = {"name": "test", "hub": programs.USDC, "accounts": self.accounts}
        file.write_text(json.dumps(body | {"tokens": list(self.tokens.values())}))
        return file
