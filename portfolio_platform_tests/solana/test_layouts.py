"""One table reads and writes the same bytes, alone and in columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portfolio_platform.solana.decode import REGISTRY
from portfolio_platform.solana.layouts import (
    InvalidPubkey,
    addresses,
    is_key,
    key_bytes,
    key_text,
    lending,
    meteora_dlmm,
    pyth,
    raydium_amm,
    raydium_clmm,
    raydium_cp,
    spl_token,
    stake_pool,
    whirlpool,
)
from portfolio_platform.solana.layouts.base import Field, Layout

LAYOUTS = [
    spl_token.MINT,
    spl_token.TOKEN_ACCOUNT,
    whirlpool.POOL,
    whirlpool.TICK_ARRAY,
    whirlpool.ORACLE,
    raydium_clmm.POOL,
    raydium_clmm.CONFIG,
    raydium_clmm.TICK_ARRAY,
    raydium_amm.POOL,
    raydium_cp.POOL,
    raydium_cp.CONFIG,
    meteora_dlmm.PAIR,
    meteora_dlmm.BIN_ARRAY,
    pyth.PRICE_V2,
    pyth.PRICE_UPDATE_V2,
    stake_pool.STAKE_POOL,
    stake_pool.MARINADE_STATE,
    lending.MARGINFI_BANK,
    lending.KAMINO_RESERVE,
]


def _value(field: Field) -> st.SearchStrategy[object]:
    if isinstance(field.type, Layout):
        return st.just(None)
    if field.type == "key":
        return st.binary(min_size=32, max_size=32)
    bits = int(field.type[1:])
    if field.type[0] == "i":
        return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return st.integers(0, 2**bits - 1)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.kind)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_what_is_packed_is_unpacked(layout: Layout, data: st.DataObject) -> None:
    plain = {
        name: one
        for name, one in layout.fields.items()
        if not isinstance(one.type, Layout)
        and one.count == 1
        and one.offset >= len(layout.discriminator)
    }
    values = {name: data.draw(_value(one), label=name) for name, one in plain.items()}
    packed = layout.pack(**values)
    assert len(packed) == layout.length
    assert packed.startswith(layout.discriminator)
    assert {name: layout.unpack(packed)[name] for name in values} == values
    column = layout.columns([packed, packed])
    for name, one in plain.items():
        if one.type in ("u8", "u16", "u32", "u64", "i32", "i64"):
            assert column[name].tolist() == [values[name]] * 2
        else:
            raw = column[name][0].tobytes()
            assert raw == packed[one.offset : one.offset + one.size]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.kind)
def test_the_dtype_is_as_long_as_the_account(layout: Layout) -> None:
    assert layout.dtype.itemsize == layout.length


def test_keys_that_differ_in_a_trailing_zero_stay_different() -> None:
    accounts = [
        spl_token.TOKEN_ACCOUNT.pack(mint=bytes([7]) * 31 + tail, state=1)
        for tail in (b"\0", b"\1")
    ]
    column = spl_token.TOKEN_ACCOUNT.columns(accounts)["mint"]
    assert len(np.unique(column)) == 2


def test_columns_refuse_an_account_of_another_length() -> None:
    with pytest.raises(ValueError, match="account 1 has 164 bytes"):
        spl_token.TOKEN_ACCOUNT.columns([bytes(165), bytes(164)])


def test_an_integer_that_does_not_fit_is_refused() -> None:
    with pytest.raises(OverflowError):
        spl_token.MINT.pack(supply=2**64)
    with pytest.raises(KeyError):
        spl_token.MINT.pack(suply=1)


def test_discriminators_are_those_of_their_names() -> None:
    """Anchor programs take the first eight bytes of sha256("account:Name")."""
    from hashlib import sha256

    names = {
        "orca_whirlpool": "Whirlpool",
        "orca_tick_array": "TickArray",
        "orca_dynamic_tick_array": "DynamicTickArray",
        "orca_adaptive_fee_oracle": "Oracle",
        "raydium_clmm": "PoolState",
        "raydium_clmm_config": "AmmConfig",
        "raydium_cp_swap": "PoolState",
        "raydium_clmm_tick_array": "TickArrayState",
        "meteora_dlmm": "LbPair",
        "meteora_bin_array": "BinArray",
        "pyth_price_update_v2": "PriceUpdateV2",
        "marginfi_bank": "Bank",
        "kamino_reserve": "Reserve",
        "marinade_state": "State",
    }
    known = {entry.kind: entry.discriminator for entry in REGISTRY}
    for kind, name in names.items():
        assert known[kind] == sha256(f"account:{name}".encode()).digest()[:8], kind


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=32, max_size=32))
def test_a_key_is_its_text(raw: bytes) -> None:
    assert key_bytes(key_text(raw)) == raw


@settings(max_examples=40, deadline=None)
@given(
    st.text(max_size=50)
    | st.text(
        "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz", min_size=31, max_size=45
    )
)
def test_text_is_a_key_or_refused(text: str) -> None:
    if is_key(text):
        assert key_text(key_bytes(text)) == text
    else:
        with pytest.raises(InvalidPubkey):
            key_bytes(text)


def test_tick_arrays_stand_where_the_network_keeps_them() -> None:
    """Addresses of the recorded SOL/USDC pool's arrays."""
    pool = "HJPjoWUrhoZzkNfRpHuieeFk9WcZWjwy6PBjZ81ngndJ"
    around = addresses.whirlpool_arrays_around(pool, -32101, 64)
    assert list(around) == [-50688, -45056, -39424, -33792, -28160, -22528, -16896]
    assert around[-33792] == "2Eh8HEeu45tCWxY6ruLLRN6VcTSD7bfshGj7bZA87Kne"
    pair = "FJbEo74c2W4QLBBVUfUvi8VBWXtMdJVPuFpq2f6UV1iB"
    assert addresses.meteora_bin_array(pair, -3) == "FR8HAZwQkmbmJXSqSp4CM3424emaMmJf7vz3u3RrYgRL"
