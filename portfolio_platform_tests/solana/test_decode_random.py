"""No bytes crash a decoder, and none give a number that is not one."""

import math
from random import Random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portfolio_platform.solana.decode import KNOWN_OWNERS, REGISTRY, Entry, decode
from portfolio_platform.solana.decoded import Decoded, Refused
from portfolio_platform.solana.layouts import programs, pyth, spl_token
from portfolio_platform.solana.layouts.whirlpool import pack_dynamic_tick_array

_OWNERS = st.sampled_from([None, *sorted(KNOWN_OWNERS)])


def _assert_sound(answer: Decoded | Refused) -> None:
    if isinstance(answer, Refused):
        assert answer.reason
        return
    assert answer.kind
    _assert_finite(answer.values)
    _assert_finite(answer.derived)


def _assert_finite(value: Any) -> None:
    if isinstance(value, float):
        assert math.isfinite(value)
    elif isinstance(value, dict):
        for one in value.values():
            _assert_finite(one)
    elif isinstance(value, list | tuple):
        for one in value:
            _assert_finite(one)
    else:
        assert value is None or isinstance(value, int | str)


@settings(max_examples=60, deadline=None)
@given(owner=_OWNERS, data=st.binary(max_size=1200))
@example(owner=programs.SPL_TOKEN, data=b"")
@example(owner=programs.TOKEN_2022, data=bytes(166))
def test_random_bytes_are_refused_or_sound(owner: str | None, data: bytes) -> None:
    _assert_sound(decode(owner, data))


@pytest.mark.parametrize("entry", REGISTRY, ids=lambda entry: entry.kind)
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_random_contents_behind_a_valid_head(entry: Entry, data: st.DataObject) -> None:
    """The shape is right, everything behind the discriminator is noise."""
    _assert_sound_behind_head(entry, data)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("entry", REGISTRY, ids=lambda entry: entry.kind)
@settings(max_examples=10_000, deadline=None)
@given(data=st.data())
def test_ten_thousand_contents_behind_a_valid_head(entry: Entry, data: st.DataObject) -> None:
    _assert_sound_behind_head(entry, data)


@pytest.mark.nightly
@pytest.mark.timeout(1800)
@settings(max_examples=10_000, deadline=None)
@given(owner=_OWNERS, data=st.binary(max_size=2000))
def test_ten_thousand_random_bytes(owner: str | None, data: bytes) -> None:
    _assert_sound(decode(owner, data))


def _assert_sound_behind_head(entry: Entry, data: st.DataObject) -> None:
    length = data.draw(st.integers(entry.shortest, entry.longest))
    # A drawn seed, not drawn bytes: ten kilobytes each would be most of the time.
    body = bytearray(Random(data.draw(st.integers(0, 2**64 - 1))).randbytes(length))
    # Long runs of zero bytes reach the branches that noise does not.
    start = data.draw(st.integers(0, length))
    body[start : start + data.draw(st.integers(0, length))] = b""
    body = bytearray(bytes(body).ljust(length, b"\0"))
    body[: len(entry.discriminator)] = entry.discriminator
    _assert_sound(decode(sorted(entry.owners)[0], bytes(body)))


@settings(max_examples=40, deadline=None)
@given(length=st.sampled_from([82, 165, 170, 187, 355, 437, 866]), noise=st.randoms())
def test_random_token_accounts(length: int, noise: Any) -> None:
    body = bytearray(noise.randbytes(length))
    if length > 165:
        body[spl_token.ACCOUNT_TYPE_OFFSET] = noise.choice((1, 2))
    body[44:46] = bytes([noise.randrange(12), 1])
    if length >= 165:
        body[108] = noise.choice((1, 2))
    for at in (0, 46, 72, 109, 129):
        if at + 4 <= length:
            body[at : at + 4] = noise.choice((0, 1)).to_bytes(4, "little")
    for owner in (programs.SPL_TOKEN, programs.TOKEN_2022, None):
        _assert_sound(decode(owner, bytes(body)))


@pytest.mark.parametrize("entry", REGISTRY, ids=lambda entry: entry.kind)
def test_a_truncated_account_is_refused_for_its_length(entry: Entry) -> None:
    data = entry.discriminator.ljust(entry.shortest, b"\0")[:-1]
    answer = decode(sorted(entry.owners)[0], data)
    assert isinstance(answer, Refused)
    assert answer.code in ("wrong_length", "undecoded", "unknown_discriminator")


def test_an_owner_alone_decides_nothing() -> None:
    """Legacy bytes under the pull oracle's program are read as what they are."""
    data = pyth.PRICE_V2.pack(
        type=3, exponent=-8, price=11_923_378_000, confidence=16_677_000, status=0
    )
    answer = decode(programs.PYTH_RECEIVER, data)
    assert isinstance(answer, Decoded)
    assert answer.kind == "pyth_price_v2"
    assert answer.derived["trading"] is False


def test_a_partially_verified_price_is_read_one_byte_later() -> None:
    layout = pyth.PRICE_UPDATE_V2_PARTIAL
    data = layout.pack(
        verification=0, signatures=5, price=12_345, confidence=7, exponent=-2, publish_time=1
    )
    answer = decode(programs.PYTH_RECEIVER, data)
    assert isinstance(answer, Decoded)
    assert answer.derived["price"] == 123.45
    assert answer.derived["fully_verified"] is False


def test_a_mint_without_supply_and_an_empty_bank_are_values() -> None:
    from portfolio_platform.solana.layouts import lending, stake_pool

    mint = decode(programs.SPL_TOKEN, spl_token.MINT.pack(initialized=1, decimals=6))
    assert isinstance(mint, Decoded)
    assert mint.derived["supply"] == 0.0
    one = lending.I80F48_ONE
    bank = decode(
        programs.MARGINFI,
        lending.MARGINFI_BANK.pack(asset_share_value=one, liability_share_value=one, decimals=6),
    )
    assert isinstance(bank, Decoded)
    assert bank.derived["utilization"] is None
    assert bank.derived["utilization_undefined"] == "nothing is supplied"
    pool = decode(programs.SPL_STAKE_POOL, stake_pool.STAKE_POOL.pack(account_type=1))
    assert isinstance(pool, Decoded)
    assert pool.derived["rate"] is None


@pytest.mark.parametrize("owner", ["", "nonsense", "0" * 44, "1" * 31, "I" * 40, "é" * 40])
def test_a_nonsense_owner_is_refused(owner: str) -> None:
    answer = decode(owner, bytes(82))
    assert isinstance(answer, Refused)
    assert answer.code == "invalid_owner"


@settings(max_examples=20, deadline=None)
@given(
    start=st.integers(-5040, 5039).map(lambda k: k * 88),
    nets=st.dictionaries(st.integers(0, 87), st.integers(-(2**127), 2**127 - 1), max_size=88),
)
def test_a_dynamic_tick_array_gives_back_what_was_written(start: int, nets: dict[int, int]) -> None:
    ticks = {
        index: {"liquidity_net": net, "liquidity_gross": abs(net)} for index, net in nets.items()
    }
    answer = decode(programs.ORCA_WHIRLPOOL, pack_dynamic_tick_array(start, bytes(32), ticks))
    assert isinstance(answer, Decoded)
    assert answer.values["start_tick"] == start
    assert {one["index"]: one["liquidity_net"] for one in answer.values["ticks"]} == nets


def test_the_refusal_says_which_lengths_are_taken() -> None:
    """One byte more than a token account holds no account type yet."""
    refused = decode(programs.TOKEN_2022, bytes(166))
    assert isinstance(refused, Refused)
    assert "above 166, with an account type" in refused.reason
    typed = bytes(165) + b"\x02"
    kinds = [decode(programs.TOKEN_2022, typed + bytes(more)).kind for more in (0, 4)]
    assert kinds == [None, "token_2022_account"]
