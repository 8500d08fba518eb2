"""Who calls, decided from what the API server answered. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from agentsession_core import naming
from agentsession_core.api import AgentSession
from agentsession_core.problems import ProblemError

_SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_POD_NAME: Final = "authentication.kubernetes.io/pod-name"
_POD_UID: Final = "authentication.kubernetes.io/pod-uid"


@dataclass(frozen=True)
class PodIdentity:
    """The pod a token was issued to."""

    namespace: str
    name: str
    uid: str


@dataclass(frozen=True)
class OwnerReference:
    """The controller of an object."""

    name: str
    uid: str


@dataclass(frozen=True)
class Caller:
    """A run's pod, and the session it works for."""

    namespace: str
    session: str
    session_uid: str
    user: str
    mailbox: str
    run: str
    pod: str
    pod_uid: str


def bearer_token(headers: Mapping[str, str], *, api_key_allowed: bool = False) -> str:
    """The caller's token. Raises ProblemError 401 when there is none."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    if api_key_allowed and headers.get("x-api-key"):
        return headers["x-api-key"].strip()
    raise ProblemError(
        401, "token_missing", "send the pod's projected token as 'Authorization: Bearer <token>'"
    )


def pod_of_review(
    status: Mapping[str, Any], audience: str, namespaces: Collection[str]
) -> PodIdentity:
    """The pod that the status of a TokenReview for `audience` speaks of.

    Raises ProblemError 401 or 403.
    """
    if status.get("authenticated") is not True:
        raise ProblemError(
            401,
            "token_invalid",
            f"the API server does not accept the token for audience {audience}; "
            "read the token file again",
        )
    # An API server that knows no audiences answers none: such a token may be meant for anyone.
    if audience not in (status.get("audiences") or ()):
        raise ProblemError(401, "audience_missing", f"the token is not meant for {audience}")
    user = status.get("user") or {}
    username = str(user.get("username", ""))
    extra = user.get("extra") or {}
    pod, uid = list(extra.get(_POD_NAME) or []), list(extra.get(_POD_UID) or [])
    if not username.startswith(_SERVICE_ACCOUNT) or len(pod) != 1 or len(uid) != 1:
        raise ProblemError(403, "not_a_pod", "the token is not bound to a pod")
    namespace = username.removeprefix(_SERVICE_ACCOUNT).partition(":")[0]
    if namespace not in namespaces:
        raise ProblemError(403, "not_a_run", "the pod is in no session namespace of this release")
    return PodIdentity(namespace, str(pod[0]), str(uid[0]))


def uid_of(body: Mapping[str, Any] | None) -> str | None:
    """The object's uid, or None where there is no object."""
    if body is None:
        return None
    uid = (body.get("metadata") or {}).get("uid")
    return str(uid) if uid else None


def controller_of(body: Mapping[str, Any], group: str, kind: str) -> OwnerReference | None:
    """The controlling owner, if it is of that kind."""
    for owner in (body.get("metadata") or {}).get("ownerReferences") or ():
        if owner.get("controller") is not True:
            continue
        if owner.get("apiVersion", "").partition("/")[0] != group or owner.get("kind") != kind:
            return None
        return OwnerReference(str(owner.get("name", "")), str(owner.get("uid", "")))
    return None


def caller_of(pod: PodIdentity, job_name: str, session: AgentSession) -> Caller:
    """The caller. Raises ProblemError 403 when the Job is not named like a run of the session."""
    number = naming.run_number(session.metadata.name, job_name)
    if number is None:
        raise ProblemError(403, "not_a_run", f"Job {job_name} is not a run of the session")
    return Caller(
        namespace=pod.namespace,
        session=session.metadata.name,
        session_uid=session.metadata.uid,
        user=session.spec.user.id,
        mailbox=session.mailbox,
        run=naming.run_id(session.metadata.uid, number),
        pod=pod.name,
        pod_uid=pod.uid,
    )
