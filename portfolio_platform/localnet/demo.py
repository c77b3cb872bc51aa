"""The demo chain: the market's tokens, pools, oracles, lending and wallet as accounts."""

from __future__ import annotations

from typing import Any

from solders.signature import Signature

from portfolio_platform.localnet.chain import SLOT_MS, Chain
from portfolio_platform.localnet.concentrated import RaydiumClmmPool, WhirlpoolPool
from portfolio_platform.localnet.constant_product import AmmV4Pool
from portfolio_platform.localnet.ledger import Ledger
from portfolio_platform.localnet.lending import (
    KAMINO_RESERVE,
    MARGINFI_BANK,
    STAKE_POOL,
    Lending,
    StakePool,
)
from portfolio_platform.localnet.market import Market
from portfolio_platform.localnet.noise import signature_bytes, symmetric, uniform
from portfolio_platform.localnet.oracles import Oracles
from portfolio_platform.localnet.records import MarketSwap, TokenBalance
from portfolio_platform.localnet.tokens import (
    JITOSOL_MINT,
    SOL_MINT,
    USDC_MINT,
    DemoToken,
    demo_keypair,
)
from portfolio_platform.localnet.transactions import TransactionLog
from portfolio_platform.localnet.venues import DEMO_POOLS, DemoPool, Fill, PoolSpec
from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.layouts.addresses import associated_token_account

GENESIS_SLOT = 440_000_000
PAST_SECONDS = 6 * 3600
_TRADERS = 8
_FAILED_SHARE = 0.03
_MAX_TRADES_PER_STEP = 60
# Whole tokens that the demo wallet holds; SOL is held natively.
WALLET_HOLDINGS = {
    "SOL": 320.0,
    "USDC": 14_500.0,
    "jitoSOL": 55.0,
    "JUP": 21_000.0,
    "BONK": 820_000_000.0,
    "ORCA": 2_400.0,
    "WIF": 3_100.0,
}
_POOL_CLASSES: dict[str, type[WhirlpoolPool] | type[RaydiumClmmPool] | type[AmmV4Pool]] = {
    "whirlpool": WhirlpoolPool,
    "raydium_clmm": RaydiumClmmPool,
    "raydium_amm_v4": AmmV4Pool,
}


class DemoChain:
    """A chain whose accounts follow the demo market.

    The chain is grown from `past_seconds` before the market's *now*, so that pools have trades
    and transactions when it opens.
    """

    def __init__(self, market: Market, past_seconds: int = PAST_SECONDS) -> None:
        self.market = market
        market.rewind(past_seconds)
        past_slots = past_seconds * 1000 // SLOT_MS
        self.chain = Chain(GENESIS_SLOT - past_slots, market.clock_ms)
        self.ledger = Ledger(self.chain)
        self.log = TransactionLog()
        self.trader_keys = [str(demo_keypair("trader", str(i)).pubkey()) for i in range(_TRADERS)]
        self._trader_accounts: dict[tuple[int, str], str] = {}
        self.wallet = demo_keypair("wallet")
        self._trades = 0
        prices = market.prices()
        self._open_tokens()
        self.pools = [self._open_pool(spec, prices) for spec in DEMO_POOLS]
        self.oracles = Oracles(self.chain, market)
        self.stake_pool = StakePool(self.chain, market)
        self.lending = Lending(self.chain, self.ledger, market, self.trader_keys[0])
        self._publish()
        for pool in self.pools:
            pool.publish()
        step = 600
        for _ in range(past_seconds // step):
            self.advance(step)
        self.chain.take_changed()
        self.log.take_fresh()

    def _open_tokens(self) -> None:
        mint_authority = demo_keypair("mint authority").pubkey()
        wallet = str(self.wallet.pubkey())
        for token in self.market.tokens:
            supply = token.supply * token.unit
            self.ledger.create_mint(token.mint, token.decimals, supply, mint_authority)
            held = round(WALLET_HOLDINGS.get(token.symbol, 0) * token.unit)
            if token.mint == SOL_MINT:
                self.chain.write(wallet, programs.SYSTEM, b"", held)
                held = 0
            elif held:
                self.ledger.create_associated(wallet, token.mint, held)
            share, rest = divmod(supply - held, _TRADERS)
            for i, trader in enumerate(self.trader_keys):
                amount = share + (rest if i == 0 else 0)
                self.ledger.create_associated(trader, token.mint, amount)
        for trader in self.trader_keys:
            self.chain.write(trader, programs.SYSTEM, b"", 100 * 10**9)

    def _open_pool(self, spec: PoolSpec, prices: dict[str, float]) -> DemoPool:
        pool = _POOL_CLASSES[spec.venue](spec, self.chain, self.ledger, prices)
        # What the vaults hold comes out of the traders' accounts: supply is conserved.
        for vault, token in ((pool.vault_a, pool.token_a), (pool.vault_b, pool.token_b)):
            amount = self.ledger.balance(vault)
            share, rest = divmod(amount, _TRADERS)
            for i in range(_TRADERS):
                self.ledger.add(self._trader_account(i, token), -share - (rest if i == 0 else 0))
        return pool

    def _trader_account(self, trader: int, token: DemoToken) -> str:
        found = self._trader_accounts.get((trader, token.mint))
        if found is None:
            found = associated_token_account(self.trader_keys[trader], token.mint)
            self._trader_accounts[trader, token.mint] = found
        return found

    def advance(self, seconds: float | None = None, slots: int | None = None) -> None:
        """Move clock, market and accounts forward (default: one slot).

        Where only one of the two is given, the other follows at 0.4 seconds per slot.
        """
        if seconds is None:
            seconds = (1 if slots is None else slots) * SLOT_MS / 1000
        if slots is None:
            slots = round(seconds * 1000 / SLOT_MS)
        start_ms, start_slot = self.market.clock_ms, self.chain.slot
        self.market.advance(seconds)
        self.chain.tick(slots, self.market.clock_ms - start_ms)
        for at_ms, index in self._schedule(start_ms, self.market.clock_ms):
            self._trade(self.pools[index], at_ms, start_slot, start_ms)
        self._publish()

    def pass_slot(self) -> None:
        """Move clock and oracles by one slot; pools stay as they are."""
        self.market.advance(SLOT_MS / 1000)
        self.chain.tick(1, SLOT_MS)
        self.oracles.publish()

    def _publish(self) -> None:
        self.oracles.publish()
        self.stake_pool.publish()
        self.lending.publish()

    def _schedule(self, start_ms: int, end_ms: int) -> list[tuple[int, int]]:
        events = []
        span, prices = end_ms - start_ms, self.market.prices()
        for index, pool in enumerate(self.pools):
            count = min(span // (pool.spec.trade_seconds * 1000), _MAX_TRADES_PER_STEP)
            for k in range(count):
                part = (k + uniform(self.market.seed, "when", index, start_ms, k)) / (count + 1)
                events.append((start_ms + int(span * part), index))
            chance = span / (pool.spec.trade_seconds * 1000)
            drawn = uniform(self.market.seed, "last", index, start_ms) < chance
            if span and (count or drawn or self._adrift(pool, prices)):
                events.append((end_ms, index))
        return sorted(events)

    @staticmethod
    def _adrift(pool: DemoPool, prices: dict[str, float]) -> bool:
        """Whether somebody would trade the pool back to the market after paying its fee."""
        away = abs(pool.price / pool.raw_price(prices) - 1)
        return away > pool.spec.fee_ppm * 0.8e-6

    def _trade(self, pool: DemoPool, at_ms: int, start_slot: int, start_ms: int) -> None:
        seed, name = self.market.seed, pool.spec.name
        at = at_ms / 1000
        legs = {
            token.symbol: self.market.price(token.symbol, at)
            for token in (pool.token_a, pool.token_b)
        }
        noise = symmetric(seed, "pool", name, at_ms) * min(pool.spec.fee_ppm, 3000) * 0.8e-6
        fill = pool.move_to(pool.raw_price(legs) * (1 + noise))
        if fill is None:
            return
        slot = self._slot_at(at_ms, start_slot, start_ms)
        number = self._trades = self._trades + 1
        if uniform(seed, "fails", number) < _FAILED_SHARE:
            self._record(pool, fill, slot, f"{number}f", failed=True)
        self._record(pool, fill, slot, str(number), failed=False)

    def _slot_at(self, at_ms: int, start_slot: int, start_ms: int) -> int:
        span = self.market.clock_ms - start_ms
        slot = start_slot + (self.chain.slot - start_slot) * (at_ms - start_ms) // max(span, 1)
        return slot - 1 if self.chain.skipped(slot) else slot

    def _record(self, pool: DemoPool, fill: Fill, slot: int, name: str, *, failed: bool) -> None:
        # Everything in a slot has the time of its block, also across the turn of a second.
        time_ms = self.chain.time_of(slot)
        if time_ms is None:
            raise ValueError(f"slot {slot} is outside the ledger of this chain")
        sold, bought = (pool.token_a, pool.token_b)[:: 1 if fill.a_to_b else -1]
        vault_in, vault_out = (pool.vault_a, pool.vault_b)[:: 1 if fill.a_to_b else -1]
        trader = int(uniform(self.market.seed, "trader", name) * _TRADERS)
        owner, authority = self.trader_keys[trader], pool.authority_key
        rows = (
            (self._trader_account(trader, sold), sold, owner, -fill.amount_in),
            (self._trader_account(trader, bought), bought, owner, fill.amount_out),
            (vault_in, sold, authority, fill.amount_in),
            (vault_out, bought, authority, -fill.amount_out),
        )
        balances = []
        for address, token, holder, delta in rows:
            before, after = self.ledger.add(address, 0 if failed else delta)
            balances.append(
                TokenBalance(address, token.mint, holder, token.decimals, before, after)
            )
        seed = self.market.seed
        self.log.add(
            MarketSwap(
                signature=str(Signature.from_bytes(signature_bytes("demo swap", seed, name))),
                slot=slot,
                time_ms=time_ms,
                program=pool.program,
                pool=pool.address,
                authority=authority,
                trader=owner,
                balances=(balances[0], balances[1], balances[2], balances[3]),
                amount_in=fill.amount_in,
                amount_out=fill.amount_out,
                error={"InstructionError": [1, {"Custom": 6036}]} if failed else None,
                version="legacy" if uniform(seed, "version", name) < 0.25 else 0,
            )
        )

    def universe(self) -> dict[str, Any]:
        """What this chain holds, in the format that `solana.universe` reads."""
        tokens = [
            {
                "mint": token.mint,
                "symbol": token.symbol,
                "name": token.name,
                "decimals": token.decimals,
                "stable": token.stable,
                "group": token.group,
                "history_symbol": token.history_symbol,
                "stake_pool": STAKE_POOL if token.staked_sol else None,
            }
            for token in self.market.tokens
        ]
        rows: list[tuple[str, str, str | None]] = [
            (token.mint, "mint", token.mint) for token in self.market.tokens
        ]
        rows += [(pool.address, "pool", None) for pool in self.pools]
        by_symbol = {token.symbol: token.mint for token in self.market.tokens}
        rows += [
            (address, "oracle", by_symbol[symbol])
            for symbol, address in self.oracles.accounts.items()
        ]
        rows += [(KAMINO_RESERVE, "reserve", USDC_MINT), (MARGINFI_BANK, "reserve", SOL_MINT)]
        rows.append((STAKE_POOL, "stake_pool", JITOSOL_MINT))
        rows.append((str(self.wallet.pubkey()), "wallet", None))
        return {
            "name": "demo",
            "hub": USDC_MINT,
            "tokens": tokens,
            "accounts": [{"pubkey": key, "role": role, "mint": mint} for key, role, mint in rows],
        }
