"""The bridge's metrics. Labels are closed sets: never a chat, a user or a message."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter

from agentsession_bridge.outbox import Entry
from agentsession_core.mailbox.stages import Passed, Stage
from agentsession_core.metrics import ApiMetrics, MailboxMetrics, process_registry, within

PREFIX = "agentsession_bridge"
KINDS = ("answer", "respond", "notice", "file")


class Metrics:
    """Everything the bridge counts, in a registry of its own."""

    def __init__(self) -> None:
        self.registry: CollectorRegistry = process_registry()
        self.api = ApiMetrics(self.registry, "bridge")
        self.mailboxes = MailboxMetrics(self.registry)
        self._deliveries = Counter(
            f"{PREFIX}_deliveries",
            "What was taken out for Telegram, by kind and result: delivered, or nobody (is there).",
            ["kind", "result"],
            registry=self.registry,
        )
        self._retries = Counter(
            f"{PREFIX}_delivery_retries",
            "Deliveries that did not succeed and come again, by kind of error.",
            ["kind"],
            registry=self.registry,
        )

    def delivered(self, entry: Entry, at: float, *, arrived: bool) -> None:
        """An entry is done with; `at` by Redis' clock, in seconds since the epoch."""
        result = "delivered" if arrived else "nobody"
        self._deliveries.labels(within(entry.kind, KINDS), result).inc()
        if arrived and entry.came_at is not None:
            way = Passed(Stage.DELIVERED, entry.launch, at - entry.came_at)
            self.mailboxes.stage_passed(way)

    def postponed(self, error: Exception) -> None:
        """An entry comes again."""
        self._retries.labels(type(error).__name__).inc()
