"""Raydium AMM v4 pools of the demo market."""

from __future__ import annotations

from solders.keypair import Keypair

from portfolio_platform.localnet.chain import Chain
from portfolio_platform.localnet.ledger import Ledger
from portfolio_platform.localnet.tokens import DemoToken, demo_key, demo_keypair
from portfolio_platform.localnet.venues import DemoPool, Fill, PoolSpec
from portfolio_platform.solana.layouts import key_bytes, programs, raydium_amm

_STATUS_SWAP_ON = 6
_DENOMINATOR = 10_000
# Share of each fee that is set aside for the protocol until it is collected, in percent.
_PNL_PERCENT = 12


class AmmV4Pool(DemoPool):
    """Constant product on two vaults, less what is set aside for the protocol."""

    program = programs.RAYDIUM_AMM_V4

    def __init__(
        self, spec: PoolSpec, chain: Chain, ledger: Ledger, prices: dict[str, float]
    ) -> None:
        super().__init__(spec, chain, ledger)
        value = spec.depth * 100
        self.reserve_a = int(value / prices[self.token_a.symbol] * self.token_a.unit)
        self.reserve_b = int(value / prices[self.token_b.symbol] * self.token_b.unit)
        self.pnl_a = self.reserve_a // 40_000
        self.pnl_b = self.reserve_b // 40_000
        owner = self.authority_key
        self._fixed_bytes = self._fixed()
        ledger.create_account(self.vault_a, self.token_a.mint, owner, self.reserve_a + self.pnl_a)
        ledger.create_account(self.vault_b, self.token_b.mint, owner, self.reserve_b + self.pnl_b)

    def _ordered(self, base: DemoToken, quote: DemoToken) -> tuple[DemoToken, DemoToken]:
        return base, quote

    @property
    def authority(self) -> Keypair:
        """One authority owns the vaults of every AMM v4 pool, as on mainnet."""
        return demo_keypair("amm v4 authority")

    @property
    def price(self) -> float:
        return self.reserve_b / self.reserve_a

    def move_to(self, price: float) -> Fill | None:
        product = self.reserve_a * self.reserve_b
        wanted_a = int((product / price) ** 0.5)
        a_to_b = wanted_a > self.reserve_a
        net = wanted_a - self.reserve_a
        if not a_to_b:
            net = product // wanted_a - self.reserve_b
        gross = -(-net * 1_000_000 // (1_000_000 - self.spec.fee_ppm))
        if gross <= 0:
            return None
        mint_in = self.token_a.mint if a_to_b else self.token_b.mint
        out = self.quote(mint_in, gross)
        if out <= 0:
            return None
        return Fill(a_to_b, gross, out, self._apply(a_to_b, gross, out))

    def _fee(self, amount_in: int) -> int:
        numerator = self.spec.fee_ppm // 100
        return -(-amount_in * numerator // _DENOMINATOR)

    def quote(self, mint_in: str, amount_in: int) -> int:
        net = amount_in - self._fee(amount_in)
        if mint_in == self.token_a.mint:
            return net * self.reserve_b // (self.reserve_a + net)
        return net * self.reserve_a // (self.reserve_b + net)

    def settle(self, mint_in: str, amount_in: int, amount_out: int) -> None:
        self._apply(mint_in == self.token_a.mint, amount_in, amount_out)

    def _apply(self, a_to_b: bool, amount_in: int, amount_out: int) -> int:
        fee = self._fee(amount_in)
        aside = fee * _PNL_PERCENT // 100
        if a_to_b:
            self.pnl_a += aside
            self.reserve_a += amount_in - aside
            self.reserve_b -= amount_out
        else:
            self.pnl_b += aside
            self.reserve_b += amount_in - aside
            self.reserve_a -= amount_out
        self.publish()
        return fee

    def _publish(self) -> None:
        data = raydium_amm.POOL.patch(
            self._fixed_bytes, need_take_pnl_base=self.pnl_a, need_take_pnl_quote=self.pnl_b
        )
        self.chain.write(self.address, self.program, data)

    def _fixed(self) -> bytes:
        """Pool bytes with the fields that never change."""
        numerator = self.spec.fee_ppm // 100
        name = self.spec.name
        return raydium_amm.POOL.pack(
            status=_STATUS_SWAP_ON,
            nonce=254,
            base_decimals=self.token_a.decimals,
            quote_decimals=self.token_b.decimals,
            trade_fee_numerator=numerator,
            trade_fee_denominator=_DENOMINATOR,
            swap_fee_numerator=numerator,
            swap_fee_denominator=_DENOMINATOR,
            base_vault=key_bytes(self.vault_a),
            quote_vault=key_bytes(self.vault_b),
            base_mint=key_bytes(self.token_a.mint),
            quote_mint=key_bytes(self.token_b.mint),
            lp_mint=bytes(demo_key("lp mint", name)),
            open_orders=bytes(demo_key("open orders", name)),
            market=bytes(demo_key("market", name)),
        )
