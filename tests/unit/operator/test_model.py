"""What the operator reads off Kubernetes objects."""

from __future__ import annotations

from typing import Any

import pytest

from agentsession_core.api import Resources
from agentsession_operator.model import job_view, pod_view
from agentsession_operator.quantity import exceeding, parse_quantity


def pod(state: dict[str, Any] | None, **parts: Any) -> dict[str, Any]:
    statuses = [{"name": "agent", "state": state}] if state is not None else []
    return {
        "metadata": {"name": "p", "uid": "u", "labels": {}, **parts.pop("metadata", {})},
        "spec": {"nodeName": "n", **parts.pop("spec", {})},
        "status": {"phase": "Running", "containerStatuses": statuses, **parts},
    }


@pytest.mark.parametrize(
    ("body", "runs"),
    [
        (pod({"running": {}}), True),
        (pod({"waiting": {"reason": "ContainerCreating"}}, phase="Pending"), True),
        (pod(None, phase="Pending"), True),
        (pod({"running": {}}, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"}), True),
        (pod({"terminated": {"exitCode": 0}}), False),
        (pod({"running": {}}, phase="Failed"), False),
        (pod(None, phase="Succeeded"), False),
        (
            pod(
                None,
                phase="Pending",
                spec={"nodeName": None},
                metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"},
            ),
            False,
        ),
    ],
)
def test_may_still_run(body: dict[str, Any], runs: bool) -> None:
    assert pod_view(body).may_still_run is runs


def test_why_a_container_ended_or_waits() -> None:
    killed = pod_view(pod({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}))
    assert (killed.exit_code, killed.exit_reason) == (137, "OOMKilled")
    waiting = pod_view(pod({"waiting": {"reason": "ErrImagePull", "message": "not found"}}))
    assert (waiting.waiting_reason, waiting.waiting_message) == ("ErrImagePull", "not found")


def test_when_a_container_started_and_why_its_pod_was_taken_away() -> None:
    started = pod_view(pod({"running": {"startedAt": "2026-11-25T10:00:00Z"}}))
    assert started.started_at == 1795600800.0
    assert pod_view(pod({"waiting": {}})).started_at is None
    conditions = [{"type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet"}]
    evicted = pod_view(pod(None, phase="Failed", conditions=conditions, message="too much"))
    assert (evicted.disruption, evicted.end_message) == ("TerminationByKubelet", "too much")


@pytest.mark.parametrize(
    ("ready", "containers", "phase", "lost"),
    [
        ("False", "True", "Running", True),
        ("True", "True", "Running", False),
        ("False", "False", "Running", False),
        ("False", "True", "Succeeded", False),
    ],
)
def test_a_node_that_does_not_report(ready: str, containers: str, phase: str, lost: bool) -> None:
    # As a kubelet that was stopped left it, on Kubernetes 1.35.
    conditions = [
        {"type": "Ready", "status": ready},
        {"type": "ContainersReady", "status": containers},
    ]
    view = pod_view(pod({"running": {}}, phase=phase, conditions=conditions))
    assert view.node_lost is lost
    assert view.may_still_run is (phase == "Running")


def test_unschedulable() -> None:
    conditions = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "no cpu"}
    ]
    assert pod_view(pod(None, phase="Pending", conditions=conditions)).unschedulable == "no cpu"


@pytest.mark.parametrize(
    ("conditions", "finished"),
    [
        ([], False),
        ([{"type": "Complete", "status": "True"}], True),
        ([{"type": "SuccessCriteriaMet", "status": "True"}], True),
        ([{"type": "FailureTarget", "status": "True", "reason": "DeadlineExceeded"}], True),
        ([{"type": "Complete", "status": "False"}], False),
    ],
)
def test_job_is_finished(conditions: list[dict[str, str]], finished: bool) -> None:
    body = {
        "metadata": {
            "name": "anna-r3",
            "uid": "u",
            "labels": {"agentsession.dev/session": "anna"},
            "ownerReferences": [{"kind": "AgentSession", "uid": "s"}],
        },
        "status": {"conditions": conditions},
    }
    view = job_view(body)
    assert view.finished is finished
    assert (view.run, view.session_uid) == (3, "s")


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("500m", "1"),
        ("1", "1001m"),
        ("1Gi", "2G"),
        ("1023Mi", "1Gi"),
        ("1e3", "1.1k"),
        ("1n", "1u"),
    ],
)
def test_quantities_compare(smaller: str, larger: str) -> None:
    assert parse_quantity(smaller) < parse_quantity(larger)


def test_what_exceeds_the_maximum_is_named() -> None:
    resources = Resources(requests={"cpu": "1"}, limits={"memory": "16Gi", "cpu": "2"})
    assert exceeding(resources, {"memory": "8Gi", "cpu": "2"}) == "limits.memory 16Gi > 8Gi"
    assert exceeding(resources, None) == ""
    assert exceeding(None, {"cpu": "1"}) == ""
