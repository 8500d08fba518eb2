"""The operator's metrics. Labels are closed sets: never a name, a user or a uid."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from agentsession_core.api import Phase, Reason
from agentsession_core.metrics import LATENCY, SHORT, ApiMetrics, MailboxMetrics
from agentsession_operator.cache import Cache

PREFIX = "agentsession_operator"


class Metrics:
    """Everything the operator counts."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.api = ApiMetrics(registry, "operator")
        self.mailboxes = MailboxMetrics(registry)
        self.queue = QueueMetrics(registry)
        self.watches = WatchMetrics(registry)
        self.sessions = SessionMetrics(registry)
        self._errors = Counter(
            f"{PREFIX}_errors",
            "Failed attempts by kind of error; each is tried again.",
            ["kind"],
            registry=registry,
        )

    def count_error(self, error: Exception) -> None:
        """Counts a failed attempt."""
        self._errors.labels(kind=type(error).__name__).inc()


class QueueMetrics:
    """How the work queue gets on: what it is told by the queue."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._looks = Histogram(
            f"{PREFIX}_reconcile_seconds",
            "How long looks at sessions took, by result: done, again (it asked for another) or failed.",
            ["result"],
            buckets=SHORT,
            registry=registry,
        )
        self._waits = Histogram(
            f"{PREFIX}_queue_wait_seconds",
            "How long sessions waited until they were looked at.",
            buckets=SHORT,
            registry=registry,
        )
        self._lateness = Histogram(
            f"{PREFIX}_deadline_lateness_seconds",
            "How late appointed looks were queued: the error of every suspension and deletion.",
            buckets=SHORT,
            registry=registry,
        )
        self._pauses = Counter(
            f"{PREFIX}_pauses",
            "Times when all work paused because the API server was away or overloaded.",
            registry=registry,
        )

    def looked(self, result: str, seconds: float) -> None:
        """A look at a session is over."""
        self._looks.labels(result).observe(seconds)

    def waited(self, seconds: float) -> None:
        """A session waited so long for a worker."""
        self._waits.observe(seconds)

    def was_late(self, seconds: float) -> None:
        """An appointed look was queued so late."""
        self._lateness.observe(max(0.0, seconds))

    def paused(self) -> None:
        """All work pauses."""
        self._pauses.inc()


class WatchMetrics:
    """What the operator knows of the cluster, and how."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._events = Counter(
            f"{PREFIX}_watch_events",
            "Objects that watches brought, by resource and type (listed, added, modified, deleted).",
            ["resource", "type"],
            registry=registry,
        )
        self._restarts = Counter(
            f"{PREFIX}_watch_restarts",
            "Watches that had to begin anew with a list, by resource.",
            ["resource"],
            registry=registry,
        )
        self._missed = Counter(
            f"{PREFIX}_missed_deletions",
            "Objects that were gone without a watch having said so, by resource.",
            ["resource"],
            registry=registry,
        )
        self._compared = Gauge(
            f"{PREFIX}_compared_timestamp_seconds",
            "When cache and cluster were last compared, in seconds since the epoch.",
            registry=registry,
        )

    def brought(self, resource: str, kind: str | None) -> None:
        """A watch's event; `kind` is None for what the listing at its begin brought."""
        self._events.labels(resource, (kind or "listed").lower()).inc()

    def restarted(self, resource: str) -> None:
        """A watch listed anew."""
        self._restarts.labels(resource).inc()

    def missed(self, resource: str) -> None:
        """A deletion was not told by a watch."""
        self._missed.labels(resource).inc()

    def compared(self) -> None:
        """Cache and cluster were compared."""
        self._compared.set_to_current_time()


class SessionMetrics:
    """Steps in the lives of sessions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._suspensions = Counter(
            f"{PREFIX}_suspensions",
            "Sessions that became suspended, by reason.",
            ["reason"],
            registry=registry,
        )
        self._expired = Counter(
            f"{PREFIX}_sessions_expired",
            "Sessions that the operator deleted because their time was over.",
            registry=registry,
        )
        self._gone = Counter(
            f"{PREFIX}_sessions_gone",
            "Sessions that are deleted and cleaned up, by whoever's wish.",
            registry=registry,
        )
        self._redis_ahead = Gauge(
            f"{PREFIX}_redis_clock_ahead_seconds",
            "How far Redis' clock is ahead of the operator's; below zero: behind it.",
            registry=registry,
        )
        self._place_waits = Histogram(
            f"{PREFIX}_place_wait_seconds",
            "How long sessions that were given a place to run had waited for it, by kind (chat, task).",
            ["kind"],
            buckets=LATENCY,
            registry=registry,
        )

    def suspended(self, reason: Reason) -> None:
        """A session's status says that it is suspended, and did not before."""
        self._suspensions.labels(reason.value).inc()

    def expired(self) -> None:
        """The operator deleted a session."""
        self._expired.inc()

    def gone(self) -> None:
        """A deleted session was cleaned up."""
        self._gone.inc()

    def redis_clock_ahead(self, seconds: float) -> None:
        """Redis' clock was compared with the operator's."""
        self._redis_ahead.set(seconds)

    def got_place(self, *, task: bool, seconds: float) -> None:
        """A session was given a place after so many seconds in the queue for runs."""
        self._place_waits.labels("task" if task else "chat").observe(seconds)

    def observe(
        self,
        cache: Cache,
        queue: Callable[[], tuple[int, float]],
        waiting: Callable[[], Mapping[bool, int]],
        holding: Callable[[], int],
        places: int,
    ) -> None:
        """Reads gauges whenever they are scraped: nothing is counted while nobody asks.

        `queue` answers its depth and the age of its oldest entry in seconds.
        """
        self._registry.register(_Standing(cache, queue, waiting, holding, places))


class _Standing(Collector):
    """How things are now."""

    def __init__(
        self,
        cache: Cache,
        queue: Callable[[], tuple[int, float]],
        waiting: Callable[[], Mapping[bool, int]],
        holding: Callable[[], int],
        places: int,
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._waiting = waiting
        self._holding = holding
        self._places = places

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges; one pass over all sessions, none of which is unpacked."""
        # A copy: the server that is asked runs in a thread of its own.
        sessions = tuple(self._cache.index().values())
        yield _tally(
            "agentsession_sessions",
            "Sessions by phase; None: the operator has not looked at it yet.",
            "phase",
            [*(phase.value for phase in Phase), "None"],
            Tally(str(session.phase) for session in sessions),
        )
        yield _tally(
            "agentsession_session_reasons",
            "Sessions by the reason of their Ready condition; None: there is no condition yet.",
            "reason",
            [*(reason.value for reason in Reason), "None"],
            Tally(str(session.reason) for session in sessions),
        )
        waiting = self._waiting()
        yield _tally(
            f"{PREFIX}_queued_sessions",
            "Sessions that wait for a place to run, by kind (chat, task).",
            "kind",
            ["chat", "task"],
            {"chat": waiting.get(False, 0), "task": waiting.get(True, 0)},
        )
        depth, oldest = self._queue()
        for name, text, value in (
            ("places_taken", "Places to run that are taken.", self._holding()),
            ("places", "Places to run.", self._places),
            ("queue_depth", "Sessions that wait to be looked at.", depth),
            ("queue_oldest_seconds", "How long the first of them has waited.", oldest),
        ):
            yield GaugeMetricFamily(f"{PREFIX}_{name}", text, value=value)


def _tally(
    name: str, text: str, label: str, values: Iterable[str], counts: Mapping[str, int]
) -> GaugeMetricFamily:
    """Every value has its series, also where nothing is counted: a zero is not a gap."""
    family = GaugeMetricFamily(name, text, labels=[label])
    for value in values:
        family.add_metric([value], counts.get(value, 0))
    return family
