"""SPL mints and token accounts of the local chain; balances are conserved per mint."""

from __future__ import annotations

from solders.pubkey import Pubkey

from portfolio_platform.localnet.chain import Chain
from portfolio_platform.localnet.tokens import SOL_MINT
from portfolio_platform.solana.layouts import key_bytes, key_text, programs
from portfolio_platform.solana.layouts.addresses import associated_token_account
from portfolio_platform.solana.layouts.spl_token import MINT, STATE_INITIALIZED, TOKEN_ACCOUNT

_AMOUNT = slice(64, 72)


class Ledger:
    """Writes mints and token accounts with the bytes that the token program expects."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self._rent = chain.rent(TOKEN_ACCOUNT.length)

    def create_mint(self, mint: str, decimals: int, supply: int, authority: Pubkey) -> None:
        """Create a mint; wrapped SOL has no authority and a supply of zero, as on mainnet."""
        native = mint == SOL_MINT
        data = MINT.pack(
            mint_authority_option=0 if native else 1,
            mint_authority=bytes(32) if native else bytes(authority),
            supply=0 if native else supply,
            decimals=decimals,
            initialized=1,
        )
        self.chain.write(mint, programs.SPL_TOKEN, data)

    def create_account(self, address: str, mint: str, owner: str, amount: int = 0) -> str:
        """Create a token account and return its address."""
        native = mint == SOL_MINT
        data = TOKEN_ACCOUNT.pack(
            mint=key_bytes(mint),
            owner=key_bytes(owner),
            amount=amount,
            state=STATE_INITIALIZED,
            native_option=1 if native else 0,
            native_rent=self._rent if native else 0,
        )
        self.chain.write(
            address, programs.SPL_TOKEN, data, self._rent + amount if native else self._rent
        )
        return address

    def create_associated(self, owner: str, mint: str, amount: int = 0) -> str:
        """Create the associated token account of `owner` and return its address."""
        return self.create_account(associated_token_account(owner, mint), mint, owner, amount)

    def balance(self, address: str) -> int:
        """Base units held by a token account."""
        return int.from_bytes(self.chain.data(address)[_AMOUNT], "little")

    def add(self, address: str, delta: int) -> tuple[int, int]:
        """Change a balance outside any transaction; (before, after)."""
        data = bytearray(self.chain.data(address))
        before = int.from_bytes(data[_AMOUNT], "little")
        after = before + delta
        if after < 0:
            raise ValueError(f"token account {address} holds {before}, cannot give {-delta}")
        data[_AMOUNT] = after.to_bytes(8, "little")
        native = key_text(bytes(data[:32])) == SOL_MINT
        lamports = self._rent + after if native else self._rent
        self.chain.write(address, programs.SPL_TOKEN, bytes(data), lamports)
        return before, after

    def move(self, source: str, target: str, amount: int) -> None:
        """Move base units between two accounts of one mint."""
        self.add(source, -amount)
        self.add(target, amount)
