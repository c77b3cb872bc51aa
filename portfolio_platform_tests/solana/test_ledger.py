"""Following an address loses nothing and doubles nothing, whatever order the node answers in."""

import asyncio
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from portfolio_platform.solana.base58 import b58decode, b58encode, is_signature
from portfolio_platform.solana.follow import fetch_transactions, look_at
from portfolio_platform.solana.ledger import (
    CLAIM_OF_CODE,
    Claim,
    Cursor,
    Gap,
    GapState,
    SignatureRow,
    merge_look,
    observe,
    safe_checkpoint,
    to_revisit,
)
from portfolio_platform.solana.rpc import PoolSettings, RpcPool
from portfolio_platform.solana.swap_bars import bars_from_swaps
from portfolio_platform.solana.swaps import Swap
from portfolio_platform_tests.solana.conftest import LocalChain


@dataclass
class Network:
    """A ledger behind a node that repeats, reorders inside a slot, and omits."""

    noise: random.Random
    rows: list[SignatureRow] = field(default_factory=list)

    def grow(self) -> None:
        slot = self.rows[-1].slot + self.noise.randrange(0, 3) if self.rows else 1000
        self.rows.append(SignatureRow(f"{len(self.rows):04d}", slot))

    def answer(self, floor: int) -> list[SignatureRow]:
        kept = [
            row
            for row in self.rows
            if row.slot >= floor
            and (row.slot < self.rows[-1].slot - 20 or self.noise.random() > 0.3)
        ]
        kept += [row for row in kept if self.noise.random() < 0.2]
        return sorted(kept, key=lambda row: (-row.slot, self.noise.random()))


@settings(max_examples=40, deadline=None)
@given(noise=st.randoms(use_true_random=False), looks=st.integers(3, 8))
def test_overlapping_looks_find_everything_once(noise: random.Random, looks: int) -> None:
    """Omissions near the tip are healed by the overlap; nothing is stored twice."""
    network, stored = Network(noise), {}
    cursor: Cursor | None = None
    for _ in range(looks):
        for _ in range(noise.randrange(1, 20)):
            network.grow()
        floor = cursor.floor(60) if cursor else 0
        look = merge_look(network.answer(floor), stored, cursor)
        assert not {row.signature for row in look.new} & stored.keys()
        assert [row.slot for row in look.new] == sorted(row.slot for row in look.new)
        stored |= {row.signature: row for row in look.new}
        assert cursor is None or look.cursor >= cursor
        cursor = look.cursor
    for _ in range(30):
        network.grow()
    floor = cursor.floor(60) if cursor else 0
    stored |= {row.signature: row for row in merge_look(network.answer(floor), stored, cursor).new}
    old = {row.signature for row in network.rows if row.slot < network.rows[-1].slot - 20}
    assert old <= stored.keys()


def test_the_cursor_does_not_move_back() -> None:
    look = merge_look([SignatureRow("b", 5)], [], Cursor(9, "a"))
    assert look.cursor == Cursor(9, "a")
    assert merge_look([], [], None).cursor == Cursor(0)


class GapMachine(RuleBasedStateMachine):
    """The three states of a gap under any order of answers."""

    def __init__(self) -> None:
        super().__init__()
        self.gap: Gap | None = Gap(7)
        self.skips: set[str] = set()

    @rule(
        endpoint=st.sampled_from(["a", "b", "c"]),
        claim=st.sampled_from([one for one in Claim if one is not Claim.SERVED]),
    )
    def claim(self, endpoint: str, claim: Claim) -> None:
        if self.gap is None:
            return
        confirmed = self.gap.state is GapState.SKIPPED_CONFIRMED
        self.gap = observe(self.gap, endpoint, claim)
        assert self.gap is not None
        if claim in (Claim.SKIPPED, Claim.ABSENT_FROM_BLOCKS):
            self.skips.add(f"{endpoint}-{claim}")
        assert not confirmed or self.gap.state is GapState.SKIPPED_CONFIRMED

    @rule()
    def served(self) -> None:
        if self.gap is not None:
            assert observe(self.gap, "a", Claim.SERVED) is None

    @invariant()
    def only_two_claims_confirm(self) -> None:
        if self.gap is not None:
            confirmed = self.gap.state is GapState.SKIPPED_CONFIRMED
            assert confirmed == (len(self.skips) >= 2)


TestGapMachine = GapMachine.TestCase
TestGapMachine.settings = settings(max_examples=30, stateful_step_count=12, deadline=None)


def test_long_term_storage_never_confirms_a_skip() -> None:
    gap = Gap(7)
    for endpoint in "abcdef":
        found = observe(gap, endpoint, Claim.SKIPPED_IN_STORAGE)
        assert found is not None
        gap = found
    assert gap.state is GapState.MISSING
    assert to_revisit({7: gap}) == [7]
    assert observe(gap, "a", Claim.SERVED) is None


def test_codes_make_the_claims_of_the_error_table() -> None:
    assert CLAIM_OF_CODE[-32007] is Claim.SKIPPED
    assert CLAIM_OF_CODE[-32009] is Claim.SKIPPED_IN_STORAGE
    assert CLAIM_OF_CODE[-32004] is Claim.NOT_AVAILABLE


@settings(max_examples=60, deadline=None)
@given(
    served=st.sets(st.integers(1, 30)),
    states=st.dictionaries(st.integers(1, 30), st.sampled_from(GapState)),
)
def test_a_checkpoint_never_passes_a_slot_that_is_not_settled(
    served: set[int], states: dict[int, GapState]
) -> None:
    gaps = {slot: Gap(slot, state) for slot, state in states.items() if slot not in served}
    at = safe_checkpoint(0, served, gaps)
    for slot in range(1, at + 1):
        assert slot in served or gaps[slot].state is GapState.SKIPPED_CONFIRMED
    following = gaps.get(at + 1)
    assert at + 1 not in served
    assert following is None or following.open


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=80))
def test_base58_gives_back_its_bytes(raw: bytes) -> None:
    assert b58decode(b58encode(raw)) == raw


def test_signatures_are_told_from_other_text() -> None:
    assert is_signature(b58encode(bytes(range(64))))
    for text in ("", "1" * 63, "0" * 88, b58encode(bytes(range(63))), None, 7):
        assert not is_signature(text)


def swap(price: float, minute: float, slot: int, signature: str, volume: float = 1.0) -> Swap:
    moment = datetime.fromtimestamp(1_700_000_040 + minute * 60, UTC)
    return Swap(signature, slot, moment, "p", "a", "b", 1, 1, 0, 0, price, volume, price * volume)


@settings(max_examples=40, deadline=None)
@given(
    trades=st.lists(
        st.tuples(st.floats(0.01, 1e6), st.floats(0, 300), st.floats(0.001, 1e6)),
        min_size=1,
        max_size=30,
    ),
    shuffle=st.randoms(use_true_random=False),
)
def test_bars_hold_every_trade_once_in_any_order(
    trades: list[tuple[float, float, float]], shuffle: random.Random
) -> None:
    swaps = [
        swap(price, minute, 100 + int(minute), f"{index}", volume)
        for index, (price, minute, volume) in enumerate(sorted(trades, key=lambda one: one[1]))
    ]
    bars = bars_from_swaps(swaps, "1m")
    again = list(swaps) + swaps[:3]
    shuffle.shuffle(again)
    assert bars_from_swaps(again, "1m") == bars
    assert sum(bar.trades for bar in bars) == len(swaps)
    assert sum(bar.volume for bar in bars) == pytest.approx(sum(one.volume_a for one in swaps))
    for bar in bars:
        assert bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high
        assert bar.opened_at.second == 0
    hours = bars_from_swaps(swaps, "1h")
    assert hours[0].open == bars[0].open
    assert hours[-1].close == bars[-1].close
    assert max(bar.high for bar in hours) == max(bar.high for bar in bars)


def test_swaps_of_two_pools_make_no_series() -> None:
    other = Swap("s", 1, None, "q", "a", "b", 1, 1, 0, 0, 1.0, 1.0, 1.0)
    with pytest.raises(ValueError, match="2 pools"):
        bars_from_swaps([swap(1.0, 0, 1, "x"), other], "1m")


def test_dust_sets_no_price() -> None:
    real, dust = swap(100.0, 0, 1, "a"), swap(900.0, 0.1, 1, "b", volume=1e-9)
    (bar,) = bars_from_swaps([real, dust], "1m", min_turnover=0.01)
    assert bar.high == 100.0


@pytest.mark.parametrize("mode", [None, "reorder", "duplicate"])
def test_an_address_is_followed_on_a_real_socket(
    chain: LocalChain, impatient: PoolSettings, mode: str | None
) -> None:
    address = chain.universe.by_role("pool")[0].pubkey
    if mode is not None:
        chain.faults(
            {"fault": {"kind": "signatures", "mode": mode}, "method": "getSignaturesForAddress"}
        )

    async def main() -> tuple[int, int, int]:
        async with RpcPool([chain.rpc_url], impatient) as pool:
            first = await look_at(pool, address, None, lambda _: [], page=7, limit=40)
            fetched = [one async for one in fetch_transactions(pool, first.new)]
            assert all(one.transaction is not None for one in fetched)
            known = {row.signature for row in first.new}
            second = await look_at(pool, address, first.cursor, lambda _: known, page=7)
            # A look with a cursor reaches down to it, whatever the limit of first looks is.
            behind = Cursor(first.new[0].slot)
            third = await look_at(pool, address, behind, lambda _: [], overlap=0, page=5, limit=1)
            assert known <= {row.signature for row in third.new}
            return len(first.new), len({row.signature for row in first.new}), len(second.new)

    found, unique, new = asyncio.run(main())
    assert found == unique
    assert found >= 20
    assert new == 0
