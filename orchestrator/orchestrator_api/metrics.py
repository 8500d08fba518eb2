"""The orchestrator's metrics. Every label has a closed set of values: never a name, a user or an id."""

from __future__ import annotations

from math import nan
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentsession_core.metrics import SHORT, ApiMetrics, RedisErrors, process_registry, within
from orchestrator_api.callers import Caller
from orchestrator_api.standing import Standing

PREFIX: Final = "agentsession_orchestrator"
METHODS: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
NO_ROUTE: Final = "none"


class Metrics:
    """The orchestrator's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = process_registry()
        self.api = ApiMetrics(self.registry, "orchestrator")
        self.redis_failed = RedisErrors(self.registry)
        self._requests = Histogram(
            f"{PREFIX}_request_seconds",
            "How long requests took, by method, route (none: no route of the API's) and HTTP status; "
            "probes are not here.",
            ["method", "route", "status"],
            buckets=SHORT,
            registry=self.registry,
        )
        self._reviews = Counter(
            f"{PREFIX}_token_reviews",
            "Tokens the API server was asked about, by result: accepted, refused, failed.",
            ["result"],
            registry=self.registry,
        )
        self._limited = Counter(
            f"{PREFIX}_rate_limited",
            "Requests refused because their caller asks too often, by kind of caller: api-token, run.",
            ["caller"],
            registry=self.registry,
        )
        self._forgotten = Counter(
            f"{PREFIX}_forgotten",
            "Rows removed after their days: tasks, incidents, summaries, approvals, audit.",
            ["what"],
            registry=self.registry,
        )
        self._outbox_entries = Gauge(
            f"{PREFIX}_outbox_entries",
            "Entries that wait to be published to Redis; no number while the database cannot be read.",
            registry=self.registry,
        )
        self._outbox_oldest = Gauge(
            f"{PREFIX}_outbox_oldest_seconds",
            "How long the oldest of them has waited.",
            registry=self.registry,
        )
        self._tasks = Gauge(
            f"{PREFIX}_tasks",
            "Tasks by kind and state; ended ones are counted every five minutes.",
            ["kind", "state"],
            registry=self.registry,
        )

    def answered(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """A request was answered; `route` is the route's own pattern."""
        labels = (within(method, METHODS), route or NO_ROUTE, status)
        self._requests.labels(*labels).observe(seconds)

    def reviewed(self, result: str) -> None:
        """The API server was asked about a token."""
        self._reviews.labels(result).inc()

    def rate_limited(self, caller: Caller) -> None:
        """A request was refused because its caller asks too often."""
        self._limited.labels(caller.kind.value).inc()

    def forgotten(self, what: str, count: int) -> None:
        """So many rows were kept for their days and are gone."""
        self._forgotten.labels(what).inc(count)

    def stands(self, standing: Standing | None) -> None:
        """What the database holds now; None: nobody knows."""
        # A kind and state that nothing is in any more would keep its last number.
        self._tasks.clear()
        if standing is None:
            self._outbox_entries.set(nan)
            self._outbox_oldest.set(nan)
            return
        self._outbox_entries.set(standing.outbox_entries)
        self._outbox_oldest.set(standing.outbox_oldest_seconds)
        for (kind, state), count in standing.tasks.items():
            self._tasks.labels(kind, state).set(count)
