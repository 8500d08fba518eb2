"""Metrics that several parts have. Labels are closed sets: never a name or an id.

What happens to messages is counted by whichever process made the script call that changed Redis, so
sums over all processes are right and a call that is repeated counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)

from agentsession_core.api.values import LaunchType, Reason, TurnOutcome
from agentsession_core.kube import ApiRequest
from agentsession_core.mailbox.contract import Source
from agentsession_core.mailbox.observer import Observer
from agentsession_core.mailbox.stages import Launch, Passed

# Seconds. The limits that DESIGN §8 and the alerts name are among them.
SHORT: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
LATENCY: Final = (
    *(0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 2.5, 5.0, 10.0, 15.0, 30.0),
    *(60.0, 120.0, 300.0, 900.0, 1800.0),
)
OTHER: Final = "other"


def process_registry() -> CollectorRegistry:
    """A registry that has the process's own figures: memory, CPU, open files."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    return registry


def within(value: str, known: Iterable[str]) -> str:
    """The value as a label, `other` where it is none of those known."""
    return value if value in frozenset(known) else OTHER


class MailboxMetrics(Observer):
    """What happens to messages, turns and runs, as the mailbox store tells it."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._stages = Histogram(
            "agentsession_message_stage_seconds",
            "From a message's coming to a stage on its way, by what it found; of a turn's messages the "
            "oldest counts.",
            ["stage", "launch_type"],
            buckets=LATENCY,
            registry=registry,
        )
        self._messages = Counter(
            "agentsession_messages",
            "Messages on their way in, by source and what became of them.",
            ["source", "admission"],
            registry=registry,
        )
        self._runs_begun = Counter(
            "agentsession_runs_begun",
            "Runs that were begun, by launch type.",
            ["launch_type"],
            registry=registry,
        )
        self._run_start = Histogram(
            "agentsession_run_start_seconds",
            "From the decision to start a run to its runner's first hello, by launch type.",
            ["launch_type"],
            buckets=LATENCY,
            registry=registry,
        )
        self._runs_failed = Counter(
            "agentsession_runs_failed",
            "Runs that ended before their time, by reason; stage `start` is before the runner's hello.",
            ["reason", "stage"],
            registry=registry,
        )
        self._turns_given = Counter(
            "agentsession_turns_given",
            "Turns given to runs; attempt `again`: another run has left the turn behind.",
            ["attempt"],
            registry=registry,
        )
        self._turns_cut_off = Counter(
            "agentsession_turns_cut_off",
            "Turns whose run ended in their middle: by its own `death`, or it was taken away (`eviction`).",
            ["cause"],
            registry=registry,
        )
        self._turns = Counter(
            "agentsession_turns",
            "Turns that ended, by source of their messages and outcome.",
            ["source", "outcome"],
            registry=registry,
        )
        self._notices = Counter(
            "agentsession_notices",
            "Notices to people beside the answers, by kind.",
            ["kind"],
            registry=registry,
        )
        self._dead = Counter(
            "agentsession_dead_lettered_messages",
            "Messages that were given up, by reason.",
            ["reason"],
            registry=registry,
        )
        self._lost = Counter(
            "agentsession_lost_messages",
            "Messages that Redis has lost; their senders were told.",
            registry=registry,
        )
        self.redis_failed = RedisErrors(registry)

    def message_came(self, source: str, admission: str) -> None:
        self._messages.labels(within(source, Source), admission).inc()

    def run_began(self, launch: str) -> None:
        self._runs_begun.labels(within(launch, LaunchType)).inc()

    def run_greeted(self, launch: str, seconds: float) -> None:
        self._run_start.labels(within(launch, LaunchType)).observe(seconds)

    def run_failed(self, reason: str, *, greeted: bool) -> None:
        self._runs_failed.labels(within(reason, Reason), "work" if greeted else "start").inc()

    def turn_given(self, *, again: bool) -> None:
        self._turns_given.labels("again" if again else "first").inc()

    def stage_passed(self, passed: Passed) -> None:
        launch = within(passed.launch, Launch)
        self._stages.labels(passed.stage.value, launch).observe(passed.seconds)

    def turn_cut_off(self, *, own: bool) -> None:
        self._turns_cut_off.labels("death" if own else "eviction").inc()

    def turn_ended(self, source: str, outcome: str) -> None:
        self._turns.labels(within(source, Source), within(outcome, TurnOutcome)).inc()

    def notices_given(self, kind: str, count: int) -> None:
        self._notices.labels(kind).inc(count)

    def dead_lettered(self, reason: str, count: int) -> None:
        self._dead.labels(within(reason, Reason)).inc(count)

    def message_lost(self) -> None:
        self._lost.inc()


class RedisErrors:
    """Calls to Redis that failed for good."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._errors = Counter(
            "agentsession_redis_errors",
            "Calls to Redis that failed after their retries, by kind of error.",
            ["kind"],
            registry=registry,
        )

    def __call__(self, error: Exception) -> None:
        """Counts one."""
        self._errors.labels(type(error).__name__).inc()


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
