from __future__ import annotations

import copy
from typing import Any

from agentsession_core.api import AgentSession
from agentsession_core.effective import merge
from agentsession_core.settings import AgentImage, Settings
from agentsession_operator.builders.job import build_job
from agentsession_operator.builders.services import Services
from agentsession_operator.model import pod_view
from sessionload.pods import RunPod, ended_status, running_pod, token_request

SERVICES = Services("http://127.0.0.1:8080")
SESSION = {
    "apiVersion": "agentsession.dev/v1alpha1",
    "kind": "AgentSession",
    "metadata": {"name": "anna", "namespace": "agents", "uid": "uid-1", "generation": 1},
    "spec": {"user": {"id": "42"}, "prompt": "hello"},
}


def run_pod() -> dict[str, Any]:
    """A run's pod as the operator's Job makes it and kwok starts it."""
    session = AgentSession.from_api(SESSION)
    image = AgentImage(image="localhost/played:none")
    effective = merge(session.spec, None, Settings().defaults, {"claude-code": image})  # type: ignore[dict-item]
    template = build_job(session, effective, 1, SERVICES)["spec"]["template"]
    return {
        "metadata": {"name": "anna-r1-x", "uid": "pod-1", **copy.deepcopy(template["metadata"])},
        "spec": {**template["spec"], "nodeName": "localcluster"},
        "status": {
            "phase": "Running",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Ready", "status": "True"},
                {"type": "ContainersReady", "status": "True"},
            ],
            "containerStatuses": [
                {
                    "name": "agent",
                    "ready": True,
                    "started": True,
                    "state": {"running": {"startedAt": "2026-11-25T05:00:00Z"}},
                }
            ],
        },
    }


def test_a_running_pod_says_where_its_gateway_is() -> None:
    expected = RunPod("anna-r1-x", "pod-1", "anna", "http://127.0.0.1:8080", "claude-code")
    assert running_pod(run_pod()) == expected


def test_a_pod_that_does_not_run_or_is_to_go_is_nobodys() -> None:
    waiting, going = run_pod(), run_pod()
    waiting["status"] = {"phase": "Pending"}
    going["metadata"]["deletionTimestamp"] = "2026-11-25T05:00:00Z"
    assert running_pod(waiting) is None
    assert running_pod(going) is None


def test_a_pod_of_a_plain_job_has_no_gateway() -> None:
    pod = run_pod()
    del pod["spec"]["containers"][0]["env"]
    found = running_pod(pod)
    assert found is not None
    assert found.gateway == ""


def test_the_operator_reads_an_ended_pod_as_one_that_a_kubelet_ended() -> None:
    for code, phase in ((0, "Succeeded"), (1, "Failed")):
        pod = run_pod()
        pod["status"] |= ended_status(pod, code, at=1_800_000_000.0)
        view = pod_view(pod)
        assert (view.phase, view.exit_code, view.terminated) == (phase, code, True)
        assert view.started_at is not None
        assert not view.may_still_run
        assert not view.node_lost


def test_the_token_is_bound_to_the_pod_and_for_the_gateway_alone() -> None:
    pod = running_pod(run_pod())
    assert pod is not None
    spec = token_request(pod, 600)["spec"]
    assert spec["audiences"] == ["agentsession-gateway"]
    assert spec["boundObjectRef"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "anna-r1-x",
        "uid": "pod-1",
    }
