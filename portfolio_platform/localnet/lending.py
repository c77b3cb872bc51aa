"""Two lending reserves and a stake pool of the demo market."""

from __future__ import annotations

from math import exp, sin, tau

from portfolio_platform.localnet.chain import SLOTS_PER_EPOCH, Chain
from portfolio_platform.localnet.ledger import Ledger
from portfolio_platform.localnet.market import Market
from portfolio_platform.localnet.tokens import (
    BY_SYMBOL,
    JITOSOL_MINT,
    SOL_MINT,
    USDC_MINT,
    demo_key,
    demo_keypair,
)
from portfolio_platform.solana.layouts import key_bytes, lending, programs, stake_pool

KAMINO_RESERVE = str(demo_key("kamino reserve", "USDC"))
MARGINFI_BANK = str(demo_key("marginfi bank", "SOL"))
STAKE_POOL = str(demo_key("stake pool", "jitoSOL"))
_YEAR = 365 * 86_400

# (utilization, borrow rate) in basis points; Kamino stores eleven points.
_CURVE = [(0, 0), (1000, 80), (3000, 240), (5000, 400), (7000, 560), (8000, 640), (9000, 780)]
_CURVE += [(9300, 1400), (9500, 2600), (9800, 5200), (10000, 9000)]


class Lending:
    """A Kamino USDC reserve and a marginfi SOL bank whose utilization wanders."""

    def __init__(self, chain: Chain, ledger: Ledger, market: Market, counterparty: str) -> None:
        self.chain, self.ledger, self.market = chain, ledger, market
        self.counterparty = counterparty
        self.usdc_vault = str(demo_keypair("kamino vault").pubkey())
        self.sol_vault = str(demo_keypair("marginfi vault").pubkey())
        authority = str(demo_key("lending authority"))
        ledger.create_account(self.usdc_vault, USDC_MINT, authority)
        ledger.create_account(self.sol_vault, SOL_MINT, authority)

    def _utilization(self, mean: float, swing: float, period_days: float) -> float:
        phase = self.market.seed % 17 + self.market.clock / (period_days * 86_400)
        return mean + swing * sin(tau * phase) + swing / 3 * sin(tau * 7.3 * phase)

    def _growth(self, rate: float) -> float:
        return exp(rate * (self.market.clock - self.market.start) / _YEAR)

    def publish(self) -> None:
        """Write both reserves and move their vaults to the available liquidity."""
        self._kamino()
        self._marginfi()

    def _fill_vault(self, vault: str, mint: str, amount: int) -> None:
        from portfolio_platform.solana.layouts.addresses import associated_token_account

        other = associated_token_account(self.counterparty, mint)
        self.ledger.move(other, vault, amount - self.ledger.balance(vault))

    def _kamino(self) -> None:
        total = 185_000_000 * 10**6 * self._growth(0.045)
        borrowed = int(total * self._utilization(0.78, 0.06, 3.0))
        available = int(total) - borrowed
        self._fill_vault(self.usdc_vault, USDC_MINT, available)
        one = lending.SCALED_FRACTION_ONE
        data = lending.KAMINO_RESERVE.pack(
            version=1,
            update_slot=self.chain.slot,
            market=bytes(demo_key("kamino market")),
            mint=key_bytes(USDC_MINT),
            supply_vault=key_bytes(self.usdc_vault),
            fee_vault=bytes(demo_key("kamino fees")),
            available=available,
            borrowed_sf=borrowed * one,
            price_sf=int(self.market.price("USDC") * one),
            price_timestamp=int(self.market.clock) - 1,
            decimals=BY_SYMBOL["USDC"].decimals,
            protocol_take_rate_pct=10,
            borrow_rate_curve=[{"utilization_bps": u, "borrow_rate_bps": r} for u, r in _CURVE],
        )
        self.chain.write(KAMINO_RESERVE, programs.KAMINO_LEND, data)

    def _marginfi(self) -> None:
        one = lending.I80F48_ONE
        assets = 420_000 * 10**9
        asset_value, liability_value = self._growth(0.032), self._growth(0.058)
        used = self._utilization(0.71, 0.05, 2.2)
        borrowed = int(assets * asset_value * used)
        self._fill_vault(self.sol_vault, SOL_MINT, int(assets * asset_value) - borrowed)
        data = lending.MARGINFI_BANK.pack(
            mint=key_bytes(SOL_MINT),
            decimals=9,
            group=bytes(demo_key("marginfi group")),
            asset_share_value=int(asset_value * one),
            liability_share_value=int(liability_value * one),
            liquidity_vault=key_bytes(self.sol_vault),
            total_liability_shares=int(borrowed / liability_value) * one,
            total_asset_shares=assets * one,
            last_update=int(self.market.clock),
            optimal_utilization_rate=int(0.8 * one),
            plateau_interest_rate=int(0.10 * one),
            max_interest_rate=int(1.5 * one),
            insurance_ir_fee=int(0.05 * one),
            protocol_ir_fee=int(0.10 * one),
        )
        self.chain.write(MARGINFI_BANK, programs.MARGINFI, data)


class StakePool:
    """An SPL stake pool whose exchange rate is set once per epoch."""

    def __init__(self, chain: Chain, market: Market) -> None:
        self.chain, self.market = chain, market
        self._epoch: int | None = None

    def publish(self) -> None:
        """Write the pool if an epoch has begun since the last time."""
        if self._epoch == self.chain.epoch:
            return
        self._epoch = self.chain.epoch
        token = BY_SYMBOL["jitoSOL"]
        into_epoch = (self.chain.slot % SLOTS_PER_EPOCH) * 0.4
        supply = token.supply * token.unit
        rate = self.market.staking_rate(self.market.clock - into_epoch)
        data = stake_pool.STAKE_POOL.pack(
            account_type=stake_pool.ACCOUNT_TYPE_STAKE_POOL,
            manager=bytes(demo_key("stake pool manager")),
            reserve_stake=bytes(demo_key("stake pool reserve")),
            pool_mint=key_bytes(JITOSOL_MINT),
            manager_fee_account=bytes(demo_key("stake pool fees")),
            token_program=key_bytes(programs.SPL_TOKEN),
            total_lamports=int(supply * rate),
            pool_token_supply=supply,
            last_update_epoch=self.chain.epoch,
        )
        self.chain.write(STAKE_POOL, programs.SPL_STAKE_POOL, data)
