"""Request limits: tokens that come back a fixed time after they were spent."""

import asyncio
from collections import deque
from dataclasses import dataclass

PUBLIC_PERIOD_SECONDS = 10.0
PUBLIC_REQUESTS = 100
PUBLIC_REQUESTS_PER_METHOD = 40


class TokenBucket:
    """At most ``tokens`` acquisitions in any window of ``period`` seconds.

    Each token returns ``period`` after it was taken, so that the limit also holds across the
    edges of windows (a bucket with a steady refill allows twice the limit there).
    """

    def __init__(self, tokens: int, period: float) -> None:
        if tokens < 1 or period <= 0:
            raise ValueError("a bucket needs at least one token and a positive period")
        self._tokens = tokens
        self._period = period
        self._spent: deque[float] = deque()

    def wait_seconds(self, now: float) -> float:
        """Seconds until a token is free."""
        while self._spent and self._spent[0] <= now - self._period:
            self._spent.popleft()
        if len(self._spent) < self._tokens:
            return 0.0
        return self._spent[len(self._spent) - self._tokens] + self._period - now

    def take(self, now: float) -> None:
        """Spend a token at ``now``."""
        self._spent.append(now)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one endpoint; the defaults are those of the public mainnet endpoint."""

    requests: int = PUBLIC_REQUESTS
    requests_per_method: int = PUBLIC_REQUESTS_PER_METHOD
    period_seconds: float = PUBLIC_PERIOD_SECONDS
    connections: int = 40


class Throttle:
    """The buckets of one endpoint: one for all requests and one per method."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._all = TokenBucket(limits.requests, limits.period_seconds)
        self._methods: dict[str, TokenBucket] = {}

    def _buckets(self, method: str) -> tuple[TokenBucket, TokenBucket]:
        per_method = self._methods.get(method)
        if per_method is None:
            per_method = TokenBucket(self._limits.requests_per_method, self._limits.period_seconds)
            self._methods[method] = per_method
        return self._all, per_method

    def wait_seconds(self, method: str, now: float) -> float:
        """Seconds until a request of ``method`` may be sent."""
        return max(bucket.wait_seconds(now) for bucket in self._buckets(method))

    async def acquire(self, method: str) -> float:
        """Wait for a token of both buckets and take them; the seconds waited."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        while (delay := self.wait_seconds(method, loop.time())) > 0:
            await asyncio.sleep(delay)
        now = loop.time()
        for bucket in self._buckets(method):
            bucket.take(now)
        return now - began
