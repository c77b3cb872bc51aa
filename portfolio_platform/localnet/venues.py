"""Which pools the demo market trades on, and what any of them can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import copy
from dataclasses import dataclass
from typing import Literal, Self

from solders.keypair import Keypair

from portfolio_platform.localnet.chain import Chain
from portfolio_platform.localnet.ledger import Ledger
from portfolio_platform.localnet.tokens import BY_SYMBOL, DemoToken, demo_keypair
from portfolio_platform.solana.layouts import key_bytes

Venue = Literal["whirlpool", "raydium_clmm", "raydium_amm_v4"]


@dataclass(frozen=True)
class PoolSpec:
    """A pool of the demo market.

    Attributes
    ----------
    fee_ppm
        Swap fee in millionths of the input.
    depth
        USD of input that moves the price by about one percent at the start.
    tick_spacing
        0 for constant-product pools.
    trade_seconds
        Mean seconds between two trades of the market in this pool.
    """

    venue: Venue
    base: str
    quote: str
    fee_ppm: int
    depth: float
    tick_spacing: int
    trade_seconds: int

    @property
    def name(self) -> str:
        """Readable and unique: the demo addresses of the pool derive from it."""
        return f"{self.venue}:{self.base}/{self.quote}"


DEMO_POOLS: tuple[PoolSpec, ...] = (
    PoolSpec("whirlpool", "SOL", "USDC", 400, 1_200_000, 16, 60),
    PoolSpec("raydium_clmm", "SOL", "USDC", 500, 900_000, 10, 90),
    PoolSpec("raydium_amm_v4", "SOL", "USDC", 2500, 300_000, 0, 240),
    PoolSpec("whirlpool", "jitoSOL", "SOL", 100, 1_000_000, 4, 240),
    PoolSpec("raydium_clmm", "jitoSOL", "USDC", 500, 400_000, 60, 300),
    PoolSpec("whirlpool", "JUP", "USDC", 1600, 450_000, 16, 180),
    PoolSpec("raydium_clmm", "JUP", "SOL", 2500, 350_000, 60, 300),
    PoolSpec("raydium_clmm", "JTO", "USDC", 2500, 350_000, 60, 240),
    PoolSpec("raydium_amm_v4", "RAY", "USDC", 2500, 320_000, 0, 240),
    PoolSpec("raydium_amm_v4", "RAY", "SOL", 2500, 150_000, 0, 420),
    PoolSpec("whirlpool", "ORCA", "USDC", 3000, 220_000, 64, 300),
    PoolSpec("whirlpool", "PYTH", "USDC", 3000, 260_000, 64, 300),
    PoolSpec("raydium_clmm", "BONK", "USDC", 2500, 380_000, 60, 180),
    PoolSpec("whirlpool", "BONK", "SOL", 3000, 300_000, 64, 240),
    PoolSpec("raydium_clmm", "WIF", "USDC", 2500, 330_000, 60, 180),
    PoolSpec("raydium_amm_v4", "WIF", "SOL", 2500, 180_000, 0, 300),
    PoolSpec("raydium_amm_v4", "SAMO", "USDC", 2500, 45_000, 0, 600),
    PoolSpec("whirlpool", "NOVA", "USDC", 10000, 90_000, 128, 300),
)


@dataclass(frozen=True)
class Fill:
    """Amounts of one swap in base units; `fee` is part of `amount_in`."""

    a_to_b: bool
    amount_in: int
    amount_out: int
    fee: int


class DemoPool(ABC):
    """State of one pool and the accounts that show it.

    Token A and B follow the program's own order: by mint bytes for concentrated pools, base and
    quote for AMM v4. `price` counts base units of B per base unit of A.
    """

    program: str
    #: False on a rehearsal, which never touches the chain.
    shown: bool = True

    def __init__(self, spec: PoolSpec, chain: Chain, ledger: Ledger) -> None:
        self.spec = spec
        self.chain = chain
        self.ledger = ledger
        self.keypair: Keypair = demo_keypair("pool", spec.name)
        self.address = str(self.keypair.pubkey())
        self.vault_a = str(demo_keypair("vault a", spec.name).pubkey())
        self.vault_b = str(demo_keypair("vault b", spec.name).pubkey())
        base, quote = BY_SYMBOL[spec.base], BY_SYMBOL[spec.quote]
        ordered = self._ordered(base, quote)
        self.token_a, self.token_b = ordered
        # Deriving a public key costs more than all the rest of a trade.
        self.authority_key = str(self.authority.pubkey())

    def _ordered(self, base: DemoToken, quote: DemoToken) -> tuple[DemoToken, DemoToken]:
        return (base, quote) if key_bytes(base.mint) < key_bytes(quote.mint) else (quote, base)

    def rehearsal(self) -> Self:
        """A copy that moves as the pool would and shows nothing on the chain."""
        twin = copy(self)
        for name, value in vars(self).items():
            if isinstance(value, list | set):
                setattr(twin, name, value.copy())
        twin.shown = False
        return twin

    @property
    def authority(self) -> Keypair:
        """The key that owns both vaults (on mainnet a program address; here one that can sign)."""
        return self.keypair

    def raw_price(self, prices: dict[str, float]) -> float:
        """Base units of B per base unit of A that USD prices imply."""
        scale = 10.0 ** (self.token_b.decimals - self.token_a.decimals)
        return prices[self.token_a.symbol] / prices[self.token_b.symbol] * scale

    @property
    @abstractmethod
    def price(self) -> float:
        """Base units of B per base unit of A."""

    @abstractmethod
    def move_to(self, price: float) -> Fill | None:
        """Swap until the price is `price`; None when that takes less than one base unit.

        Changes the state and the pool account but no vault: the caller moves the tokens.
        """

    @abstractmethod
    def settle(self, mint_in: str, amount_in: int, amount_out: int) -> None:
        """Move the state as a taker's swap of these exact amounts would."""

    @abstractmethod
    def quote(self, mint_in: str, amount_in: int) -> int:
        """Output of selling exactly `amount_in`, by the pool's own integer arithmetic."""

    def publish(self) -> None:
        """Write the pool account and whatever belongs to it."""
        if self.shown:
            self._publish()

    @abstractmethod
    def _publish(self) -> None: ...
