"""What the operator remembers of Kubernetes objects: the few fields it decides from.

Ten thousand sessions stay in memory at once, so whole objects are never kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from agentsession_core import naming

Body = dict[str, Any]
IMAGE_FAILURES: Final = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
)


@dataclass(frozen=True, slots=True)
class Key:
    """A session's namespace and name."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class JobView:
    """A run's Job. `created_at` in seconds since the epoch."""

    name: str
    uid: str
    session_uid: str
    run: int
    config_hash: str
    deleting: bool
    failed_reason: str | None
    complete: bool
    created_at: float = 0.0

    @property
    def finished(self) -> bool:
        """Whether the Job can start no further pod."""
        return self.complete or self.failed_reason is not None


@dataclass(frozen=True, slots=True)
class PodView:
    """A run's pod. `started_at` in seconds since the epoch; `disruption` is why Kubernetes ended it."""

    name: str
    uid: str
    session_uid: str
    run: int
    phase: str
    deleting: bool
    node: str | None
    started: bool
    started_at: float | None
    terminated: bool
    exit_code: int | None
    exit_reason: str | None
    disruption: str | None
    end_message: str | None
    waiting_reason: str | None
    waiting_message: str | None
    unschedulable: str | None
    node_lost: bool

    @property
    def may_still_run(self) -> bool:
        """Whether a container of this pod may be running now.

        Neither a deletionTimestamp nor the Job's absence says so (a process was seen to live on
        14 s after its pod object was gone from a list); only these states do.
        """
        if self.phase in ("Succeeded", "Failed") or self.terminated:
            return False
        return not (self.deleting and self.node is None)

    @property
    def is_waiting_on_image(self) -> bool:
        """Whether the image cannot be pulled."""
        return self.waiting_reason in IMAGE_FAILURES


@dataclass(frozen=True, slots=True)
class ClaimView:
    """A workspace's PersistentVolumeClaim."""

    name: str
    uid: str
    user: str
    owner_uid: str | None
    phase: str
    deleting: bool


@dataclass(frozen=True, slots=True)
class Children:
    """Everything in the cluster that belongs to a session's name."""

    jobs: tuple[JobView, ...] = ()
    pods: tuple[PodView, ...] = ()
    claim: ClaimView | None = None


def session_key(body: Body) -> Key | None:
    """The session that a child belongs to by its label."""
    metadata = body["metadata"]
    name = metadata.get("labels", {}).get(naming.LABEL_SESSION)
    return Key(metadata["namespace"], name) if name else None


def is_watched(body: Body) -> bool:
    """Whether the operator's watches bring a child like this."""
    labels = body["metadata"].get("labels", {})
    return bool(labels.get(naming.LABEL_MANAGED_BY) == naming.MANAGED_BY)


def controller_uid(body: Body) -> str | None:
    """The uid of the object's owner of kind AgentSession."""
    for owner in body["metadata"].get("ownerReferences", ()):
        if owner.get("kind") == naming.SESSION_KIND:
            return str(owner["uid"])
    return None


def job_view(body: Body) -> JobView:
    """The Job as the operator remembers it."""
    metadata, labels = body["metadata"], body["metadata"].get("labels", {})
    conditions = _true_conditions(body)
    failed = conditions.get("Failed") or conditions.get("FailureTarget")
    return JobView(
        name=metadata["name"],
        uid=metadata["uid"],
        session_uid=controller_uid(body) or "",
        run=naming.run_number(labels.get(naming.LABEL_SESSION, ""), metadata["name"]) or 0,
        config_hash=metadata.get("annotations", {}).get(naming.ANNOTATION_CONFIG_HASH, ""),
        deleting="deletionTimestamp" in metadata,
        failed_reason=failed.get("reason", "Failed") if failed else None,
        complete="Complete" in conditions or "SuccessCriteriaMet" in conditions,
        created_at=_seconds(metadata.get("creationTimestamp")),
    )


def pod_view(body: Body) -> PodView:
    """The pod as the operator remembers it."""
    metadata, labels = body["metadata"], body["metadata"].get("labels", {})
    status, spec = body.get("status", {}), body.get("spec", {})
    containers = status.get("containerStatuses") or []
    states = [container.get("state", {}) for container in containers]
    ended = [state["terminated"] for state in states if "terminated" in state]
    waiting: Body = next((state["waiting"] for state in states if "waiting" in state), {})
    scheduled: Body = next(
        (c for c in status.get("conditions", ()) if c["type"] == "PodScheduled"), {}
    )
    disruption = _true_conditions(body).get("DisruptionTarget", {})
    return PodView(
        name=metadata["name"],
        uid=metadata["uid"],
        session_uid=labels.get(naming.LABEL_SESSION_UID, ""),
        run=int(labels.get(naming.LABEL_RUN, "0")),
        phase=status.get("phase", "Pending"),
        deleting="deletionTimestamp" in metadata,
        node=spec.get("nodeName"),
        started=any("running" in state or "terminated" in state for state in states),
        started_at=_started_at(states),
        terminated=bool(states) and len(ended) == len(states),
        exit_code=ended[0].get("exitCode") if ended else None,
        exit_reason=ended[0].get("reason") if ended else None,
        disruption=disruption.get("reason"),
        end_message=status.get("message") or disruption.get("message"),
        waiting_reason=waiting.get("reason"),
        waiting_message=waiting.get("message"),
        unschedulable=scheduled.get("message")
        if scheduled.get("reason") == "Unschedulable"
        else None,
        node_lost=_is_node_lost(status),
    )


def claim_view(body: Body) -> ClaimView:
    """The claim as the operator remembers it."""
    metadata = body["metadata"]
    return ClaimView(
        name=metadata["name"],
        uid=metadata["uid"],
        user=metadata.get("labels", {}).get(naming.LABEL_USER, ""),
        owner_uid=controller_uid(body),
        phase=body.get("status", {}).get("phase", "Pending"),
        deleting="deletionTimestamp" in metadata,
    )


def timestamp(value: datetime | None) -> float | None:
    """Seconds since the epoch."""
    return value.timestamp() if value else None


def _is_node_lost(status: Body) -> bool:
    """Whether the node's kubelet has gone silent.

    Then the control plane takes the pod's Ready away and nobody touches ContainersReady; a kubelet
    always writes the two together.
    """
    conditions = {c["type"]: c.get("status") for c in status.get("conditions") or ()}
    return (
        status.get("phase") == "Running"
        and conditions.get("Ready") == "False"
        and conditions.get("ContainersReady") == "True"
    )


def _seconds(stamp: str | None) -> float:
    return datetime.fromisoformat(stamp).timestamp() if stamp else 0.0


def _started_at(states: list[Body]) -> float | None:
    moments = [
        datetime.fromisoformat(state[kind]["startedAt"]).timestamp()
        for state in states
        for kind in ("running", "terminated")
        if state.get(kind, {}).get("startedAt")
    ]
    return min(moments, default=None)


def _true_conditions(body: Body) -> dict[str, Body]:
    conditions = body.get("status", {}).get("conditions") or ()
    return {c["type"]: c for c in conditions if c.get("status") == "True"}
