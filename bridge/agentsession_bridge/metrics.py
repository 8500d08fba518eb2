"""The bridge's metrics. Labels are closed sets: never a chat, a user or a message."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentsession_bridge.outbox import Entry
from agentsession_core.api.values import TurnOutcome
from agentsession_core.mailbox.stages import Passed, Stage
from agentsession_core.metrics import (
    SHORT,
    ApiMetrics,
    MailboxMetrics,
    process_registry,
    within,
)
from agentsession_core.settings import Route

PREFIX = "agentsession_bridge"
KINDS = ("answer", "respond", "notice", "file")
_DELIVERY = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0)
_ANSWER = (1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0)


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
        self.updates = Counter(
            f"{PREFIX}_updates",
            "Updates taken in by what they were: words, command, press, stopped, unreadable, stranger, "
            "ignored.",
            ["kind"],
            registry=self.registry,
        )
        self.intake_seconds = Histogram(
            f"{PREFIX}_intake_seconds",
            "From an update's arrival until it is in Redis.",
            buckets=SHORT,
            registry=self.registry,
        )
        self.calls = Counter(
            f"{PREFIX}_telegram_calls",
            "Calls to the Bot API by method and outcome: ok, flood (429), refused, failed.",
            ["method", "outcome"],
            registry=self.registry,
        )
        self.delivery_seconds = Histogram(
            f"{PREFIX}_delivery_seconds",
            "From an answer's commit until Telegram has all of it.",
            buckets=_DELIVERY,
            registry=self.registry,
        )
        self.sent_again = Counter(
            f"{PREFIX}_sent_again",
            "Messages sent once more, since nobody knew whether they had arrived.",
            registry=self.registry,
        )
        self.conflicts = Counter(
            f"{PREFIX}_poll_conflicts",
            "Polls that ended because another process polls with this bot's token (409).",
            registry=self.registry,
        )
        self.poll_failures = Counter(
            f"{PREFIX}_poll_failures",
            "Polls that failed otherwise.",
            registry=self.registry,
        )
        self.poll_stalls = Counter(
            f"{PREFIX}_poll_stalls",
            "Polls that were given up because nothing came, not even an end.",
            registry=self.registry,
        )
        self.leader = Gauge(
            f"{PREFIX}_leader",
            "1 in the process that polls and delivers.",
            registry=self.registry,
        )
        self.routed = Counter(
            f"{PREFIX}_sessions_made",
            "Sessions made by kind of agent: cli-agent, other.",
            ["route"],
            registry=self.registry,
        )
        self.answers = Counter(
            f"{PREFIX}_answers",
            "Answers delivered by kind of agent (none: not made by the bridge) and the turn's outcome.",
            ["route", "outcome"],
            registry=self.registry,
        )
        self.answer_seconds = Histogram(
            f"{PREFIX}_answer_seconds",
            "From a message's arrival until its answer is delivered, by kind of agent.",
            ["route"],
            buckets=_ANSWER,
            registry=self.registry,
        )

    def delivered(self, entry: Entry, at: float, *, arrived: bool) -> None:
        """An entry is done with; `at` by Redis' clock, in seconds since the epoch."""
        result = "delivered" if arrived else "nobody"
        self._deliveries.labels(within(entry.kind, KINDS), result).inc()
        if arrived and entry.said_at:
            self.delivery_seconds.observe(max(0.0, at - entry.said_at))
        if arrived and entry.came_at is not None:
            way = Passed(Stage.DELIVERED, entry.launch, at - entry.came_at)
            self.mailboxes.stage_passed(way)

    def answered(self, route: str, entry: Entry, at: float) -> None:
        """An answer is delivered, at a time of Redis' clock."""
        kind = within(route or "none", (*Route, "none"))
        outcome = within(entry.outcome or "none", (*TurnOutcome, "none"))
        self.answers.labels(kind, outcome).inc()
        if entry.came_at is not None:
            self.answer_seconds.labels(kind).observe(max(0.0, at - entry.came_at))

    def postponed(self, error: Exception) -> None:
        """An entry comes again."""
        self._retries.labels(type(error).__name__).inc()
