"""The gateway's metrics. Every label has a closed set of values: never a name, a user or an id."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from agentsession_core.metrics import (
    LATENCY,
    SHORT,
    ApiMetrics,
    MailboxMetrics,
    process_registry,
    within,
)
from agentsession_core.problems import ProblemError

PREFIX = "agentsession_gateway"
TOKEN_KINDS = ("input", "output", "cache_read", "cache_write")


class Metrics:
    """The gateway's metrics in a registry of their own; `models` are those with a price."""

    def __init__(self, models: Iterable[str] = ()) -> None:
        self.registry: CollectorRegistry = process_registry()
        self.api = ApiMetrics(self.registry, "gateway")
        self.mailboxes = MailboxMetrics(self.registry)
        self.model = ModelMetrics(self.registry, models)
        self._requests = Histogram(
            f"{PREFIX}_request_seconds",
            "How long requests took until their answer began, by route and HTTP status.",
            ["route", "status"],
            buckets=SHORT,
            registry=self.registry,
        )
        self.hello_seconds = Histogram(
            f"{PREFIX}_hello_seconds",
            "From a hello's arrival to its answer.",
            buckets=SHORT,
            registry=self.registry,
        )
        self._refusals = Counter(
            f"{PREFIX}_refusals",
            "Refused requests by HTTP status and the problem's code; 408, 413 and 429 are limits.",
            ["status", "code"],
            registry=self.registry,
        )
        self._reviews = Counter(
            f"{PREFIX}_token_reviews",
            "Tokens the API server was asked about, by result: accepted, refused, failed.",
            ["result"],
            registry=self.registry,
        )
        self._hints_cut_off = Counter(
            f"{PREFIX}_hints_cut_off",
            "How often the read of sessions:events was cut off.",
            registry=self.registry,
        )
        self._standing = {
            name: Gauge(f"{PREFIX}_{name}", text, registry=self.registry)
            for name, text in (
                ("streams", "Runners that are connected."),
                ("terminals", "Terminals that follow a session."),
                ("exports", "Workspaces on their way to a terminal."),
                ("body_bytes", "Bytes of requests' bodies that are held."),
            )
        }

    def answered(self, route: str, status: int, seconds: float) -> None:
        """A request's answer has begun; `route` is the route's own pattern."""
        self._requests.labels(route, status).observe(seconds)

    def refused(self, problem: ProblemError) -> None:
        """A request was refused."""
        self._refusals.labels(problem.status, problem.code).inc()

    def reviewed(self, result: str) -> None:
        """The API server was asked about a token."""
        self._reviews.labels(result).inc()

    def hints_cut_off(self) -> None:
        """The read of the hints failed."""
        self._hints_cut_off.inc()

    def observe(self, gauges: Mapping[str, Callable[[], float]]) -> None:
        """Reads these gauges whenever they are scraped."""
        for name, value in gauges.items():
            self._standing[name].set_function(value)


class ModelMetrics:
    """Calls to the model API."""

    def __init__(self, registry: CollectorRegistry, models: Iterable[str] = ()) -> None:
        self._models = frozenset(models)
        self._calls = Counter(
            f"{PREFIX}_model_calls",
            "Model calls by HTTP status and outcome: answered, failed (by the model API), refused (not "
            "forwarded), abandoned (by the caller).",
            ["status", "outcome"],
            registry=registry,
        )
        self._seconds = Histogram(
            f"{PREFIX}_model_call_seconds",
            "From a model call's arrival to the last byte of its answer, by outcome.",
            ["outcome"],
            buckets=LATENCY,
            registry=registry,
        )
        self._first_byte = Histogram(
            f"{PREFIX}_model_first_byte_seconds",
            "From a model call's arrival to the first byte of its answer.",
            buckets=LATENCY,
            registry=registry,
        )
        self._tokens = Counter(
            f"{PREFIX}_model_tokens",
            f"Tokens by model (other: it has no price) and kind: {', '.join(TOKEN_KINDS)}.",
            ["model", "kind"],
            registry=registry,
        )
        self._cost = Counter(
            f"{PREFIX}_model_cost_usd",
            "Cost of model calls in US dollars, by model; those without a price are not in it.",
            ["model"],
            registry=registry,
        )
        self._usage_losses = Counter(
            f"{PREFIX}_usage_losses",
            "Model calls whose tokens are in no sum: Redis was away, or the answer did not tell them.",
            registry=registry,
        )

    def first_byte(self, seconds: float) -> None:
        """The first byte of a model's answer."""
        self._first_byte.observe(seconds)

    def called(self, status: int, outcome: str, seconds: float) -> None:
        """A model call is over."""
        self._calls.labels(status, outcome).inc()
        self._seconds.labels(outcome).observe(seconds)

    def used(self, model: str, tokens: Mapping[str, int], nanousd: int | None) -> None:
        """Tokens that a call has used, by kind; its cost in billionths of a dollar if it has a price."""
        model = within(model, self._models)
        for kind, count in tokens.items():
            self._tokens.labels(model, kind).inc(count)
        if nanousd is not None:
            self._cost.labels(model).inc(nanousd / 1e9)

    def usage_lost(self) -> None:
        """A call's tokens are in no sum."""
        self._usage_losses.inc()
