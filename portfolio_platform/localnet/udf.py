"""TradingView UDF answers over the demo market's bars."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from portfolio_platform.localnet.market import RESOLUTIONS, Market
from portfolio_platform.localnet.tokens import DEMO_TOKENS

_BY_HISTORY_SYMBOL = {token.history_symbol: token for token in DEMO_TOKENS}


def config(_: Market) -> dict[str, Any]:
    """Answer of /config."""
    return {
        "supported_resolutions": list(RESOLUTIONS),
        "supports_group_request": False,
        "supports_marks": False,
        "supports_search": True,
        "supports_timescale_marks": False,
        "exchanges": [{"value": "DEMO", "name": "Demo market", "desc": "portfolio_platform"}],
    }


def symbols(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    """Answer of /symbols?symbol=."""
    token = _BY_HISTORY_SYMBOL.get(query.get("symbol", ""))
    if token is None:
        return {"s": "error", "errmsg": f"unknown symbol {query.get('symbol', '')!r}"}
    return {
        "name": token.history_symbol,
        "ticker": token.history_symbol,
        "description": token.name,
        "type": "crypto",
        "session": "24x7",
        "timezone": "Etc/UTC",
        "exchange": "DEMO",
        "listed_exchange": "DEMO",
        "minmov": 1,
        "pricescale": 10**8,
        "has_intraday": True,
        "has_daily": True,
        "supported_resolutions": list(RESOLUTIONS),
        "data_status": "streaming",
    }


def search() -> list[dict[str, Any]]:
    """Answer of /search: every symbol."""
    return [
        {
            "symbol": token.history_symbol,
            "full_name": token.history_symbol,
            "description": token.name,
            "exchange": "DEMO",
            "type": "crypto",
        }
        for token in DEMO_TOKENS
    ]


def history(market: Market, query: Mapping[str, str]) -> dict[str, Any]:
    """Answer of /history; `from` and `to` are Unix seconds, both inclusive.

    A range before the first bar is ``no_data`` with `nextTime`; a range after the clock is ``ok``
    with empty arrays, because both occur in the wild.
    """
    token = _BY_HISTORY_SYMBOL.get(query.get("symbol", ""))
    if token is None:
        return {"s": "error", "errmsg": f"unknown symbol {query.get('symbol', '')!r}"}
    resolution = query.get("resolution", "")
    if resolution not in RESOLUTIONS:
        return {"s": "error", "errmsg": f"unknown resolution {resolution!r}"}
    try:
        start, end = int(query["from"]), int(query["to"])
    except KeyError as error:
        return {"s": "error", "errmsg": f"missing parameter {error.args[0]}"}
    except ValueError:
        return {"s": "error", "errmsg": "from and to must be whole Unix seconds"}
    if end < start:
        return {"s": "error", "errmsg": "to lies before from"}
    if start > 100_000_000_000:
        return {"s": "error", "errmsg": "from and to are in milliseconds, expected seconds"}
    bars = market.bars(token.symbol, resolution, start, end)
    if not len(bars.time):
        first = market.first_bar(token.symbol, resolution)
        if end < first:
            return {"s": "no_data", "nextTime": first}
        return {"s": "ok", "t": [], "o": [], "h": [], "l": [], "c": [], "v": []}
    return {
        "s": "ok",
        "t": bars.time.tolist(),
        "o": bars.open.tolist(),
        "h": bars.high.tolist(),
        "l": bars.low.tolist(),
        "c": bars.close.tolist(),
        "v": bars.volume.tolist(),
    }
