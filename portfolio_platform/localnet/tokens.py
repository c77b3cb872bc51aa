"""The tokens of the demo market and the statistics their prices are drawn from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache

from solders.keypair import Keypair
from solders.pubkey import Pubkey

SOL_MINT = "So11111111111111111111111111111111111111112"
USDC_MINT = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"
ORCA_MINT = "orcaEKTdK7LKz57vaAYr9QeNsVEPfiu6QeMU1kektZE"
SAMO_MINT = "7xKXtg2CW87d97TXJSDpbD5jBkheTqA83TZRuJosgAsU"
JITOSOL_MINT = "J1toso1uCk3RLmjorhTtrVwY9HJ7X8V9yYac6Y7kGCPn"


def demo_key(*parts: str) -> Pubkey:
    """An address that depends on nothing but its name; no private key is known for it."""
    return Pubkey(hashlib.sha256("/".join(("portfolio-platform demo", *parts)).encode()).digest())


@lru_cache(maxsize=256)
def demo_keypair(*parts: str) -> Keypair:
    """A signing key that depends on nothing but its name (worthless outside the local chain)."""
    return Keypair.from_seed(
        hashlib.sha256("/".join(("portfolio-platform demo key", *parts)).encode()).digest()
    )


@dataclass(frozen=True)
class DemoToken:
    """One token: identity on the chain and parameters of its price process.

    Attributes
    ----------
    price
        Level in USD that the path is anchored to at the market's *now*.
    volatility, drift
        Annualised standard deviation and mean of the log return of the token.
    beta
        Loading on the common factor (1 for SOL).
    daily_volume
        Mean traded value per day in USD.
    listed_days
        Days of history before *now*; None means the whole market history.
    supply
        Whole tokens in existence.
    """

    symbol: str
    name: str
    mint: str
    decimals: int
    group: str
    price: float
    volatility: float
    drift: float
    beta: float
    daily_volume: float
    supply: int
    stable: bool = False
    listed_days: int | None = None
    staked_sol: bool = False

    @property
    def history_symbol(self) -> str:
        """Symbol of the UDF endpoint, as oracle vendors write it."""
        return f"Crypto.{self.symbol.upper()}/USD"

    @property
    def unit(self) -> int:
        """Base units in one whole token."""
        return int(10**self.decimals)


def _mint(symbol: str) -> str:
    return str(demo_key("mint", symbol))


# Mints of tokens whose recorded addresses are known stand above; the others are demo addresses.
DEMO_TOKENS: tuple[DemoToken, ...] = (
    DemoToken("SOL", "Wrapped SOL", SOL_MINT, 9, "L1", 150.0, 0.75, 0.30, 1.0, 2.4e9, 590_000_000),
    DemoToken(
        "USDC",
        "USD Coin",
        USDC_MINT,
        6,
        "stable",
        1.0,
        0.0,
        0.0,
        0.0,
        3.0e9,
        9_000_000_000,
        stable=True,
    ),
    DemoToken(
        "jitoSOL",
        "Jito Staked SOL",
        JITOSOL_MINT,
        9,
        "LST",
        182.1,
        0.75,
        0.37,
        1.0,
        1.1e8,
        14_000_000,
        staked_sol=True,
    ),
    DemoToken(
        "JUP", "Jupiter", _mint("JUP"), 6, "DeFi", 0.82, 1.05, 0.20, 1.1, 9.0e7, 7_000_000_000
    ),
    DemoToken("JTO", "Jito", _mint("JTO"), 9, "DeFi", 2.45, 1.10, 0.10, 1.0, 4.0e7, 1_000_000_000),
    DemoToken(
        "RAY", "Raydium", _mint("RAY"), 6, "DeFi", 3.60, 1.10, 0.45, 1.05, 5.0e7, 555_000_000
    ),
    DemoToken("ORCA", "Orca", ORCA_MINT, 6, "DeFi", 2.90, 0.95, 0.15, 0.9, 1.5e7, 100_000_000),
    DemoToken(
        "PYTH",
        "Pyth Network",
        _mint("PYTH"),
        6,
        "infrastructure",
        0.36,
        1.10,
        -0.05,
        1.0,
        3.5e7,
        10_000_000_000,
    ),
    DemoToken(
        "BONK",
        "Bonk",
        _mint("BONK"),
        5,
        "meme",
        0.0000214,
        1.25,
        0.25,
        1.3,
        1.2e8,
        88_000_000_000_000,
    ),
    DemoToken(
        "WIF", "dogwifhat", _mint("WIF"), 6, "meme", 1.85, 1.40, 0.30, 1.35, 1.3e8, 998_000_000
    ),
    DemoToken(
        "SAMO", "Samoyed Coin", SAMO_MINT, 9, "meme", 0.0071, 1.15, -0.10, 1.1, 1.2e6, 4_900_000_000
    ),
    DemoToken(
        "NOVA",
        "Nova (newly listed)",
        _mint("NOVA"),
        6,
        "infrastructure",
        0.54,
        1.60,
        0.0,
        1.2,
        9.0e6,
        1_000_000_000,
        listed_days=60,
    ),
)

BY_SYMBOL = {token.symbol: token for token in DEMO_TOKENS}
BY_MINT = {token.mint: token for token in DEMO_TOKENS}
