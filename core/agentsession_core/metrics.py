"""Metrics that operator and gateway have in common. Labels are closed sets: never a name or an id."""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from agentsession_core.kube import ApiRequest

# Seconds.
SHORT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


def process_registry() -> CollectorRegistry:
    """A registry that has the process's own figures: memory, CPU, open files."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


class ApiMetrics:
    """Requests to the API server, but for kopf's watches."""

    def __init__(self, registry: CollectorRegistry, part: str) -> None:
        self._requests = Counter(
            f"agentsession_{part}_api_requests",
            "Requests to the API server by verb, resource and class of answer; watches are not here.",
            ["verb", "resource", "result"],
            registry=registry,
        )
        self._seconds = Histogram(
            f"agentsession_{part}_api_request_seconds",
            "How long requests to the API server took, by verb.",
            ["verb"],
            buckets=SHORT,
            registry=registry,
        )

    def __call__(self, request: ApiRequest) -> None:
        """Counts a request that was answered, or was not."""
        self._requests.labels(request.verb, request.resource, request.result).inc()
        self._seconds.labels(request.verb).observe(request.seconds)
