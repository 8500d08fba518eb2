"""The workspace's PersistentVolumeClaim."""

from __future__ import annotations

from typing import Any

from agentsession_core import naming
from agentsession_core.api import AgentSession, WhenDeleted
from agentsession_core.effective import Effective
from agentsession_operator.builders.owner import owner_reference

DEFAULT_STORAGE = "5Gi"


def build_claim(session: AgentSession, effective: Effective) -> dict[str, Any]:
    """The claim of a session's workspace.

    With `Retain` it has no owner: a plain `kubectl delete` then keeps the volume even while the
    operator is down.
    """
    metadata = session.metadata
    spec = effective.claim.spec.to_api() if effective.claim else {}
    spec.setdefault("accessModes", ["ReadWriteOnce"])
    spec.setdefault("resources", {"requests": {"storage": DEFAULT_STORAGE}})
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": naming.volume_claim_name(metadata.name),
            "namespace": metadata.namespace,
            "labels": naming.workspace_labels(metadata.name, metadata.uid, session.spec.user.id),
        },
        "spec": spec,
    }
    if effective.when_deleted is WhenDeleted.DELETE:
        body["metadata"]["ownerReferences"] = [owner_reference(session)]
    return body
