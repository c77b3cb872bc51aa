"""What a venue's symbol says: base asset, quote asset, multiplier.

Venues quote small-priced tokens by the thousand (`1000BONKUSDT`, `SHIB1000USDT`, `kBONK-PERP`),
rename tickers (`RNDRUSDT` became `RENDERUSDT`) and name one asset differently (`RAYDIUMUSDT` and
`RAYUSDT`).  A symbol says nothing about *which coin* stood behind it at a given time: that is the
listing (see :mod:`portfolio_platform.market.listings`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from portfolio_platform.market.errors import SymbolError

QUOTES: tuple[str, ...] = (
    "USDT",
    "USDC",
    "FDUSD",
    "BUSD",
    "TUSD",
    "USD",
    "SOL",
    "BTC",
    "ETH",
    "EUR",
)
"""Known quote assets, tried longest first at the end of a symbol without separator."""

FIAT: frozenset[str] = frozenset(
    {"USD", "EUR", "GBP", "JPY", "AUD", "CHF", "BRL", "TRY", "CAD", "PLN", "RON", "UAH", "ZAR"}
)

RENAMES: Mapping[str, str] = MappingProxyType(
    {
        "RNDR": "RENDER",
        "RAYDIUM": "RAY",
        "MATIC": "POL",
    }
)
"""Ticker on a venue → name of the asset here; one to one in units, so no multiplier."""

_PREFIX = re.compile(r"^(10{3,})([A-Za-z][A-Za-z0-9]*)$")
_SUFFIX = re.compile(r"^([A-Za-z]{2,})(10{3,})$")
_MILLION = re.compile(r"^1M([A-Z][A-Z0-9]{2,})$")
_KILO = re.compile(r"^k([A-Z][A-Z0-9]+)$")
_CONTRACT = re.compile(r"[-_](PERP|SWAP|SPOT)$", re.IGNORECASE)
_NAMESPACE = re.compile(r"^[A-Za-z]+[.:]")
_ASSET = re.compile(r"^[A-Za-z0-9]+$")


@dataclass(frozen=True, slots=True)
class ParsedSymbol:
    """A symbol taken apart.

    Attributes
    ----------
    symbol : str
        As the venue writes it.
    base : str
        Name of one unit of the asset after multiplier and renames, upper case.
    quote : str
        What prices are expressed in.
    multiplier : int
        Units of `base` that one quoted unit holds; prices per token are quoted / multiplier.
    """

    symbol: str
    base: str
    quote: str
    multiplier: int = 1

    @property
    def fiat(self) -> bool:
        """Whether the base is a national currency, which is no Solana asset."""
        return self.base in FIAT


def _split_quote(text: str, quote: str | None, symbol: str) -> tuple[str, str]:
    for separator in ("/", "-", "_"):
        if separator in text:
            base, found = text.split(separator, 1)
            found = found.split(":", 1)[0]
            if not base or not found:
                break
            if quote is not None and found.upper() != quote.upper():
                raise SymbolError(
                    f"symbol {symbol!r} is quoted in {found}, not in {quote}: drop the quote "
                    "argument or correct the symbol"
                )
            return base, found.upper()
    if quote is not None:
        upper = text.upper()
        if upper.endswith(quote.upper()) and len(text) > len(quote):
            return text[: -len(quote)], quote.upper()
        return text, quote.upper()
    for known in sorted(QUOTES, key=len, reverse=True):
        if text.upper().endswith(known) and len(text) > len(known):
            return text[: -len(known)], known
    raise SymbolError(
        f"symbol {symbol!r} does not end with a known quote asset ({', '.join(QUOTES)}): "
        "give the quote explicitly or use BASE/QUOTE"
    )


def _split_multiplier(base: str) -> tuple[str, int]:
    if match := _PREFIX.match(base):
        return match[2], int(match[1])
    if match := _SUFFIX.match(base):
        return match[1], int(match[2])
    if match := _MILLION.match(base):
        return match[1], 1_000_000
    if match := _KILO.match(base):
        return match[1], 1000
    return base, 1


def parse_symbol(
    symbol: str, *, quote: str | None = None, renames: Mapping[str, str] = RENAMES
) -> ParsedSymbol:
    """Take a venue symbol apart.

    Parameters
    ----------
    symbol : str
        E.g. `1000BONKUSDT`, `SOL/USDT`, `SOL-USDT-SWAP`, `Crypto.SOL/USD`, `kBONK-PERP`.
    quote : str, optional
        The quote asset where the symbol does not carry one (`SOL-PERP`).
    renames : mapping
        Ticker → name of the asset.

    Raises
    ------
    SymbolError
        The symbol is empty, holds other characters, or its quote is unknown.

    Examples
    --------
    >>> parse_symbol("1000BONKUSDT")
    ParsedSymbol(symbol='1000BONKUSDT', base='BONK', quote='USDT', multiplier=1000)
    """
    if not isinstance(symbol, str) or not symbol.strip():
        raise SymbolError(f"symbol {symbol!r} is empty: name the traded pair, e.g. 'SOLUSDT'")
    text = _NAMESPACE.sub("", symbol.strip())
    text = _CONTRACT.sub("", text)
    base, found = _split_quote(text, quote, symbol)
    if not _ASSET.match(base) or not _ASSET.match(found):
        raise SymbolError(f"symbol {symbol!r} holds characters that no asset name has")
    base, multiplier = _split_multiplier(base)
    base = base.upper()
    return ParsedSymbol(symbol, renames.get(base, base), found, multiplier)
