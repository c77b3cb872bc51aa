"""The demo chain: account bytes that agree with the market and with each other."""

import itertools
from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_platform.amm import ConcentratedPool as AmmConcentrated
from portfolio_platform.localnet.chain import Chain
from portfolio_platform.localnet.concentrated import ConcentratedPool
from portfolio_platform.localnet.constant_product import AmmV4Pool
from portfolio_platform.localnet.demo import DemoChain
from portfolio_platform.localnet.lending import KAMINO_RESERVE, MARGINFI_BANK, STAKE_POOL
from portfolio_platform.localnet.market import Market
from portfolio_platform.localnet.tokens import SOL_MINT
from portfolio_platform.localnet.venues import DemoPool
from portfolio_platform.solana.layouts import key_text, lending, programs, pyth
from portfolio_platform.solana.layouts import stake_pool as stake_layout
from portfolio_platform.solana.layouts.addresses import (
    raydium_arrays_around,
    whirlpool_arrays_around,
)
from portfolio_platform.solana.layouts.raydium_amm import POOL as V4
from portfolio_platform.solana.layouts.raydium_clmm import CONFIG
from portfolio_platform.solana.layouts.raydium_clmm import POOL as CLMM
from portfolio_platform.solana.layouts.raydium_clmm import TICK_ARRAY as CLMM_TICKS
from portfolio_platform.solana.layouts.spl_token import MINT, TOKEN_ACCOUNT
from portfolio_platform.solana.layouts.whirlpool import POOL as WHIRLPOOL
from portfolio_platform.solana.layouts.whirlpool import TICK_ARRAY as WHIRLPOOL_TICKS

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


def fresh(seed: int = 7, past: int = 600) -> DemoChain:
    return DemoChain(Market(seed, 30, NOW), past_seconds=past)


def snapshot(chain: Chain) -> dict[str, bytes]:
    return {address: chain.data(address) for address in chain.addresses()}


def from_bytes(pool: ConcentratedPool) -> AmmConcentrated:
    """The pool as a reader rebuilds it: nothing but account bytes."""
    data, chain = pool.chain.data(pool.address), pool.chain
    if pool.program == programs.ORCA_WHIRLPOOL:
        row, names = WHIRLPOOL.unpack(data), ("mint_a", "mint_b")
        arrays = whirlpool_arrays_around(pool.address, row["tick_current"], row["tick_spacing"])
        fee, layout, table = row["fee_rate"], WHIRLPOOL_TICKS, "whirlpool"
    else:
        row, names = CLMM.unpack(data), ("mint_0", "mint_1")
        arrays = raydium_arrays_around(pool.address, row["tick_current"], row["tick_spacing"])
        fee = CONFIG.unpack(chain.data(key_text(row["config"])))["trade_fee_rate"]
        layout, table = CLMM_TICKS, "raydium_clmm"
    nets = {}
    for start, address in arrays.items():
        array = layout.unpack(chain.data(address))
        assert array["start_tick"] == start
        for k, tick in enumerate(array["ticks"]):
            if tick["liquidity_gross"]:
                nets[start + k * row["tick_spacing"]] = tick["liquidity_net"]
    return AmmConcentrated.of(
        address=pool.address,
        mint_a=key_text(row[names[0]]),
        mint_b=key_text(row[names[1]]),
        program=table,
        sqrt_price=row["sqrt_price"],
        tick=row["tick_current"],
        liquidity=row["liquidity"],
        fee_ppm=fee,
        tick_spacing=row["tick_spacing"],
        liquidity_net=nets,
        array_starts=tuple(arrays),
    )


def test_equal_seeds_give_equal_bytes_and_transactions() -> None:
    one, two, other = fresh(), fresh(), fresh(8)
    for demo in (one, two):
        demo.advance(90)
        demo.advance(slots=7)
    assert snapshot(one.chain) == snapshot(two.chain)
    assert list(one.log.by_signature) == list(two.log.by_signature)
    last = next(reversed(one.log.by_signature))
    assert one.log.by_signature[last].render("json") == two.log.by_signature[last].render("json")
    assert set(one.log.by_signature) != set(other.log.by_signature)


@settings(max_examples=4, deadline=None)
@given(st.lists(st.floats(0.4, 40_000), min_size=1, max_size=4), st.integers(0, 10_000))
def test_pools_follow_the_market_within_their_fee(steps: list[float], seed: int) -> None:
    demo = fresh(seed)
    for seconds in steps:
        demo.advance(seconds)
    prices = demo.market.prices()
    for pool in demo.pools:
        off = abs(pool.price / pool.raw_price(prices) - 1)
        assert off < max(pool.spec.fee_ppm, 400) * 1.2e-6, pool.spec.name


def test_every_token_has_a_pool_against_the_hub_and_some_have_two(demo: DemoChain) -> None:
    against_hub = {p.spec.base for p in demo.pools if p.spec.quote == "USDC"}
    assert against_hub == {t.symbol for t in demo.market.tokens if not t.stable}
    bases = [p.spec.base for p in demo.pools]
    assert sum(bases.count(base) >= 2 for base in set(bases)) >= 5
    assert {type(p).__name__ for p in demo.pools} == {
        "WhirlpoolPool",
        "RaydiumClmmPool",
        "AmmV4Pool",
    }


def test_supply_is_conserved_per_mint(demo: DemoChain) -> None:
    demo.advance(3600)
    held: dict[str, int] = {}
    for _, account in demo.chain.owned_by(programs.SPL_TOKEN):
        data = bytes(account.data)
        if len(data) == TOKEN_ACCOUNT.length:
            row = TOKEN_ACCOUNT.unpack(data)
            mint = key_text(row["mint"])
            held[mint] = held.get(mint, 0) + row["amount"]
            if mint == SOL_MINT:
                assert account.lamports == row["native_rent"] + row["amount"]
    for token in demo.market.tokens:
        mint = MINT.unpack(demo.chain.data(token.mint))
        assert mint["decimals"] == token.decimals
        if token.mint != SOL_MINT:
            assert held[token.mint] == mint["supply"] == token.supply * token.unit


def concentrated(demo: DemoChain) -> list[ConcentratedPool]:
    return [pool for pool in demo.pools if isinstance(pool, ConcentratedPool)]


def test_vaults_cover_what_the_positions_are_worth(demo: DemoChain) -> None:
    for _ in range(3):
        demo.advance(7200)
        for pool in concentrated(demo):
            worth = pool.position_amounts()
            vaults = demo.ledger.balance(pool.vault_a), demo.ledger.balance(pool.vault_b)
            for need, held in zip(worth, vaults, strict=True):
                assert need <= held < need * 1.05, pool.spec.name


def test_amm_v4_vaults_hold_reserves_and_what_is_set_aside(demo: DemoChain) -> None:
    demo.advance(7200)
    for pool in demo.pools:
        if isinstance(pool, AmmV4Pool):
            row = V4.unpack(demo.chain.data(pool.address))
            base, quote = demo.ledger.balance(pool.vault_a), demo.ledger.balance(pool.vault_b)
            assert base - row["need_take_pnl_base"] == pool.reserve_a
            assert quote - row["need_take_pnl_quote"] == pool.reserve_b
            assert row["need_take_pnl_base"] > 0
            assert row["need_take_pnl_quote"] > 0


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10), st.booleans(), st.integers(1, 10**6))
def test_bytes_alone_price_a_trade_as_the_pool_does(which: int, sell_a: bool, size: int) -> None:
    pools = concentrated(SHARED)
    pool = pools[which % len(pools)]
    read = from_bytes(pool)
    token = pool.token_a if sell_a else pool.token_b
    vault = pool.vault_a if sell_a else pool.vault_b
    amount = max(1, SHARED.ledger.balance(vault) * size // 10**8)
    if not read.quote_exact_in(token.mint, amount).amount_out:
        return
    assert read.quote_exact_in(token.mint, amount).amount_out == pool.quote(token.mint, amount)
    assert float(read.spot_price()) == pytest.approx(pool.price, rel=1e-12)


SHARED = fresh(11, past=1200)


@pytest.mark.parametrize("index", range(len(SHARED.pools)))
def test_depth_is_what_the_pool_promises(index: int) -> None:
    pool: DemoPool = SHARED.pools[index]
    prices = SHARED.market.prices()
    token = pool.token_b
    amount = int(pool.spec.depth / 2 / prices[token.symbol] * token.unit)
    out = pool.quote(token.mint, amount)
    got = Fraction(out, amount) * Fraction(pool.price)
    # Half of what moves the price by one percent costs a quarter of a percent, plus the fee.
    assert 0.0015 < 1 - float(got) - pool.spec.fee_ppm * 1e-6 < 0.006


def test_weeks_of_trading_crosses_ticks_and_stays_readable() -> None:
    demo = fresh(3)
    before = {pool.address: pool.liquidity for pool in concentrated(demo)}
    for _ in range(6):
        demo.advance(7 * 86_400)
    after = {pool.address: pool.liquidity for pool in concentrated(demo)}
    assert before != after
    for pool in concentrated(demo):
        read = from_bytes(pool)
        assert read.liquidity == pool.liquidity > 0
        ticks = pool.initialized_ticks().items()
        assert sum(net for tick, (net, _) in ticks if tick <= pool.tick) == pool.liquidity
        read.quote_exact_in(pool.token_a.mint, demo.ledger.balance(pool.vault_a) // 10_000 + 1000)


def test_oracles_show_the_market_and_their_age_moves_with_the_clock(demo: DemoChain) -> None:
    for step in (0, 45):
        demo.advance(step, slots=step * 2)
        for symbol, address in demo.oracles.accounts.items():
            data, market = demo.chain.data(address), demo.market.price(symbol)
            if data.startswith(pyth.V2_MAGIC):
                row = pyth.PRICE_V2.unpack(data)
                assert row["status"] == pyth.V2_STATUS_TRADING
                published, slot = row["timestamp"], row["publish_slot"]
            else:
                row = pyth.PRICE_UPDATE_V2.unpack(data)
                assert row["verification"] == pyth.VERIFICATION_FULL
                published, slot = row["publish_time"], row["posted_slot"]
            price = row["price"] * 10.0 ** row["exponent"]
            spread = row["confidence"] * 10.0 ** row["exponent"]
            assert abs(price - market) < 2 * spread < 0.01 * market
            assert 0 <= demo.market.clock - published < 3
            assert 0 <= demo.chain.slot - slot < 3


def test_lending_reserves_and_their_vaults_agree(demo: DemoChain) -> None:
    seen = set()
    for _ in range(4):
        demo.advance(20_000)
        kamino = lending.KAMINO_RESERVE.unpack(demo.chain.data(KAMINO_RESERVE))
        borrowed = kamino["borrowed_sf"] / lending.SCALED_FRACTION_ONE
        used = borrowed / (borrowed + kamino["available"])
        assert 0.6 < used < 0.95
        assert demo.ledger.balance(key_text(kamino["supply_vault"])) == kamino["available"]
        bank = lending.MARGINFI_BANK.unpack(demo.chain.data(MARGINFI_BANK))
        one = lending.I80F48_ONE
        assets = bank["total_asset_shares"] * bank["asset_share_value"] / one**2
        owed = bank["total_liability_shares"] * bank["liability_share_value"] / one**2
        assert 0.5 < owed / assets < 0.9
        vault = demo.ledger.balance(key_text(bank["liquidity_vault"]))
        assert vault == pytest.approx(assets - owed, rel=1e-6)
        seen.add(round(used, 6))
    assert len(seen) == 4


def test_the_stake_pool_rate_moves_once_per_epoch(demo: DemoChain) -> None:
    address = STAKE_POOL
    rates, epochs = [], []
    for _ in range(6):
        demo.advance(86_400)
        row = stake_layout.STAKE_POOL.unpack(demo.chain.data(address))
        rates.append(row["total_lamports"] / row["pool_token_supply"])
        epochs.append(row["last_update_epoch"])
        assert row["last_update_epoch"] == demo.chain.epoch
    assert rates == sorted(rates)
    assert [a < b for a, b in itertools.pairwise(rates)] == [
        a < b for a, b in itertools.pairwise(epochs)
    ]
    assert rates[-1] == pytest.approx(1.2137, rel=0.01)


def test_slots_time_and_skipped_slots(demo: DemoChain) -> None:
    chain = demo.chain
    slot, time = chain.slot, chain.time_ms
    demo.advance(slots=10)
    assert (chain.slot, chain.time_ms) == (slot + 10, time + 4000)
    demo.advance(seconds=60)
    assert (chain.slot, chain.time_ms) == (slot + 160, time + 64_000)
    assert chain.time_of(slot + 5) == time + 2000
    assert chain.time_of(chain.slot + 1) is None
    skipped = [s for s in range(slot, chain.slot) if chain.skipped(s)]
    assert skipped
    assert not any(record.slot in set(skipped) for record in demo.log.by_signature.values())
    with pytest.raises(ValueError, match="forward"):
        chain.tick(-1, 0)
