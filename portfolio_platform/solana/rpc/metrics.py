"""Counters of one endpoint, for asset metadata and for `/metrics`."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

_EWMA_WEIGHT = 0.2


@dataclass(slots=True)
class EndpointMetrics:
    """What an endpoint was asked and how it answered."""

    name: str
    requests: int = 0
    retries: int = 0
    hedges: int = 0
    rate_limited: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    bytes_received: int = 0
    throttled_seconds: float = 0.0
    latency_seconds: float | None = None
    slot: int = 0

    def answered(self, seconds: float, size: int) -> None:
        """Count a reply and move the latency average."""
        self.bytes_received += size
        if self.latency_seconds is None:
            self.latency_seconds = seconds
        else:
            self.latency_seconds += _EWMA_WEIGHT * (seconds - self.latency_seconds)

    def to_json(self, newest_slot: int) -> dict[str, Any]:
        """The counters as JSON; ``slot_lag`` is measured against the newest slot of the pool."""
        return {
            "endpoint": self.name,
            "requests": self.requests,
            "retries": self.retries,
            "hedges": self.hedges,
            "rate_limited": self.rate_limited,
            "errors": dict(self.errors),
            "bytes_received": self.bytes_received,
            "throttled_seconds": round(self.throttled_seconds, 3),
            "latency_seconds": self.latency_seconds,
            "slot": self.slot,
            "slot_lag": newest_slot - self.slot if self.slot else None,
        }
