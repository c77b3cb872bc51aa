"""History from a TradingView-UDF service: ``GET {base}/history?symbol=&resolution=&from=&to=``.

The base URL, the key and the symbol prefix are settings of the caller; no service is built in.
Pages are handed out one by one, so that the caller commits each before the next is asked for and
resumes from the last bar that it holds.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self

import msgspec
import numpy as np
import numpy.typing as npt

from portfolio_platform.solana.retry_after import retry_after
from portfolio_platform.solana.rpc.limits import TokenBucket

Interval = Literal["1m", "1h", "1d"]
RESOLUTIONS: dict[Interval, str] = {"1m": "1", "1h": "60", "1d": "1D"}
SECONDS: dict[Interval, int] = {"1m": 60, "1h": 3600, "1d": 86400}
BARS_PER_PAGE = 2161


class UdfError(RuntimeError):
    """The history service gave no usable answer; the text names symbol and remedy, never a URL."""


class HistoryKeyMissing(UdfError):
    """The service wants a key, or refuses the one it got."""


class BadHistory(UdfError):
    """A reply whose arrays contradict the format."""


@dataclass(frozen=True)
class BarPage:
    """Finished bars of one page.

    Attributes
    ----------
    opened_at : ndarray of datetime64[ns], shape (n,)
        Open time of each bar, UTC, strictly increasing.
    open, high, low, close : ndarray of float64, shape (n,)
    volume : ndarray of float64, shape (n,)
        NaN where the service gives none.
    unfinished : int
        Bars left out because their interval has not closed.
    """

    symbol: str
    interval: Interval
    opened_at: npt.NDArray[np.datetime64]
    open: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    close: npt.NDArray[np.float64]
    volume: npt.NDArray[np.float64]
    unfinished: int = 0

    def __len__(self) -> int:
        return len(self.opened_at)


@dataclass(slots=True)
class UdfCounters:
    """What the client asked and got, for asset metadata."""

    requests: int = 0
    retries: int = 0
    rate_limited: int = 0
    bars: int = 0
    unfinished: int = 0
    empty_pages: int = 0
    bytes_received: int = 0
    errors: list[str] = field(default_factory=list)


class _Reply(msgspec.Struct):
    s: str
    t: list[int] = []
    o: list[float | None] = []
    h: list[float | None] = []
    l: list[float | None] = []  # noqa: E741
    c: list[float | None] = []
    v: list[float | None] = []
    errmsg: str | None = None
    nextTime: int | None = None


_DECODER = msgspec.json.Decoder(_Reply)


class UdfClient:
    """A UDF history service. Use as a context manager.

    Parameters
    ----------
    base_url : str
        Everything before ``/history``.
    api_key : str, optional
        Sent as a bearer token.
    symbol_prefix : str
        Put before every symbol.
    requests, period_seconds : int, float
        Request limit; the default is the strictest that such a service has published.
    attempts : int
        Tries per page before :class:`UdfError`.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        symbol_prefix: str = "",
        requests: int = 30,
        period_seconds: float = 10.0,
        timeout: float = 20.0,
        attempts: int = 5,
        backoff_seconds: float = 0.5,
    ) -> None:
        import httpx

        if not base_url.startswith(("http://", "https://")):
            raise UdfError("the history base URL is not an http(s) URL: PORTFOLIO_HISTORY_BASE_URL")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._http = httpx.Client(headers=headers, timeout=timeout)
        self._url = base_url.rstrip("/") + "/history"
        self._has_key = api_key is not None
        self._prefix = symbol_prefix
        self._bucket = TokenBucket(requests, period_seconds)
        self._attempts = attempts
        self._backoff = backoff_seconds
        self._random = random.Random()
        self.counters = UdfCounters()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._http.close()

    def pages(
        self,
        symbol: str,
        interval: Interval,
        start: datetime,
        end: datetime,
        *,
        now: datetime | None = None,
        on_page: Callable[[datetime], None] | None = None,
    ) -> Iterator[BarPage]:
        """Finished bars that open within ``[start, end]``, oldest page first.

        To resume, pass the open time of the last stored bar as ``start``: both edges of a range
        are inclusive, so that bar comes again and an upsert absorbs it.

        Parameters
        ----------
        now : datetime, optional
            Time by which a bar must have closed; the time of the machine if not given.
        on_page : callable, optional
            Told the open time up to which everything has been asked for, after each page.

        Raises
        ------
        HistoryKeyMissing, BadHistory, UdfError
        """
        if start.tzinfo is None or end.tzinfo is None:
            raise ValueError("start and end need a time zone")
        step = SECONDS[interval]
        at, last = int(start.timestamp()), int(end.timestamp())
        closed_by = int((now or datetime.now(UTC)).timestamp())
        while at <= last:
            upto = min(at + (BARS_PER_PAGE - 1) * step, last)
            reply = self._ask(self._prefix + symbol, interval, at, upto)
            page = _page(symbol, interval, reply, at, upto, closed_by)
            self.counters.bars += len(page)
            self.counters.unfinished += page.unfinished
            if len(page):
                yield page
            else:
                self.counters.empty_pages += 1
            if on_page is not None:
                on_page(datetime.fromtimestamp(upto, UTC))
            at = upto + 1
            if reply.s == "no_data" and reply.nextTime is not None and reply.nextTime > at:
                at = reply.nextTime

    def history(
        self,
        symbol: str,
        interval: Interval,
        start: datetime,
        end: datetime,
        *,
        now: datetime | None = None,
    ) -> BarPage:
        """All pages as one, each bar once."""
        pages = list(self.pages(symbol, interval, start, end, now=now))
        return join_pages(symbol, interval, pages)

    def _ask(self, symbol: str, interval: Interval, start: int, end: int) -> _Reply:
        import httpx

        query: dict[str, Any] = {
            "symbol": symbol,
            "resolution": RESOLUTIONS[interval],
            "from": start,
            "to": end,
        }
        reason = "no attempt was made"
        for attempt in range(self._attempts):
            self._wait()
            if attempt:
                self.counters.retries += 1
            self.counters.requests += 1
            wanted = None
            try:
                response = self._http.get(self._url, params=query)
            except httpx.TransportError as error:
                reason = f"connection failed ({type(error).__name__})"
            else:
                self.counters.bytes_received += len(response.content)
                if response.status_code in (401, 403):
                    raise HistoryKeyMissing(self._key_text(symbol, response.status_code))
                if response.status_code in (404, 410):
                    raise UdfError(
                        f"{symbol}: the history service answers HTTP {response.status_code}; it "
                        "may have been retired, set PORTFOLIO_HISTORY_BASE_URL to another one"
                    )
                if response.status_code == 200:
                    try:
                        return self._checked(symbol, _DECODER.decode(response.content))
                    except (msgspec.DecodeError, msgspec.ValidationError) as error:
                        reason = f"the reply is not UDF history: {error}"
                else:
                    reason = f"HTTP {response.status_code}"
                    if response.status_code == 429:
                        self.counters.rate_limited += 1
                    wanted = retry_after(response.headers.get("retry-after"), datetime.now(UTC))
            self.counters.errors.append(f"{symbol}: {reason}")
            if attempt + 1 < self._attempts:
                delay = self._backoff * 2**attempt * (0.5 + 0.5 * self._random.random())
                time.sleep(delay if wanted is None else wanted)
        raise UdfError(f"{symbol}: {reason} after {self._attempts} requests")

    def _key_text(self, symbol: str, status: int) -> str:
        said = "refuses the key" if self._has_key else "wants a key"
        return (
            f"{symbol}: the history service {said} (HTTP {status}); set "
            "PORTFOLIO_HISTORY_API_KEY, or PORTFOLIO_HISTORY_BASE_URL to another service"
        )

    @staticmethod
    def _checked(symbol: str, reply: _Reply) -> _Reply:
        if reply.s == "error":
            raise UdfError(f"{symbol}: the history service says: {reply.errmsg or 'error'}")
        if reply.s not in ("ok", "no_data"):
            raise BadHistory(f"{symbol}: status {reply.s!r} is not ok, no_data or error")
        return reply

    def _wait(self) -> None:
        while (delay := self._bucket.wait_seconds(time.monotonic())) > 0:
            time.sleep(delay)
        self._bucket.take(time.monotonic())


def _page(
    symbol: str, interval: Interval, reply: _Reply, start: int, end: int, closed_by: int
) -> BarPage:
    """Validated bars of a reply; the unfinished last bar is left out and counted."""
    if any(not start <= at <= end for at in reply.t):
        raise BadHistory(f"{symbol}: a bar lies outside the range that was asked for")
    times = np.asarray(reply.t, dtype=np.int64)
    columns = {"o": reply.o, "h": reply.h, "l": reply.l, "c": reply.c}
    for name, values in columns.items():
        if len(values) != len(times):
            raise BadHistory(
                f"{symbol}: array {name!r} has {len(values)} values for {len(times)} times"
            )
        if any(value is None for value in values):
            raise BadHistory(f"{symbol}: array {name!r} holds a null")
    if reply.v and len(reply.v) != len(times):
        raise BadHistory(f"{symbol}: array 'v' has {len(reply.v)} values for {len(times)} times")
    if np.any(np.diff(times) <= 0):
        raise BadHistory(f"{symbol}: bar times are not strictly increasing")
    o, h, low, c = (np.asarray(columns[name], dtype=np.float64) for name in "ohlc")
    for name, array in zip("ohlc", (o, h, low, c), strict=True):
        if not np.all(np.isfinite(array)) or np.any(array <= 0):
            raise BadHistory(f"{symbol}: array {name!r} holds a price that is not positive")
    wrong = np.flatnonzero(h < low)
    if wrong.size:
        raise BadHistory(f"{symbol}: bar {times[wrong[0]]} has high below low")
    v = np.asarray([np.nan if one is None else one for one in reply.v], dtype=np.float64)
    if not len(v):
        v = np.full(len(times), np.nan)
    if np.any(v < 0):
        raise BadHistory(f"{symbol}: array 'v' holds a negative volume")
    keep = times + SECONDS[interval] <= closed_by
    return BarPage(
        symbol=symbol,
        interval=interval,
        opened_at=(times[keep] * 1_000_000_000).astype("datetime64[ns]"),
        open=o[keep],
        high=h[keep],
        low=low[keep],
        close=c[keep],
        volume=v[keep],
        unfinished=int(np.count_nonzero(~keep)),
    )


def join_pages(symbol: str, interval: Interval, pages: list[BarPage]) -> BarPage:
    """Several pages as one; a bar that came twice at an edge stands once, as it came last."""
    if not pages:
        empty = np.empty(0, dtype=np.float64)
        return BarPage(
            symbol, interval, np.empty(0, "datetime64[ns]"), empty, empty, empty, empty, empty
        )
    times = np.concatenate([one.opened_at for one in pages])
    # np.unique keeps the first of equals, so look from the end.
    _, reversed_index = np.unique(times[::-1], return_index=True)
    index = len(times) - 1 - reversed_index

    def column(name: str) -> npt.NDArray[np.float64]:
        joined: npt.NDArray[np.float64] = np.concatenate([getattr(one, name) for one in pages])
        return joined[index]

    return BarPage(
        symbol=symbol,
        interval=interval,
        opened_at=times[index],
        open=column("open"),
        high=column("high"),
        low=column("low"),
        close=column("close"),
        volume=column("volume"),
        unfinished=sum(one.unfinished for one in pages),
    )
