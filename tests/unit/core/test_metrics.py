from __future__ import annotations

from prometheus_client import CollectorRegistry

from agentsession_core.api import Reason
from agentsession_core.metrics import MailboxMetrics, within


def test_what_is_unknown_has_one_label() -> None:
    """A label that anybody can invent would be a series each."""
    assert within("RunFailed", Reason) == "RunFailed"
    assert within("made up", Reason) == "other"
    registry = CollectorRegistry()
    metrics = MailboxMetrics(registry)
    for number in range(50):
        metrics.run_failed(f"made up {number}", greeted=False)
        metrics.turn_ended(f"source {number}", "Succeeded")
    value = registry.get_sample_value
    assert value("agentsession_runs_failed_total", {"reason": "other", "stage": "start"}) == 50
    assert value("agentsession_turns_total", {"source": "other", "outcome": "Succeeded"}) == 50
