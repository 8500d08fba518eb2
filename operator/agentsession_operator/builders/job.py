"""One run's Job and pod."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Final

from agentsession_core import naming
from agentsession_core.api import AgentSession
from agentsession_core.effective import Effective
from agentsession_operator.builders.owner import owner_reference
from agentsession_operator.builders.services import Services

AGENT_UID: Final = 1000
FINISHED_JOB_SECONDS: Final = 300
TERMINATION_GRACE_SECONDS: Final = 30
TOKEN_SECONDS_LIMIT: Final = 86_400
GATEWAY_TOKEN: Final = "gateway-token"  # noqa: S105 - a volume's name
ORCHESTRATOR_TOKEN: Final = "orchestrator-token"  # noqa: S105
DEFAULT_RESOURCES: Final = {
    "requests": {"cpu": "100m", "memory": "256Mi", "ephemeral-storage": "64Mi"},
    "limits": {"memory": "2Gi", "ephemeral-storage": "2Gi"},
}


def config_hash(effective: Effective, services: Services) -> str:
    """Changes when a run that is started now would differ from one started before."""
    pod = {
        "image": effective.image.image if effective.image else None,
        "gateway": services.gateway,
        "orchestrator": services.orchestrator,
        "model": effective.model,
        "args": effective.args,
        "processMode": effective.process_mode,
        "instructions": effective.instructions,
        "skills": effective.skills,
        "network": effective.network,
        "resources": effective.resources.to_api() if effective.resources else None,
        "env": [variable.to_api() for variable in effective.env],
        "pod": effective.pod.to_api(),
        "deadline": effective.active_deadline,
    }
    return hashlib.sha256(json.dumps(pod, sort_keys=True).encode()).hexdigest()[:16]


def build_job(
    session: AgentSession, effective: Effective, run: int, services: Services
) -> dict[str, Any]:
    """The Job of run number `run`. Raises ValueError if no image is known for the agent type."""
    metadata = session.metadata
    labels = naming.run_labels(metadata.name, metadata.uid, session.spec.user.id, run)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": naming.job_name(metadata.name, run),
            "namespace": metadata.namespace,
            "labels": labels,
            "annotations": {naming.ANNOTATION_CONFIG_HASH: config_hash(effective, services)},
            "ownerReferences": [owner_reference(session)],
        },
        "spec": {
            "parallelism": 1,
            "completions": 1,
            # A retry is the next run, after our own backoff: the Job controller's takes 10 s.
            "backoffLimit": 0,
            "activeDeadlineSeconds": effective.active_deadline,
            "ttlSecondsAfterFinished": FINISHED_JOB_SECONDS,
            "template": {
                "metadata": {"labels": {**labels, naming.LABEL_NETWORK: effective.network.value}},
                "spec": _pod_spec(session, effective, services),
            },
        },
    }


def _pod_spec(session: AgentSession, effective: Effective, services: Services) -> dict[str, Any]:
    pod = effective.pod
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "serviceAccountName": naming.RUNNER_SERVICE_ACCOUNT,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": TERMINATION_GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": AGENT_UID,
            "runAsGroup": AGENT_UID,
            "fsGroup": AGENT_UID,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(session.spec.user.id, effective, services)],
        "volumes": _volumes(session, effective, services),
    }
    if pod.image_pull_secrets:
        spec["imagePullSecrets"] = [secret.to_api() for secret in pod.image_pull_secrets]
    if pod.node_selector:
        spec["nodeSelector"] = dict(pod.node_selector)
    if pod.tolerations:
        spec["tolerations"] = [toleration.to_api() for toleration in pod.tolerations]
    if pod.runtime_class_name:
        spec["runtimeClassName"] = pod.runtime_class_name
    return spec


def _container(user: str, effective: Effective, services: Services) -> dict[str, Any]:
    if effective.image is None:
        raise ValueError(f"no image is configured for agent type {effective.agent_type}")
    env = [variable.to_api() for variable in effective.env]
    # Last, so that a session cannot point its runner elsewhere by accident.
    env += [
        {"name": "AGENTSESSION_GATEWAY_URL", "value": services.gateway},
        {"name": "AGENT_TYPE", "value": effective.agent_type.value},
    ]
    mounts = [
        {"name": "workspace", "mountPath": naming.WORKSPACE},
        {"name": "home", "mountPath": "/home/agent"},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - a path in the container
        {"name": GATEWAY_TOKEN, "mountPath": naming.TOKEN_DIRECTORY, "readOnly": True},
    ]
    if services.orchestrator:
        env += [
            {"name": "ORCHESTRATOR_API_URL", "value": services.orchestrator},
            {"name": "ORCHESTRATOR_API_TOKEN_FILE", "value": naming.ORCHESTRATOR_TOKEN_FILE},
            {"name": "ORCHESTRATOR_USER_ID", "value": user},
        ]
        path = naming.ORCHESTRATOR_TOKEN_DIRECTORY
        mounts.append({"name": ORCHESTRATOR_TOKEN, "mountPath": path, "readOnly": True})
    return {
        "name": naming.RUNNER_CONTAINER,
        "image": effective.image.image,
        "imagePullPolicy": effective.image.pull_policy,
        "workingDir": naming.WORKSPACE,
        "env": env,
        "resources": effective.resources.to_api() if effective.resources else DEFAULT_RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [*mounts, *(effective.pod.volume_mounts or ())],
    }


def _volumes(
    session: AgentSession, effective: Effective, services: Services
) -> list[dict[str, Any]]:
    # A managed API server may cap a token's life at 24 h; kubelet renews it long before its end.
    token_seconds = min(TOKEN_SECONDS_LIMIT, max(effective.active_deadline + 3_600, 7_200))
    claim = naming.volume_claim_name(session.metadata.name)
    tokens = [_token_volume(GATEWAY_TOKEN, naming.AUDIENCE_GATEWAY, token_seconds)]
    if services.orchestrator:
        audience = naming.AUDIENCE_ORCHESTRATOR
        tokens.append(_token_volume(ORCHESTRATOR_TOKEN, audience, token_seconds))
    return [
        {"name": "workspace", "persistentVolumeClaim": {"claimName": claim}},
        {"name": "home", "emptyDir": {"sizeLimit": "512Mi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        *tokens,
        *(effective.pod.volumes or ()),
    ]


def _token_volume(name: str, audience: str, seconds: int) -> dict[str, Any]:
    """A token of the pod's own that one audience takes and no other."""
    token = {"path": "token", "audience": audience, "expirationSeconds": seconds}
    return {"name": name, "projected": {"sources": [{"serviceAccountToken": token}]}}
