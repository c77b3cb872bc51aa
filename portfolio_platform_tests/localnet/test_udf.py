"""The UDF endpoint: the rules of the format, over HTTP."""

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from portfolio_platform_tests.localnet.conftest import NOW

DAY = 86_400
START = int(NOW.timestamp())


def history(http: httpx.Client, prefix: str = "", **query: Any) -> dict[str, Any]:
    if "start" in query:
        query["from"] = query.pop("start")
    reply = http.get(f"{prefix}/history", params=query)
    assert reply.status_code == 200
    return dict(reply.json())


def test_two_years_of_days(http: httpx.Client) -> None:
    bars = history(http, symbol="Crypto.SOL/USD", resolution="D", start=START - 800 * DAY, to=START)
    assert bars["s"] == "ok"
    assert len({len(bars[k]) for k in "tohlcv"}) == 1
    assert len(bars["t"]) == 731
    assert bars["t"] == sorted(set(bars["t"]))
    assert all(t % DAY == 0 for t in bars["t"])
    assert all(
        low <= min(o, c) <= max(o, c) <= high
        for o, high, low, c in zip(*(bars[k] for k in "ohlc"), strict=True)
    )


def test_both_ends_of_the_range_are_inclusive(http: httpx.Client) -> None:
    midnight = START - START % DAY
    query = {"symbol": "Crypto.JUP/USD", "resolution": "60"}
    left = history(http, **query, start=midnight - DAY, to=midnight)
    right = history(http, **query, start=midnight, to=midnight + 6 * 3600)
    assert left["t"][-1] == right["t"][0] == midnight
    assert left["o"][-1] == right["o"][0]
    assert len(left["t"]) == 25


def test_the_last_bar_is_unfinished_until_its_close(http: httpx.Client) -> None:
    query = {"symbol": "Crypto.BONK/USD", "resolution": "60"}
    clock = http.get("/clock").json()["time"]
    http.post("/advance", json={"seconds": 3600 - clock % 3600 + 600})
    clock = http.get("/clock").json()["time"]
    early = history(http, **query, start=int(clock) - 7200, to=int(clock) + DAY)
    assert early["t"][-1] + 3600 > clock
    http.post("/advance", json={"seconds": 1800})
    late = history(http, **query, start=int(clock) - 7200, to=int(clock) + DAY)
    assert late["t"] == early["t"]
    assert late["v"][-1] > early["v"][-1]
    assert late["c"][-1] != early["c"][-1]
    assert [late[k][:-1] for k in "ohlcv"] == [early[k][:-1] for k in "ohlcv"]


def test_empty_ranges_come_in_both_forms(http: httpx.Client) -> None:
    old = history(http, symbol="Crypto.NOVA/USD", resolution="D", start=0, to=START - 300 * DAY)
    assert old["s"] == "no_data"
    first = history(http, symbol="Crypto.NOVA/USD", resolution="D", start=0, to=START)
    assert first["t"][0] == old["nextTime"]
    ahead = history(
        http,
        symbol="Crypto.NOVA/USD",
        resolution="D",
        start=START + 900 * DAY,
        to=START + 901 * DAY,
    )
    assert ahead == {"s": "ok", "t": [], "o": [], "h": [], "l": [], "c": [], "v": []}


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"symbol": "Crypto.DOGE/USD"}, "symbol"),
        ({"resolution": "d"}, "resolution"),
        ({"start": 1.5}, "whole"),
        ({"start": START, "to": START - 1}, "before"),
        ({"start": START * 1000, "to": START * 1000}, "milliseconds"),
    ],
)
def test_bad_questions_get_an_error_message(
    http: httpx.Client, change: dict[str, Any], word: str
) -> None:
    query = {"symbol": "Crypto.SOL/USD", "resolution": "D", "start": START - DAY, "to": START}
    reply = history(http, **{**query, **change})
    assert reply["s"] == "error"
    assert word in reply["errmsg"]


def test_symbols_config_and_vendor_paths(http: httpx.Client, universe: dict[str, Any]) -> None:
    assert "D" in http.get("/config").json()["supported_resolutions"]
    names = {one["symbol"] for one in http.get("/search").json()}
    assert names == {token["history_symbol"] for token in universe["tokens"]}
    for name in names:
        assert http.get("/symbols", params={"symbol": name}).json()["ticker"] == name
    assert http.get("/symbols", params={"symbol": "x"}).json()["s"] == "error"
    query = {"symbol": "Crypto.SOL/USD", "resolution": "1D", "start": START - 9 * DAY, "to": START}
    assert history(http, **query) == history(http, "/v1/shims/tradingview", **query)
    moment = datetime.fromtimestamp(http.get("/time").json(), UTC)
    assert moment >= NOW
