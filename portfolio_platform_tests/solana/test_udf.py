"""The history client against a server of the format, and against the local chain."""

import json
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from portfolio_platform.solana.udf import (
    BARS_PER_PAGE,
    BadHistory,
    HistoryKeyMissing,
    UdfClient,
    UdfError,
)
from portfolio_platform_tests.solana.conftest import LocalChain

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = 3600
Answer = Callable[[dict[str, Any]], tuple[int, dict[str, str], Any]]


class Service:
    """A UDF service whose answers a test decides."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.answer: Answer = hourly

    def handler(self) -> type[BaseHTTPRequestHandler]:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = {name: one[0] for name, one in parse_qs(urlsplit(self.path).query).items()}
                query["authorization"] = self.headers.get("Authorization")
                service.asked.append(query)
                status, headers, body = service.answer(query)
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *_: object) -> None:
                return

        return Handler


def bars(times: list[int]) -> dict[str, Any]:
    n = len(times)
    return {
        "s": "ok",
        "t": times,
        "o": [10.0] * n,
        "h": [12.0] * n,
        "l": [9.0] * n,
        "c": [11.0] * n,
        "v": [5.0] * n,
    }


def hourly(query: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
    start, end = int(query["from"]), int(query["to"])
    first = -(-start // HOUR) * HOUR
    return 200, {}, bars(list(range(first, end + 1, HOUR)))


@pytest.fixture
def service() -> Iterator[tuple[Service, str]]:
    found = Service()
    server = ThreadingHTTPServer(("127.0.0.1", 0), found.handler())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def client(url: str, **more: Any) -> UdfClient:
    return UdfClient(url, backoff_seconds=0.01, attempts=3, **({"requests": 1000} | more))


def test_a_long_range_is_paged_and_every_bar_comes_once(service: tuple[Service, str]) -> None:
    found, url = service
    end = START + timedelta(hours=2 * BARS_PER_PAGE + 10)
    with client(url, symbol_prefix="Crypto.") as udf:
        history = udf.history("SOL/USD", "1h", START, end, now=end + timedelta(hours=5))
    assert len(found.asked) == 3
    assert found.asked[0]["symbol"] == "Crypto.SOL/USD"
    assert found.asked[0]["resolution"] == "60"
    assert len(history) == 2 * BARS_PER_PAGE + 11
    assert np.all(np.diff(history.opened_at) == np.timedelta64(1, "h"))
    assert history.opened_at[0] == np.datetime64("2024-01-01T00:00")


def test_a_page_can_be_committed_before_the_next_and_a_run_resumed(
    service: tuple[Service, str],
) -> None:
    found, url = service
    end = START + timedelta(hours=2 * BARS_PER_PAGE)
    with client(url) as udf:
        pages = udf.pages("SOL", "1h", START, end, now=end)
        first = next(pages)
        assert len(found.asked) == 1
        resume = first.opened_at[-1].astype("datetime64[s]").astype(int)
        again = udf.history("SOL", "1h", datetime.fromtimestamp(resume, UTC), end, now=end)
    assert again.opened_at[0] == first.opened_at[-1]
    assert len(first) + len(again) - 1 == 2 * BARS_PER_PAGE


def test_the_unfinished_bar_is_left_out_and_counted(service: tuple[Service, str]) -> None:
    _, url = service
    now = START + timedelta(hours=5, minutes=30)
    with client(url) as udf:
        history = udf.history("SOL", "1h", START, now, now=now)
        assert udf.counters.unfinished == 1
    assert history.opened_at[-1] == np.datetime64("2024-01-01T04:00")


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_key_names_the_setting(service: tuple[Service, str], status: int) -> None:
    found, url = service
    found.answer = lambda _: (status, {}, {"detail": "no key"})
    with client(url) as udf, pytest.raises(HistoryKeyMissing, match="PORTFOLIO_HISTORY_API_KEY"):
        udf.history("SOL", "1h", START, START, now=START)
    assert len(found.asked) == 1
    with (
        client(url, api_key="s3cr3t") as udf,
        pytest.raises(HistoryKeyMissing, match="refuses the key") as raised,
    ):
        udf.history("SOL", "1h", START, START, now=START)
    assert found.asked[-1]["authorization"] == "Bearer s3cr3t"
    assert "s3cr3t" not in str(raised.value)


def test_a_retired_service_says_what_to_do(service: tuple[Service, str]) -> None:
    found, url = service
    found.answer = lambda _: (410, {}, "gone")
    with client(url) as udf, pytest.raises(UdfError, match="PORTFOLIO_HISTORY_BASE_URL"):
        udf.history("SOL", "1h", START, START, now=START)


@pytest.mark.parametrize(
    "bad",
    [
        (429, {"Retry-After": "0"}, "slow"),
        (503, {}, b"<html>down</html>"),
        (200, {}, b"<html>login</html>"),
        (200, {}, b'{"s":"ok","t":[17040'),
        (200, {}, {"s": "ok", "t": ["x"]}),
    ],
    ids=["429", "503", "html", "truncated", "types"],
)
def test_what_may_pass_is_tried_again(service: tuple[Service, str], bad: Any) -> None:
    found, url = service
    answers = iter([bad, bad])
    found.answer = lambda query: next(answers, None) or hourly(query)
    with client(url) as udf:
        history = udf.history("SOL", "1h", START, START, now=START + timedelta(days=1))
        assert len(history) == 1
        assert udf.counters.retries == 2
        assert udf.counters.rate_limited == (2 if bad[0] == 429 else 0)
    found.answer = lambda _: bad
    with client(url) as udf, pytest.raises(UdfError, match="after 3 requests"):
        udf.history("SOL", "1h", START, START, now=START)


def test_an_error_of_the_service_is_passed_on(service: tuple[Service, str]) -> None:
    found, url = service
    found.answer = lambda _: (200, {}, {"s": "error", "errmsg": "unknown symbol"})
    with client(url) as udf, pytest.raises(UdfError, match="unknown symbol"):
        udf.history("NOPE", "1h", START, START, now=START)


@pytest.mark.parametrize(
    "empty",
    [{"s": "no_data"}, {"s": "ok", "t": [], "o": [], "h": [], "l": [], "c": [], "v": []}],
)
def test_an_empty_range_is_no_error(service: tuple[Service, str], empty: Any) -> None:
    found, url = service
    found.answer = lambda _: (200, {}, empty)
    with client(url) as udf:
        assert len(udf.history("SOL", "1h", START, START + timedelta(days=3), now=START)) == 0
        assert udf.counters.empty_pages == 1


def test_next_time_skips_the_years_before_a_listing(service: tuple[Service, str]) -> None:
    found, url = service
    listed = int((START + timedelta(days=3000)).timestamp())

    def answer(query: dict[str, Any]) -> tuple[int, dict[str, str], Any]:
        if int(query["to"]) < listed:
            return 200, {}, {"s": "no_data", "nextTime": listed}
        return hourly(query)

    found.answer = answer
    end = START + timedelta(days=3001)
    with client(url) as udf:
        history = udf.history("NEW", "1h", START, end, now=end + timedelta(days=1))
    assert len(found.asked) == 2
    assert len(history) == 25


def broken(**change: Any) -> dict[str, Any]:
    start = int(START.timestamp())
    return bars([start, start + HOUR]) | change


@pytest.mark.parametrize(
    "body",
    [
        broken(c=[1.0]),
        broken(o=[None, 10.0]),
        broken(h=[8.0, 12.0]),
        broken(l=[0.0, 9.0]),
        broken(c=[-1.0, 9.0]),
        broken(v=[1.0]),
        broken(v=[1.0, -1.0]),
        broken(t=[int(START.timestamp()) + HOUR, int(START.timestamp())]),
        broken(t=[int(START.timestamp())] * 2),
        broken(t=[0, HOUR]),
        broken(s="maybe"),
        broken(t=[1704067200, 2**70]),
        broken(t=[-(2**70), 1704070800]),
    ],
)
def test_arrays_that_contradict_the_format_are_refused(
    service: tuple[Service, str], body: dict[str, Any]
) -> None:
    found, url = service
    found.answer = lambda _: (200, {}, body)
    with client(url) as udf, pytest.raises(BadHistory, match="SOL"):
        udf.history("SOL", "1h", START, START + timedelta(hours=5), now=START + timedelta(days=1))


def test_an_oracle_without_volume_gives_none(service: tuple[Service, str]) -> None:
    found, url = service
    found.answer = lambda _: (200, {}, broken(v=[None, None]))
    end = START + timedelta(hours=1)
    with client(url) as udf:
        history = udf.history("SOL", "1h", START, end, now=START + timedelta(days=1))
    assert np.all(np.isnan(history.volume))


def test_the_request_limit_is_kept(service: tuple[Service, str]) -> None:
    import time

    _, url = service
    with client(url, requests=2, period_seconds=0.3) as udf:
        began = time.monotonic()
        for _ in range(5):
            udf.history("SOL", "1h", START, START, now=START)
        assert time.monotonic() - began >= 0.55


def test_naive_times_are_refused(service: tuple[Service, str]) -> None:
    with client(service[1]) as udf, pytest.raises(ValueError, match="time zone"):
        udf.history("SOL", "1h", datetime(2024, 1, 1), START)


def test_the_local_chain_serves_the_same_format(chain: LocalChain) -> None:
    now = datetime.now(UTC)
    token = next(one for one in chain.universe.tokens if one.symbol == "SOL")
    assert token.history_symbol is not None
    with client(chain.udf_url) as udf:
        daily = udf.history(token.history_symbol, "1d", now - timedelta(days=800), now, now=now)
        hourly_bars = udf.history(
            token.history_symbol, "1h", now - timedelta(days=89), now, now=now
        )
    assert len(daily) > 700
    assert len(hourly_bars) > 2000
    assert np.all(np.diff(daily.opened_at) == np.timedelta64(1, "D"))
