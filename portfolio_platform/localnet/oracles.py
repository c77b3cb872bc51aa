"""Price oracles of the demo market: Pyth PriceUpdateV2 and one legacy Pyth v2 account."""

from __future__ import annotations

import hashlib

from portfolio_platform.localnet.chain import Chain
from portfolio_platform.localnet.market import Market
from portfolio_platform.localnet.noise import symmetric, uniform
from portfolio_platform.localnet.tokens import BY_SYMBOL, demo_key
from portfolio_platform.solana.layouts import programs, pyth

PULL_ORACLES = ("SOL", "USDC", "jitoSOL", "JUP", "JTO", "ORCA", "PYTH", "BONK", "WIF")
LEGACY_ORACLES = ("RAY",)


class Oracles:
    """Writes the price of each covered token into its account, once per step of the clock."""

    def __init__(self, chain: Chain, market: Market) -> None:
        self.chain = chain
        self.market = market
        self._previous: dict[str, tuple[int, int, int, int]] = {}

    @property
    def accounts(self) -> dict[str, str]:
        """Symbol -> address of its oracle."""
        return {symbol: str(demo_key("oracle", symbol)) for symbol in PULL_ORACLES + LEGACY_ORACLES}

    def publish(self) -> None:
        """Write every oracle at the chain's slot and time."""
        for symbol, address in self.accounts.items():
            price = self.market.price(symbol)
            now = self.chain.time_ms // 1000
            exponent = -8 if BY_SYMBOL[symbol].price > 0.01 else -10
            error = symmetric(self.market.seed, "oracle", symbol, self.chain.time_ms) * 1e-4
            spread = 4e-4 * (1 + uniform(self.market.seed, "conf", symbol, now))
            if BY_SYMBOL[symbol].stable:
                error, spread = error / 10, spread / 2
            mantissa = round(price * (1 + error) * 10**-exponent)
            confidence = round(price * spread * 10**-exponent)
            if symbol in LEGACY_ORACLES:
                data, owner = self._legacy(symbol, mantissa, confidence, exponent), programs.PYTH_V2
            else:
                data = self._pull(symbol, mantissa, confidence, exponent, now)
                owner = programs.PYTH_RECEIVER
            self.chain.write(address, owner, data)

    def _pull(self, symbol: str, mantissa: int, confidence: int, exponent: int, now: int) -> bytes:
        published = now - 1
        return pyth.PRICE_UPDATE_V2.pack(
            write_authority=bytes(demo_key("oracle writer")),
            verification=pyth.VERIFICATION_FULL,
            feed_id=hashlib.sha256(f"demo feed {symbol}".encode()).digest(),
            price=mantissa,
            confidence=confidence,
            exponent=exponent,
            publish_time=published,
            previous_publish_time=published - 1,
            ema_price=mantissa,
            ema_confidence=confidence,
            posted_slot=self.chain.slot - 1,
        )

    def _legacy(self, symbol: str, mantissa: int, confidence: int, exponent: int) -> bytes:
        slot, now = self.chain.slot - 1, self.chain.time_ms // 1000 - 1
        price, spread, old_slot, old_time = self._previous.get(
            symbol, (mantissa, confidence, slot - 1, now - 1)
        )
        self._previous[symbol] = (mantissa, confidence, slot, now)
        return pyth.PRICE_V2.pack(
            version=2,
            type=pyth.V2_TYPE_PRICE,
            size=pyth.PRICE_V2.length,
            exponent=exponent,
            publishers=20,
            last_slot=slot,
            valid_slot=slot,
            ema=mantissa,
            timestamp=now,
            product=bytes(demo_key("product", symbol)),
            previous_slot=old_slot,
            previous_price=price,
            previous_confidence=spread,
            previous_timestamp=old_time,
            price=mantissa,
            confidence=confidence,
            status=pyth.V2_STATUS_TRADING,
            publish_slot=slot,
        )
