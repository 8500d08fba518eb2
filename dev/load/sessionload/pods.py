"""Run pods as a kubelet's status shows them, read and written. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from agentsession_core import naming
from sessionload.api import Body

# On what load makes itself: plain Jobs and their pods.
MANAGED_BY_LOAD = "sessionload"


@dataclass(frozen=True)
class RunPod:
    """A pod that a node has started; `gateway` is empty for one that is no run's."""

    name: str
    uid: str
    session: str
    gateway: str
    agent_type: str


def running_pod(body: Body) -> RunPod | None:
    """The pod if its container runs and nobody wants it gone, else None."""
    metadata, status = body["metadata"], body.get("status", {})
    if status.get("phase") != "Running" or "deletionTimestamp" in metadata:
        return None
    env = {
        item["name"]: item.get("value", "") for item in body["spec"]["containers"][0].get("env", ())
    }
    return RunPod(
        name=metadata["name"],
        uid=metadata["uid"],
        session=metadata["labels"].get(naming.LABEL_SESSION, ""),
        gateway=env.get("AGENTSESSION_GATEWAY_URL", ""),
        agent_type=env.get("AGENT_TYPE", ""),
    )


def ended_status(body: Body, exit_code: int, at: float) -> Body:
    """The status a kubelet writes when a pod's only container has ended; `at` in Unix seconds."""
    stamp = _stamp(at)
    statuses = []
    for container in body["status"]["containerStatuses"]:
        started = container.get("state", {}).get("running", {}).get("startedAt", stamp)
        terminated = {
            "exitCode": exit_code,
            "reason": "Completed" if exit_code == 0 else "Error",
            "startedAt": started,
            "finishedAt": stamp,
        }
        statuses.append(
            {**container, "ready": False, "started": False, "state": {"terminated": terminated}}
        )
    conditions = [
        {**condition, "status": "False", "reason": "PodCompleted", "lastTransitionTime": stamp}
        if condition["type"] in ("Ready", "ContainersReady", "PodReadyToStartContainers")
        else condition
        for condition in body["status"].get("conditions", ())
    ]
    phase = "Succeeded" if exit_code == 0 else "Failed"
    return {"phase": phase, "conditions": conditions, "containerStatuses": statuses}


def token_request(pod: RunPod, seconds: int) -> Body:
    """What a kubelet asks for to fill the pod's projected token."""
    bound = {"apiVersion": "v1", "kind": "Pod", "name": pod.name, "uid": pod.uid}
    return {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "audiences": [naming.AUDIENCE_GATEWAY],
            "expirationSeconds": seconds,
            "boundObjectRef": bound,
        },
    }


def _stamp(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
