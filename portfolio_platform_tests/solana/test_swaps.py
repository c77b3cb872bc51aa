"""Swaps read from recorded transactions agree with the market of their hour."""

import copy
import json
import math
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_platform.solana.inspect import describe_file
from portfolio_platform.solana.layouts import programs
from portfolio_platform.solana.swap_bars import BarCounters, bars_from_swaps
from portfolio_platform.solana.swaps import PoolVaults, infer_swaps, pool_swap, swaps_of
from portfolio_platform.solana.transactions import (
    NotATransaction,
    Transaction,
    parse_transaction,
)

pytestmark = pytest.mark.real_data
FOLDER = "transactions/transactions_txparser"


def raw(real_data: Path, name: str) -> Any:
    return json.loads((real_data / FOLDER / f"{name}.json").read_text())


def read(real_data: Path, name: str) -> Transaction:
    return parse_transaction(raw(real_data, name))


def okx_pool(transaction: Transaction) -> PoolVaults:
    """The SOL/USDC pool of the OKX route, whose vaults have different owners."""
    sol = next(one for one in transaction.tokens.values() if one.delta == -1_154_100_000)
    usdc = next(one for one in transaction.tokens.values() if one.delta == 249_243_111)
    assert sol.owner != usdc.owner
    return PoolVaults("pool", sol.account, usdc.account, sol.mint, usdc.mint, 9, 6, fee_rate=0.0001)


def test_vaults_with_different_owners_still_make_one_swap(real_data: Path) -> None:
    transaction = read(real_data, "OKXDEX_commissionSplProxySwap")
    swap = pool_swap(transaction, okx_pool(transaction))
    assert swap is not None
    assert swap.price == pytest.approx(215.963, abs=5e-4)
    assert (swap.amount_in, swap.amount_out) == (249_243_111, 1_154_100_000)
    assert swap.mint_in == programs.USDC
    assert swap.fee == pytest.approx(0.0249243, abs=1e-6)
    assert swap.slot == transaction.slot == 301807437


def test_sol_as_an_intermediate_hop_is_seen(real_data: Path) -> None:
    swaps = infer_swaps(read(real_data, "jupiterAggregatorV6_sharedAccountsRoute_1"))
    moved = {(one.mint_in[:4], one.mint_out[:4]): one for one in swaps}
    assert len(swaps) == 4
    ore, ore_sol = moved["EPjF", "oreo"], moved["So11", "oreo"]
    w, w_sol = moved["EPjF", "85VB"], moved["85VB", "So11"]
    assert ore.price is not None
    assert ore_sol.price is not None
    assert ore.price / ore_sol.price == pytest.approx(138.286, abs=5e-4)
    assert w.price == pytest.approx(0.63159, abs=5e-6)
    assert 80 / w_sol.amount_out * 1e9 == pytest.approx(137.732, abs=5e-4)


def test_native_sol_of_a_curve_is_read_from_its_lamports(real_data: Path) -> None:
    (swap,) = infer_swaps(read(real_data, "pumpfun_sell_0"))
    assert swap.mint_out == programs.WRAPPED_SOL
    # The seller receives 37.052874564 SOL after the program's 1 % and the network fee.
    assert swap.amount_out * 0.99 == pytest.approx(37.052874564e9, rel=5e-4)
    assert swap.amount_in == 592_443_959 * 10**6


def test_the_trader_s_lamports_are_not_the_price(real_data: Path) -> None:
    (swap,) = infer_swaps(read(real_data, "jupiterAggregatorV6_Route_1"))
    assert swap.amount_in == 400_000_000
    transaction = read(real_data, "jupiterAggregatorV6_Route_1")
    before, after = transaction.lamports[next(iter(transaction.signers))]
    assert before - after == 402_054_195


@pytest.mark.parametrize(
    "name",
    [
        "token_transfer_0",
        "transferChecked_0",
        "jupiterDca_CloseDca_0",
        "jupiterDca_openDcaV2_0",
        "jupiterDca_endAndClose_0",
    ],
)
def test_transfers_and_order_books_are_no_swaps(real_data: Path, name: str) -> None:
    assert infer_swaps(read(real_data, name)) == []


def test_every_recorded_transaction_is_read(real_data: Path) -> None:
    versions = []
    for path in sorted((real_data / FOLDER).glob("*.json")):
        shown = describe_file(path)
        if path.stem == "broken_data_0":
            assert "not a transaction" in shown["refused"]
            continue
        versions.append(shown["values"]["version"])
        assert shown["kind"] == "transaction"
    assert versions.count("0") == 18
    assert versions.count("legacy") == 6


def test_metadata_alone_is_not_a_transaction(real_data: Path) -> None:
    for path in (real_data / "transactions/transactions_carbon").glob("*.json"):
        assert "not a transaction" in describe_file(path)["refused"]


def test_other_replies_are_told_apart(real_data: Path) -> None:
    folder = real_data / "accounts/rpc_solders"
    block = describe_file(folder / "get_block_json_encoding.json")
    assert block["kind"] == "block"
    assert block["values"]["transactions_read"] == 25
    parsed = describe_file(folder / "get_block_json_parsed_encoding.json")
    assert parsed["values"]["transactions_read"] == 25
    encoded = describe_file(folder / "get_transaction_base64_encoding.json")
    assert "encoding=json" in encoded["refused"]
    assert "without an account" in describe_file(folder / "get_vote_accounts.json")["refused"]


def test_a_failed_transaction_is_kept_as_failed(real_data: Path) -> None:
    body = raw(real_data, "OKXDEX_commissionSplProxySwap")
    good = parse_transaction(body)
    pool = okx_pool(good)
    failed = copy.deepcopy(body[0])
    failed["meta"]["err"] = {"InstructionError": [3, {"Custom": 6001}]}
    failed["transaction"]["signatures"][0] = "5" * 87 + "4"
    transaction = parse_transaction(failed)
    swap = pool_swap(transaction, pool)
    assert swap is not None
    assert "6001" in (swap.failed or "")
    assert swap.price is None
    trades, failures = swaps_of([good, transaction, good], [pool])
    assert len(trades) == 1
    assert len(failures) == 1
    counters = BarCounters()
    (bar,) = bars_from_swaps([*trades, *failures, *trades], "1h", counters=counters)
    assert bar.trades == 1
    assert (counters.failed, counters.repeated) == (1, 1)
    assert 213.4 < bar.low <= bar.high < 222.1


@pytest.mark.parametrize(
    ("name", "mint", "perp"),
    [
        ("OKXDEX_commissionSplProxySwap", programs.WRAPPED_SOL, "SOLUSDT"),
        (
            "jupiterAggregatorV6_sharedAccountsRoute_1",
            "85VBFQZC9TZkfaptBWjvUw7YbZjy52A6mjtPGjstQAmQ",
            "WUSDT",
        ),
    ],
)
@pytest.mark.parametrize("interval", ["1m", "1h", "1d"])
def test_bars_lie_within_the_range_of_a_market_that_knows_nothing_of_the_pool(
    real_data: Path, name: str, mint: str, perp: str, interval: Any
) -> None:
    swaps = [
        one
        for one in infer_swaps(read(real_data, name))
        if {one.mint_in, one.mint_out} == {mint, programs.USDC}
    ]
    (bar,) = bars_from_swaps(swaps, interval)
    days = pd.read_parquet(
        real_data / "market" / "bybit_linear_perp_daily.parquet",
        filters=[
            ("symbol", "==", perp),
            ("date", "==", pd.Timestamp(bar.opened_at).tz_localize(None).normalize()),
        ],
    )
    ((low, high),) = days[["low", "high"]].itertuples(index=False)
    assert low <= bar.low <= bar.high <= high
    assert bar.turnover == pytest.approx(bar.volume * bar.close)


def test_added_liquidity_is_no_swap(real_data: Path) -> None:
    body = raw(real_data, "OKXDEX_commissionSplProxySwap")[0]
    transaction = parse_transaction(body)
    pool = okx_pool(transaction)
    keys = [
        *body["transaction"]["message"]["accountKeys"],
        *body["meta"]["loadedAddresses"]["writable"],
    ]
    index = keys.index(pool.vault_a)
    for entry in body["meta"]["postTokenBalances"]:
        if entry["accountIndex"] == index:
            entry["uiTokenAmount"]["amount"] = str(10**18)
    assert pool_swap(parse_transaction(body), pool) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda body: body.pop("slot"),
        lambda body: body.update(meta=None),
        lambda body: body["transaction"].pop("message"),
        lambda body: body["transaction"].update(signatures=["zzz"]),
        lambda body: body["transaction"]["message"]["accountKeys"].__setitem__(0, "0" * 44),
        lambda body: body["transaction"]["message"]["instructions"][0].update(programIdIndex=999),
        lambda body: body["transaction"]["message"]["instructions"][0].update(programIdIndex=-1),
        lambda body: body["transaction"]["message"]["instructions"][3].update(accounts=[-1]),
        lambda body: body.update(slot=-1),
        lambda body: body.update(blockTime=2**62),
        lambda body: body["meta"].update(fee=2**64),
        lambda body: body["meta"]["preTokenBalances"][0].update(accountIndex=999),
        lambda body: body["meta"]["preTokenBalances"][0].update(accountIndex=-1),
        lambda body: body["meta"]["postTokenBalances"][0].update(mint=["x"]),
        lambda body: body["meta"]["postTokenBalances"][0].update(owner="nobody"),
        lambda body: body["meta"]["postTokenBalances"][0]["uiTokenAmount"].update(decimals=-3),
        lambda body: body["meta"]["preTokenBalances"][0]["uiTokenAmount"].update(amount="²"),
        lambda body: body["meta"]["innerInstructions"][0]["instructions"][0].update(
            stackHeight="2"
        ),
        lambda body: body["meta"]["preTokenBalances"][0]["uiTokenAmount"].update(amount="1e9"),
    ],
)
def test_a_malformed_transaction_is_refused(real_data: Path, change: Any) -> None:
    body = raw(real_data, "OKXDEX_commissionSplProxySwap")[0]
    change(body)
    with pytest.raises(NotATransaction):
        parse_transaction(body)


_JUNK = st.sampled_from([None, True, -1, 0, 2**64, 2**70, 0.5, math.nan, "", "x", "²", [], {}, [1]])


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for name, inner in items:
        yield (*path, name)
        if isinstance(inner, dict | list):
            yield from _places(inner, (*path, name))


@settings(max_examples=80)
@given(data=st.data())
def test_whatever_stands_in_a_transaction_it_is_read_or_refused(
    real_data: Path, data: st.DataObject
) -> None:
    body = raw(real_data, "OKXDEX_commissionSplProxySwap")[0]
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(list(_places(body))))
        place = body
        for name in path:
            place = place[name]
        place[last] = data.draw(_JUNK)
    try:
        transaction = parse_transaction(body)
    except NotATransaction:
        return
    pairs = combinations(transaction.tokens.values(), 2)
    pools = [
        PoolVaults("p", a.account, b.account, a.mint, b.mint, a.decimals, b.decimals)
        for a, b in pairs
    ]
    for one in [*infer_swaps(transaction), *swaps_of([transaction], pools)[0]]:
        assert one.price is not None
        assert math.isfinite(one.price)
        assert one.price > 0


def test_an_inner_instruction_without_data_does_not_lose_the_rest(real_data: Path) -> None:
    """It fails the whole parse of the transport library's typed response."""
    body = raw(real_data, "OKXDEX_commissionSplProxySwap")[0]
    del body["meta"]["innerInstructions"][0]["instructions"][0]["data"]
    assert len(infer_swaps(parse_transaction(body))) == 2


@pytest.mark.parametrize("body", [None, [], "text", 1, {}, [1, 2], {"result": None}])
def test_other_json_is_not_a_transaction(body: Any) -> None:
    with pytest.raises(NotATransaction):
        parse_transaction(body)
