"""Every metric that the processes have, read from their registries."""

from __future__ import annotations

from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from agentsession_bridge.metrics import Metrics as BridgeMetrics
from agentsession_gateway.metrics import Metrics as GatewayMetrics
from agentsession_operator.cache import Cache
from agentsession_operator.metrics import Metrics as OperatorMetrics
from orchestrator_api.metrics import Metrics as OrchestratorMetrics

OWN = "agentsession_"


@dataclass(frozen=True)
class Described:
    """A metric as its table names it; `labels` in the order of their declaration."""

    name: str
    kind: str
    parts: tuple[str, ...]
    labels: tuple[str, ...]
    text: str

    @property
    def series(self) -> set[str]:
        """Names of its time series."""
        if self.kind == "histogram":
            return {f"{self.name}{suffix}" for suffix in ("_bucket", "_count", "_sum")}
        return {self.name}


def registries() -> dict[str, CollectorRegistry]:
    """Each part's registry as its process makes it."""
    operator = OperatorMetrics(CollectorRegistry())
    operator.sessions.observe(Cache(), lambda: (0, 0.0), dict, lambda: 0, 1)
    return {
        "operator": operator.registry,
        "gateway": GatewayMetrics().registry,
        "bridge": BridgeMetrics().registry,
        "orchestrator": OrchestratorMetrics().registry,
    }


def all_metrics() -> dict[str, Described]:
    """Every metric of ours by name, sorted."""
    found: dict[str, Described] = {}
    for part, registry in registries().items():
        # The registry's own list of collectors: a counter without a value yet has no samples.
        for collector in registry._collector_to_names:
            for metric in _of(collector, part):
                known = found.get(metric.name)
                parts = (*known.parts, part) if known else (part,)
                found[metric.name] = Described(
                    metric.name, metric.kind, parts, metric.labels, metric.text
                )
    return dict(sorted(found.items()))


def _of(collector: Collector, part: str) -> list[Described]:
    described = []
    for metric in collector.collect():
        if not metric.name.startswith(OWN):
            continue
        labels = tuple(getattr(collector, "_labelnames", ())) or tuple(
            dict.fromkeys(label for sample in metric.samples for label in sample.labels)
        )
        name = f"{metric.name}_total" if metric.type == "counter" else metric.name
        labels = tuple(label for label in labels if label != "le")
        described.append(Described(name, metric.type, (part,), labels, metric.documentation))
    return described
