"""The operator's metrics. Labels are closed sets: never a name, a user or a uid."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge

from agentsession_core.api import Phase
from agentsession_core.metrics import ApiMetrics
from agentsession_operator.cache import Cache


class Metrics:
    """Everything the operator counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.api = ApiMetrics(registry, "operator")
        self._errors = Counter(
            "agentsession_operator_errors_total",
            "Failed attempts by kind of error; each is tried again.",
            ["kind"],
            registry=registry,
        )
        self._depth = Gauge(
            "agentsession_operator_queue_depth",
            "Sessions that wait to be looked at.",
            registry=registry,
        )
        self._sessions = Gauge(
            "agentsession_sessions", "Sessions by phase.", ["phase"], registry=registry
        )

    def count_error(self, error: Exception) -> None:
        """Counts a failed attempt."""
        self._errors.labels(kind=type(error).__name__).inc()

    def observe(self, cache: Cache, depth: Callable[[], int]) -> None:
        """Reads gauges from the cache whenever they are scraped."""
        self._depth.set_function(depth)
        for phase in Phase:
            self._sessions.labels(phase=phase.value).set_function(_counter(cache, phase))


def _counter(cache: Cache, phase: Phase) -> Callable[[], float]:
    return lambda: sum(1 for session in cache.index().values() if session.phase is phase)
