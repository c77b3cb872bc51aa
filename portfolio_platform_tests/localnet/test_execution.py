"""Executing trades: real token transfers, and pools that move as their programs would."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from portfolio_platform.localnet.execution import ExecuteRequest, ExecutionRefused, Step, execute
from portfolio_platform.localnet.node import Node
from portfolio_platform.localnet.server import LocalnetOptions, build_node
from portfolio_platform.localnet.tokens import SOL_MINT, USDC_MINT
from portfolio_platform.localnet.venues import DemoPool
from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.layouts.addresses import associated_token_account
from portfolio_platform_tests.localnet.conftest import accounts_of

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def shared() -> Node:
    return build_node(LocalnetOptions(now=NOW, days=30))


@pytest.fixture
def node(shared: Node) -> Iterator[Node]:
    yield shared
    # Back to the market's prices, so that tests do not see each other's trades.
    shared.advance(seconds=60)


def pool_of(node: Node, name: str) -> DemoPool:
    assert node.demo is not None
    return next(pool for pool in node.demo.pools if pool.spec.name == name)


def holding(node: Node, mint: str) -> int:
    """Base units of the wallet; SOL is native."""
    assert node.demo is not None
    wallet = str(node.demo.wallet.pubkey())
    if mint == SOL_MINT:
        account = node.chain.read(wallet)
        assert account is not None
        return account.lamports
    address = associated_token_account(wallet, mint)
    return 0 if node.chain.read(address) is None else node.demo.ledger.balance(address)


def run(node: Node, pool: DemoPool, mint_in: str, amount: int, **more: Any) -> dict[str, Any]:
    step = Step(pool=pool.address, mint_in=mint_in, amount_in=amount, **more)
    return execute(node, ExecuteRequest(steps=[step]))["steps"][0]


NAMES = [
    "whirlpool:SOL/USDC",
    "raydium_clmm:BONK/USDC",
    "raydium_amm_v4:RAY/USDC",
    "whirlpool:NOVA/USDC",
    "raydium_clmm:WIF/USDC",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_purchase_moves_wallet_vaults_and_price(node: Node, name: str) -> None:
    pool = pool_of(node, name)
    demo = node.demo
    assert demo is not None
    bought = pool.token_a if pool.token_b.mint == USDC_MINT else pool.token_b
    vaults = {
        pool.token_a.mint: (pool.vault_a, demo.ledger.balance(pool.vault_a)),
        pool.token_b.mint: (pool.vault_b, demo.ledger.balance(pool.vault_b)),
    }
    before = holding(node, USDC_MINT), holding(node, bought.mint)
    value = pool.price if pool.token_b.mint == USDC_MINT else 1 / pool.price
    quoted = pool.quote(USDC_MINT, 1_000 * 10**6)
    slot = node.chain.slot
    step = run(node, pool, USDC_MINT, 1_000 * 10**6, amount_out=quoted)
    assert step["amount_out"] == str(quoted)
    assert step["slot"] == node.chain.slot == slot + 1
    assert holding(node, USDC_MINT) == before[0] - 1_000 * 10**6
    rent = 2_039_280
    gained = holding(node, bought.mint) - before[1]
    if bought.mint == SOL_MINT:
        assert gained == quoted - step["fee_lamports"]
    else:
        assert gained == quoted
    address, held = vaults[USDC_MINT]
    assert demo.ledger.balance(address) == held + 1_000 * 10**6
    address, held = vaults[bought.mint]
    assert demo.ledger.balance(address) == held - quoted
    after = pool.price if pool.token_b.mint == USDC_MINT else 1 / pool.price
    assert value < after < value * 1.05
    assert node.chain.rent(165) == rent
    record = node.log.by_signature[step["signature"]]
    assert record.error is None
    assert pool.vault_a in record.addresses
    assert record.logs().count(f"Program {programs.SPL_TOKEN} success") >= 2


def test_native_sol_is_sold_and_bought(node: Node) -> None:
    pool = pool_of(node, "whirlpool:SOL/USDC")
    lamports, usdc = holding(node, SOL_MINT), holding(node, USDC_MINT)
    sold = run(node, pool, SOL_MINT, 3 * 10**9)
    assert holding(node, SOL_MINT) == lamports - 3 * 10**9 - sold["fee_lamports"]
    assert holding(node, USDC_MINT) == usdc + int(sold["amount_out"])
    wrapped = associated_token_account(str(node.demo.wallet.pubkey()), SOL_MINT)  # type: ignore[union-attr]
    assert node.chain.read(wrapped) is None
    assert wrapped not in {key for key, _ in node.chain.owned_by(programs.SPL_TOKEN)}


@settings(max_examples=12, deadline=None)
@given(st.sampled_from(NAMES), st.integers(10**6, 5 * 10**9))
def test_there_and_back_never_gains(name: str, amount: int) -> None:
    pool = pool_of(BACK_AND_FORTH, name)
    other = pool.token_a if pool.token_b.mint == USDC_MINT else pool.token_b
    out = run(BACK_AND_FORTH, pool, USDC_MINT, amount)
    # A fee of the wallet's own lamports is paid beside the trade.
    back = run(BACK_AND_FORTH, pool, other.mint, int(out["amount_out"]))
    assert int(back["amount_out"]) < amount
    assert int(back["amount_out"]) > amount * 0.97


BACK_AND_FORTH = build_node(LocalnetOptions(now=NOW, days=20, seed=5))


def test_the_price_returns_to_the_market(node: Node) -> None:
    pool = pool_of(node, "whirlpool:NOVA/USDC")
    assert node.demo is not None
    run(node, pool, USDC_MINT, 4_000 * 10**6)
    node.advance(seconds=30)
    fair = pool.raw_price(node.demo.market.prices())
    assert pool.price == pytest.approx(fair, rel=pool.spec.fee_ppm * 1e-6)


def test_slippage_is_refused_or_paid_down_to_the_minimum(node: Node) -> None:
    pool = pool_of(node, "raydium_amm_v4:RAY/USDC")
    quoted = pool.quote(USDC_MINT, 10**9)
    held = holding(node, USDC_MINT)
    with pytest.raises(ExecutionRefused) as caught:
        run(node, pool, USDC_MINT, 10**9, amount_out=quoted + 1)
    assert caught.value.reason == "slippage"
    assert holding(node, USDC_MINT) == held
    step = run(node, pool, USDC_MINT, 10**9, amount_out=quoted + 1, min_out=quoted)
    assert step["amount_out"] == str(quoted)


def test_steps_run_all_or_not_at_all(node: Node) -> None:
    pool = pool_of(node, "whirlpool:SOL/USDC")
    ray = pool_of(node, "raydium_amm_v4:RAY/USDC")
    good = Step(pool=pool.address, mint_in=USDC_MINT, amount_in=10**8)
    cases = {
        "unknown_pool": good.model_copy(update={"pool": USDC_MINT}),
        "unknown_mint": good.model_copy(update={"mint_in": pool.address}),
        "dust": Step(pool=ray.address, mint_in=USDC_MINT, amount_in=1),
        "insufficient_funds": good.model_copy(update={"amount_in": 10**12}),
        # The first step has moved the price by then.
        "slippage": good.model_copy(update={"amount_out": pool.quote(USDC_MINT, 10**8)}),
    }

    def state() -> tuple[object, ...]:
        shown = [node.chain.data(p) for p in (pool.address, pool.vault_a, ray.address)]
        return holding(node, USDC_MINT), node.chain.slot, pool.price, *shown

    before = state()
    for reason, bad in cases.items():
        with pytest.raises(ExecutionRefused) as caught:
            execute(node, ExecuteRequest(steps=[good, bad]))
        body = caught.value.body()
        assert (body["reason"], body["step"], body["applied"]) == (reason, 1, [])
        assert state() == before


def test_what_one_step_brings_the_next_may_spend(node: Node) -> None:
    pool = pool_of(node, "raydium_amm_v4:RAY/USDC")
    ray = pool.token_a.mint if pool.token_b.mint == USDC_MINT else pool.token_b.mint
    held = holding(node, ray)
    steps = [
        Step(pool=pool.address, mint_in=USDC_MINT, amount_in=10**8),
        Step(pool=pool.address, mint_in=ray, amount_in=held + pool.quote(USDC_MINT, 10**8)),
    ]
    assert len(execute(node, ExecuteRequest(steps=steps))["steps"]) == 2
    assert holding(node, ray) == 0


def test_a_failed_transfer_leaves_the_pool_alone(node: Node) -> None:
    pool = pool_of(node, "raydium_clmm:SOL/USDC")
    before = node.chain.data(pool.address), node.chain.data(pool.vault_a)
    with pytest.raises(ExecutionRefused):
        run(node, pool, USDC_MINT, 10**12)
    assert (node.chain.data(pool.address), node.chain.data(pool.vault_a)) == before


@pytest.mark.parametrize("amount", [0, -1, 2**64, "x"])
def test_impossible_amounts_are_refused(amount: Any) -> None:
    with pytest.raises(ValidationError):
        Step(pool=USDC_MINT, mint_in=USDC_MINT, amount_in=amount)


def test_over_http(http: httpx.Client, universe: dict[str, Any]) -> None:
    http.post("/advance", json={"slots": 1})
    pool = accounts_of(universe, "pool")[0]
    step = {"pool": pool, "mint_in": USDC_MINT, "amount_in": "100000000", "side": "buy"}
    done = http.post("/execute", json={"steps": [step]})
    assert done.status_code == 200
    assert int(done.json()["steps"][0]["amount_out"]) > 5 * 10**8
    refused = http.post("/execute", json={"steps": [{**step, "pool": USDC_MINT}]})
    assert (refused.status_code, refused.json()["reason"]) == (409, "unknown_pool")
    assert http.post("/execute", json={"steps": []}).status_code == 422
