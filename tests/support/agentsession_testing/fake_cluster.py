"""An API server's answers to the gateway, held in memory."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agentsession_core import naming
from agentsession_core.cluster import ClusterUnavailableError, Resource

NAMESPACE = "agents"


def review(
    pod: str, pod_uid: str, *, namespace: str = NAMESPACE, audience: str = naming.AUDIENCE_GATEWAY
) -> dict[str, Any]:
    """A TokenReview's status for a token bound to that pod."""
    return {
        "authenticated": True,
        "audiences": [audience],
        "user": {
            "username": f"system:serviceaccount:{namespace}:{naming.RUNNER_SERVICE_ACCOUNT}",
            "extra": {
                "authentication.kubernetes.io/pod-name": [pod],
                "authentication.kubernetes.io/pod-uid": [pod_uid],
            },
        },
    }


def terminal_review(namespace: str = NAMESPACE) -> dict[str, Any]:
    """A TokenReview's status for a token of the terminals' ServiceAccount."""
    return {
        "authenticated": True,
        "audiences": [naming.AUDIENCE_TERMINAL],
        "user": {
            "username": f"system:serviceaccount:{namespace}:{naming.CLI_SERVICE_ACCOUNT}",
            "extra": {"authentication.kubernetes.io/credential-id": ["JTI=4711"]},
        },
    }


def owned(
    name: str, uid: str, *, api_version: str, kind: str, owner: str, owner_uid: str
) -> dict[str, Any]:
    """An object with a controller."""
    reference = {
        "apiVersion": api_version,
        "kind": kind,
        "name": owner,
        "uid": owner_uid,
        "controller": True,
    }
    metadata = {"name": name, "namespace": NAMESPACE, "uid": uid, "ownerReferences": [reference]}
    return {"metadata": metadata}


def secret(value: str, *, labelled: bool = True) -> dict[str, Any]:
    """A Secret with a model key."""
    labels = {naming.LABEL_CREDENTIALS: "true"} if labelled else {}
    data = {"apiKey": base64.b64encode(value.encode()).decode()}
    return {"metadata": {"labels": labels}, "data": data}


@dataclass
class FakeCluster:
    """Answers from dictionaries; counts what was asked."""

    objects: dict[tuple[Resource, str, str], Mapping[str, Any]] = field(default_factory=dict)
    reviews: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    down: bool = False

    async def review(self, token: str, audience: str) -> Mapping[str, Any]:
        """The status that was put in for the token."""
        self._called(f"review {audience}")
        return self.reviews.get(token, {"authenticated": False, "error": "unknown"})

    async def read(self, resource: Resource, namespace: str, name: str) -> Mapping[str, Any] | None:
        """The object that was put in."""
        self._called(f"read {resource.name} {namespace}/{name}")
        return self.objects.get((resource, namespace, name))

    async def ping(self) -> None:
        """Answers unless it is down."""
        self._called("ping")

    def _called(self, what: str) -> None:
        self.calls.append(what)
        if self.down:
            raise ClusterUnavailableError(f"{what}: refused by the test")

    def put(self, resource: Resource, name: str, body: Mapping[str, Any]) -> None:
        """Adds or replaces an object of the session namespace."""
        self.objects[resource, NAMESPACE, name] = body

    def add_session(
        self, name: str, uid: str, spec: Mapping[str, Any], status: Mapping[str, Any] | None = None
    ) -> None:
        """Adds an AgentSession."""
        metadata = {"name": name, "namespace": NAMESPACE, "uid": uid}
        self.put(
            Resource.SESSION,
            name,
            {"metadata": metadata, "spec": dict(spec), "status": dict(status or {})},
        )

    def add_run(self, session: str, session_uid: str, run: int, token: str) -> None:
        """Adds a run's Job and pod, and the token of that pod."""
        job, pod = naming.job_name(session, run), f"{naming.job_name(session, run)}-abcde"
        job_body = owned(
            job,
            f"{job}-uid",
            api_version=naming.API_VERSION,
            kind=naming.SESSION_KIND,
            owner=session,
            owner_uid=session_uid,
        )
        pod_body = owned(
            pod, f"{pod}-uid", api_version="batch/v1", kind="Job", owner=job, owner_uid=f"{job}-uid"
        )
        self.put(Resource.JOB, job, job_body)
        self.put(Resource.POD, pod, pod_body)
        self.reviews[token] = review(pod, f"{pod}-uid")
