"""Concentrated pools of the demo market: positions, tick arrays and the two program layouts."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

from portfolio_platform.amm.concentrated import ConcentratedPool as AmmPool
from portfolio_platform.amm.ticks import TickTable, sqrt_price_at_tick, tick_at_sqrt_price
from portfolio_platform.localnet.chain import Chain
from portfolio_platform.localnet.ledger import Ledger
from portfolio_platform.localnet.ticks import Q64, align, amounts, to_sqrt
from portfolio_platform.localnet.tokens import demo_key
from portfolio_platform.localnet.venues import DemoPool, Fill, PoolSpec
from portfolio_platform.solana.layouts import key_bytes, programs, raydium_clmm, whirlpool
from portfolio_platform.solana.layouts.addresses import (
    array_start,
    raydium_tick_array,
    whirlpool_tick_array,
)

_NEAR_ARRAYS = 4
# Half-width of each position in ticks (None: the whole range) and its share of the liquidity.
_POSITIONS: tuple[tuple[int | None, float], ...] = ((1100, 0.55), (5200, 0.40), (None, 0.05))


@dataclass(frozen=True)
class Position:
    """Liquidity between two ticks, whose square-root prices are Q64.64."""

    lower: int
    upper: int
    liquidity: int
    lower_sqrt: int
    upper_sqrt: int


class ConcentratedPool(DemoPool):
    """Shared by both programs: liquidity positions around the starting price."""

    ticks_per_array: int
    table: TickTable

    def __init__(
        self, spec: PoolSpec, chain: Chain, ledger: Ledger, prices: dict[str, float]
    ) -> None:
        super().__init__(spec, chain, ledger)
        self.sqrt_price = to_sqrt(self.raw_price(prices))
        self.tick = tick_at_sqrt_price(self.table, self.sqrt_price)
        self.fee_growth = [0, 0]
        self.positions = self._open_positions(prices)
        self._published_arrays: set[int] = set()
        self._fixed_bytes = self._fixed()
        held_a, held_b = self.position_amounts()
        owner = self.authority_key
        for vault, token, held in (
            (self.vault_a, self.token_a, held_a),
            (self.vault_b, self.token_b, held_b),
        ):
            # A real vault holds uncollected fees on top of what the positions are worth.
            ledger.create_account(vault, token.mint, owner, held + held // 2000 + 1)

    @property
    def price(self) -> float:
        return (self.sqrt_price / Q64) ** 2

    @property
    def liquidity(self) -> int:
        """Liquidity of the positions that contain the current tick."""
        return sum(p.liquidity for p in self.positions if p.lower <= self.tick < p.upper)

    def _open_positions(self, prices: dict[str, float]) -> list[Position]:
        spacing = self.spec.tick_spacing
        target = self.spec.depth / prices[self.token_b.symbol] * self.token_b.unit
        total = target / ((1.01**0.5 - 1) * (self.sqrt_price / Q64))
        opened = []
        for half, share in _POSITIONS:
            if half is None:
                lower, upper = -self._widest(), self._widest()
            else:
                lower = align(self.tick - half, spacing)
                upper = align(self.tick + half + spacing, spacing)
            ends = (sqrt_price_at_tick(self.table, tick) for tick in (lower, upper))
            opened.append(Position(lower, upper, int(total * share), *ends))
        return opened

    def _widest(self) -> int:
        return align(443_636, self.spec.tick_spacing)

    def position_amounts(self) -> tuple[int, int]:
        """Token A and B that the positions hold at the current price."""
        total_a = total_b = 0
        for p in self.positions:
            total_a += amounts(p.liquidity, max(p.lower_sqrt, self.sqrt_price), p.upper_sqrt)[0]
            total_b += amounts(p.liquidity, p.lower_sqrt, min(p.upper_sqrt, self.sqrt_price))[1]
        return total_a, total_b

    def move_to(self, price: float) -> Fill | None:
        target = to_sqrt(price)
        low, high = sorted((target, self.sqrt_price))
        a = b = 0
        for p in self.positions:
            part = amounts(p.liquidity, max(low, p.lower_sqrt), min(high, p.upper_sqrt))
            a, b = a + part[0], b + part[1]
        a_to_b = target < self.sqrt_price
        net, out = (a, b) if a_to_b else (b, a)
        out -= len(self.positions)
        if net <= 0 or out <= 0:
            return None
        ppm = self.spec.fee_ppm
        fee = -(-net * ppm // (1_000_000 - ppm))
        self._charge(a_to_b, fee)
        self._set_price(target, tick_at_sqrt_price(self.table, target))
        return Fill(a_to_b, net + fee, out, fee)

    def _charge(self, a_to_b: bool, fee: int) -> None:
        side = 0 if a_to_b else 1
        growth = self.fee_growth[side] + (fee << 64) // self.liquidity
        self.fee_growth[side] = growth % (1 << 128)

    def _set_price(self, sqrt_price: int, tick: int) -> None:
        self.sqrt_price, self.tick = sqrt_price, tick
        self.publish()

    def _amm(self) -> AmmPool:
        return AmmPool.of(
            address=self.address,
            mint_a=self.token_a.mint,
            mint_b=self.token_b.mint,
            program=self.table,
            sqrt_price=self.sqrt_price,
            tick=self.tick,
            liquidity=self.liquidity,
            fee_ppm=self.spec.fee_ppm,
            tick_spacing=self.spec.tick_spacing,
            liquidity_net={tick: net for tick, (net, _) in self.initialized_ticks().items()},
        )

    def quote(self, mint_in: str, amount_in: int) -> int:
        return self._amm().quote_exact_in(mint_in, amount_in).amount_out

    def settle(self, mint_in: str, amount_in: int, amount_out: int) -> None:
        state = self._amm()
        quoted = state.quote_exact_in(mint_in, amount_in)
        after = state.after(quoted)
        self._charge(mint_in == self.token_a.mint, quoted.fee)
        self._set_price(after.sqrt_price, after.tick)

    def initialized_ticks(self) -> dict[int, tuple[int, int]]:
        """Tick -> (liquidity net, liquidity gross) of every boundary of a position."""
        found: dict[int, tuple[int, int]] = {}
        for p in self.positions:
            for tick, sign in ((p.lower, 1), (p.upper, -1)):
                net, gross = found.get(tick, (0, 0))
                found[tick] = (net + sign * p.liquidity, gross + p.liquidity)
        return found

    def _publish(self) -> None:
        self.chain.write(self.address, self.program, self._pool_bytes())
        spacing, span = self.spec.tick_spacing, self.spec.tick_spacing * self.ticks_per_array
        here = array_start(self.tick, spacing, self.ticks_per_array)
        wanted = {here + k * span for k in range(-_NEAR_ARRAYS, _NEAR_ARRAYS + 1)}
        if wanted <= self._published_arrays:
            return
        ticks = self.initialized_ticks()
        if not self._published_arrays:
            wanted |= {array_start(tick, spacing, self.ticks_per_array) for tick in ticks}
        for start in sorted(wanted - self._published_arrays):
            inside = {t: v for t, v in ticks.items() if start <= t < start + span}
            self._write_array(start, inside)
            self._published_arrays.add(start)

    @abstractmethod
    def _fixed(self) -> bytes:
        """Pool bytes with the fields that never change."""

    @abstractmethod
    def _pool_bytes(self) -> bytes: ...

    @abstractmethod
    def _write_array(self, start: int, ticks: dict[int, tuple[int, int]]) -> None: ...


class WhirlpoolPool(ConcentratedPool):
    """Orca Whirlpool with fixed tick arrays and a static fee."""

    program = programs.ORCA_WHIRLPOOL
    ticks_per_array = whirlpool.TICKS_PER_ARRAY
    table: TickTable = "whirlpool"

    def _fixed(self) -> bytes:
        return whirlpool.POOL.pack(
            config=bytes(demo_key("whirlpools config")),
            bump=255,
            tick_spacing=self.spec.tick_spacing,
            fee_tier_index=self.spec.tick_spacing,
            fee_rate=self.spec.fee_ppm,
            protocol_fee_rate=1300,
            mint_a=key_bytes(self.token_a.mint),
            vault_a=key_bytes(self.vault_a),
            mint_b=key_bytes(self.token_b.mint),
            vault_b=key_bytes(self.vault_b),
        )

    def _pool_bytes(self) -> bytes:
        return whirlpool.POOL.patch(
            self._fixed_bytes,
            liquidity=self.liquidity,
            sqrt_price=self.sqrt_price,
            tick_current=self.tick,
            fee_growth_global_a=self.fee_growth[0],
            fee_growth_global_b=self.fee_growth[1],
            reward_last_updated=self.chain.time_ms // 1000,
        )

    def _write_array(self, start: int, ticks: dict[int, tuple[int, int]]) -> None:
        rows: list[dict[str, Any]] = [{} for _ in range(self.ticks_per_array)]
        for tick, (net, gross) in ticks.items():
            rows[(tick - start) // self.spec.tick_spacing] = {
                "initialized": 1,
                "liquidity_net": net,
                "liquidity_gross": gross,
            }
        data = whirlpool.TICK_ARRAY.pack(
            start_tick=start, ticks=rows, whirlpool=key_bytes(self.address)
        )
        self.chain.write(whirlpool_tick_array(self.address, start), self.program, data)


class RaydiumClmmPool(ConcentratedPool):
    """Raydium CLMM with its configuration account, tick arrays and bitmap."""

    program = programs.RAYDIUM_CLMM
    ticks_per_array = raydium_clmm.TICKS_PER_ARRAY
    table: TickTable = "raydium_clmm"

    def _widest(self) -> int:
        # The bitmap in the pool account covers 512 arrays on each side of tick zero.
        reach = 511 * self.spec.tick_spacing * self.ticks_per_array
        return min(align(443_636, self.spec.tick_spacing), reach)

    @property
    def config(self) -> str:
        """Address of the configuration account that holds the fee."""
        return str(demo_key("clmm config", f"{self.spec.fee_ppm}/{self.spec.tick_spacing}"))

    def _publish(self) -> None:
        if not self._published_arrays:
            data = raydium_clmm.CONFIG.pack(
                bump=255,
                index=self.spec.tick_spacing,
                owner=bytes(demo_key("clmm admin")),
                protocol_fee_rate=120_000,
                trade_fee_rate=self.spec.fee_ppm,
                tick_spacing=self.spec.tick_spacing,
                fund_fee_rate=40_000,
                fund_owner=bytes(demo_key("clmm fund")),
            )
            self.chain.write(self.config, self.program, data)
        super()._publish()

    def _fixed(self) -> bytes:
        span = self.spec.tick_spacing * self.ticks_per_array
        bitmap = 0
        for tick in self.initialized_ticks():
            bitmap |= 1 << (tick // span + 512)
        return raydium_clmm.POOL.pack(
            bump=255,
            config=key_bytes(self.config),
            owner=bytes(demo_key("clmm admin")),
            mint_0=key_bytes(self.token_a.mint),
            mint_1=key_bytes(self.token_b.mint),
            vault_0=key_bytes(self.vault_a),
            vault_1=key_bytes(self.vault_b),
            observation=bytes(demo_key("observation", self.spec.name)),
            decimals_0=self.token_a.decimals,
            decimals_1=self.token_b.decimals,
            tick_spacing=self.spec.tick_spacing,
            tick_array_bitmap=[bitmap >> (64 * k) & (2**64 - 1) for k in range(16)],
        )

    def _pool_bytes(self) -> bytes:
        return raydium_clmm.POOL.patch(
            self._fixed_bytes,
            liquidity=self.liquidity,
            sqrt_price=self.sqrt_price,
            tick_current=self.tick,
            fee_growth_global_0=self.fee_growth[0],
            fee_growth_global_1=self.fee_growth[1],
        )

    def _write_array(self, start: int, ticks: dict[int, tuple[int, int]]) -> None:
        rows: list[dict[str, Any]] = [{} for _ in range(self.ticks_per_array)]
        for tick, (net, gross) in ticks.items():
            rows[(tick - start) // self.spec.tick_spacing] = {
                "tick": tick,
                "liquidity_net": net,
                "liquidity_gross": gross,
            }
        data = raydium_clmm.TICK_ARRAY.pack(
            pool=key_bytes(self.address),
            start_tick=start,
            ticks=rows,
            initialized_tick_count=len(ticks),
        )
        self.chain.write(raydium_tick_array(self.address, start), self.program, data)
