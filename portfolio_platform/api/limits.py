"""How much one subject may ask for: a token bucket each, bounded in number."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from portfolio_platform.api.problems import Problem

_MAX_SUBJECTS = 50_000


class RateLimiter:
    """Token buckets by subject.

    Parameters
    ----------
    rate
        Tokens a bucket regains per second; 0 lets everything pass.
    burst
        Size of a bucket.
    clock
        Seconds, monotonic.
    """

    def __init__(
        self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self.refused = 0

    def take(self, subject: str | None) -> None:
        """Take one token.

        Raises
        ------
        Problem
            ``rate-limited`` with the seconds until there is one.
        """
        if not self._rate:
            return
        key = subject or ""
        now = self._clock()
        level, at = self._buckets.pop(key, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        if level < 1.0:
            self._buckets[key] = (level, now)
            self.refused += 1
            raise Problem("rate-limited", retry_after=(1.0 - level) / self._rate)
        self._buckets[key] = (level - 1.0, now)
        if len(self._buckets) > _MAX_SUBJECTS:
            self._buckets.popitem(last=False)
