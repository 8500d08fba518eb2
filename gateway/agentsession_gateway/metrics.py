"""Prometheus metrics. Every label has a closed set of values."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from agentsession_core.metrics import SHORT, ApiMetrics, process_registry

_MODEL = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """The gateway's metrics in a registry of their own."""

    def __init__(self) -> None:
        self.registry = process_registry()
        self.api = ApiMetrics(self.registry, "gateway")
        self.model_calls = Counter(
            "agentsession_gateway_model_calls",
            "Model calls by their status' class; 'refused' were not forwarded.",
            ["status"],
            registry=self.registry,
        )
        self.model_first_byte = Histogram(
            "agentsession_gateway_model_first_byte_seconds",
            "From a model call's arrival to the first byte of its answer.",
            buckets=_MODEL,
            registry=self.registry,
        )
        self.model_tokens = Counter(
            "agentsession_gateway_model_tokens",
            "Tokens by kind: input, output, cache_read, cache_write.",
            ["kind"],
            registry=self.registry,
        )
        self.turns = Counter(
            "agentsession_gateway_turns",
            "Committed turns by outcome.",
            ["outcome"],
            registry=self.registry,
        )
        self.hello_seconds = Histogram(
            "agentsession_gateway_hello_seconds",
            "From a hello's arrival to its answer.",
            buckets=SHORT,
            registry=self.registry,
        )
        self.refusals = Counter(
            "agentsession_gateway_refusals",
            "Refused requests by HTTP status.",
            ["status"],
            registry=self.registry,
        )
        self.usage_losses = Counter(
            "agentsession_gateway_usage_losses",
            "Model calls whose tokens could not be written to Redis.",
            registry=self.registry,
        )
        self.streams = Gauge(
            "agentsession_gateway_streams", "Open runner streams.", registry=self.registry
        )
        self.hint_failures = Gauge(
            "agentsession_gateway_hint_failures",
            "How often the read of sessions:events was cut off.",
            registry=self.registry,
        )
