"""Symbols and instruments: what a price is a price of."""

from datetime import UTC, datetime

import numpy as np
import pytest

from portfolio_platform.market import Instrument, parse_symbol, splice
from portfolio_platform.market.errors import (
    InstrumentError,
    MixedInstruments,
    SeriesError,
    SymbolError,
    UnsupportedInterval,
)
from portfolio_platform.market.series import BarSeries
from portfolio_platform_tests.market.synthetic import bars


@pytest.mark.parametrize(
    ("symbol", "base", "quote", "multiplier"),
    [
        ("SOLUSDT", "SOL", "USDT", 1),
        ("1000BONKUSDT", "BONK", "USDT", 1000),
        ("10000LADYSUSDT", "LADYS", "USDT", 10_000),
        ("1000000MOGUSDT", "MOG", "USDT", 1_000_000),
        ("1MBABYDOGEUSDT", "BABYDOGE", "USDT", 1_000_000),
        ("SHIB1000USDT", "SHIB", "USDT", 1000),
        ("1INCHUSDT", "1INCH", "USDT", 1),
        ("100XUSDT", "100X", "USDT", 1),
        ("C98USDT", "C98", "USDT", 1),
        ("RNDRUSDT", "RENDER", "USDT", 1),
        ("RENDERUSDT", "RENDER", "USDT", 1),
        ("RAYDIUMUSDT", "RAY", "USDT", 1),
        ("RAYUSDT", "RAY", "USDT", 1),
        ("USDCUSDT", "USDC", "USDT", 1),
        ("LUNA2USDT", "LUNA2", "USDT", 1),
        ("SOL/USDC", "SOL", "USDC", 1),
        ("SOL-USDT-SWAP", "SOL", "USDT", 1),
        ("SOL/USDT:USDT", "SOL", "USDT", 1),
        ("Crypto.SOL/USD", "SOL", "USD", 1),
        ("JUPSOL", "JUP", "SOL", 1),
    ],
)
def test_a_symbol_taken_apart(symbol, base, quote, multiplier):
    parsed = parse_symbol(symbol)
    assert (parsed.base, parsed.quote, parsed.multiplier) == (base, quote, multiplier)


def test_a_symbol_without_quote_needs_one():
    assert parse_symbol("kBONK-PERP", quote="USDC").multiplier == 1000
    assert parse_symbol("kBONK-PERP", quote="USDC").base == "BONK"
    with pytest.raises(SymbolError, match="quote"):
        parse_symbol("SOL-PERP")
    with pytest.raises(SymbolError, match="not in USDC"):
        parse_symbol("SOL/USDT", quote="USDC")


@pytest.mark.parametrize("symbol", ["", "  ", "USDT", "SOLXYZ", "SOL;USDT", "/USDT", "SOL/"])
def test_nonsense_symbols_are_refused(symbol):
    with pytest.raises(SymbolError):
        parse_symbol(symbol)


def test_fiat_is_told_apart():
    assert parse_symbol("EURUSDT").fiat
    assert not parse_symbol("SOLUSDT").fiat


def test_identity_is_the_mint_or_the_venue_symbol():
    plain = Instrument.parse("bybit", "SOLUSDT", "perp")
    minted = Instrument.parse("bybit", "SOLUSDT", "perp", mint="So111")
    assert plain.asset == "bybit:SOLUSDT"
    assert minted.asset == "So111"
    assert plain != Instrument.parse("bybit", "SOLUSDT", "spot")


def test_an_instrument_that_contradicts_itself():
    with pytest.raises(InstrumentError, match="kind"):
        Instrument.parse("bybit", "SOLUSDT", "future")
    with pytest.raises(InstrumentError, match="listed_to"):
        Instrument.parse(
            "bybit",
            "SOLUSDT",
            "perp",
            listed_from=datetime(2024, 1, 1, tzinfo=UTC),
            listed_to=datetime(2023, 1, 1, tzinfo=UTC),
        )
    with pytest.raises(InstrumentError, match="time zone"):
        Instrument.parse("bybit", "SOLUSDT", "perp", listed_from=datetime(2024, 1, 1))


def test_only_one_and_the_same_instrument_is_continued():
    old = bars("RNDRUSDT", n=10)
    new = bars("RENDERUSDT", n=10, start="2024-01-11")
    both = splice(old, new)
    assert len(both) == 20
    assert both.instrument.symbol == "RENDERUSDT"
    for other in (
        bars("RENDERUSDT", kind="spot", n=10, start="2024-01-11"),
        bars("RENDERUSDT", venue="binance", n=10, start="2024-01-11"),
        bars("1000RENDERUSDT", n=10, start="2024-01-11"),
        bars("RENDERUSDC", n=10, start="2024-01-11"),
        bars("SOLUSDT", n=10, start="2024-01-11"),
        bars("RENDERUSDT", n=10, start="2024-01-10"),
    ):
        with pytest.raises(MixedInstruments):
            splice(old, other)


def test_columns_must_fit_together():
    good = bars(n=5)
    with pytest.raises(SeriesError, match="close"):
        BarSeries(
            good.instrument,
            "1d",
            good.opened_at,
            good.open,
            good.high,
            good.low,
            good.close[:4],
            good.volume,
            good.turnover,
        )
    with pytest.raises(UnsupportedInterval):
        bars(n=2).__class__(good.instrument, "1M", *[np.array([])] * 7)
