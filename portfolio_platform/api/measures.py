"""Prometheus measures of one API process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)


class Measures:
    """Counters and histograms, labelled by route template, never by raw path."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter(
            "portfolio_api_requests",
            "Requests by method, route and status.",
            ("method", "route", "status"),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "portfolio_api_request_seconds",
            "Time from the first byte in to the last byte out.",
            ("route",),
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self.in_flight = Gauge(
            "portfolio_api_requests_in_flight", "Requests being served.", registry=self.registry
        )
        self.streams = Gauge("portfolio_api_streams", "Open event streams.", registry=self.registry)
        self._bound: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one finished request."""
        known = self._bound.get((method, route, status))
        if known is None:
            known = (
                self._requests.labels(method, route, str(status)),
                self._seconds.labels(route),
            )
            self._bound[method, route, status] = known
        known[0].inc()
        if route != "/v1/stream":
            known[1].observe(seconds)

    def gauges(self, read: Callable[[], dict[str, float]]) -> None:
        """Add gauges whose values `read` returns, by full metric name, at each scrape."""
        self.registry.register(_Reader(read))

    def exposition(self) -> bytes:
        """The Prometheus text format."""
        return generate_latest(self.registry)


class _Reader(Collector):
    def __init__(self, read: Callable[[], dict[str, float]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        for name, value in self._read().items():
            yield GaugeMetricFamily(name, name.replace("_", " "), value=value)
