"""Token → pod → Job → AgentSession, with the few caches that keep it cheap."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final, Protocol

from pydantic import ValidationError

from agentsession_core import naming
from agentsession_core.api import AgentSession
from agentsession_core.caller import (
    Caller,
    PodIdentity,
    caller_of,
    controller_of,
    pod_of_review,
    uid_of,
)
from agentsession_core.cluster import Cluster, Resource
from agentsession_core.problems import ProblemError
from agentsession_core.reviewer import TokenReviewer
from agentsession_core.ttl import TTLCache

CHAIN_CACHE_SECONDS: Final = 60.0
CACHED_CALLERS: Final = 20_000


@dataclass(frozen=True)
class Recognised:
    """A caller and its session as it was read."""

    caller: Caller
    session: AgentSession


class Identity(Protocol):
    """Recognises run pods by their tokens."""

    async def recognise(self, token: str, *, address: str = "", fresh: bool = False) -> Recognised:
        """The caller at a network address; `fresh` reads pod, Job and session anew.

        Raises ProblemError 401 or 403.
        """
        ...


class TokenIdentity:
    """Recognises callers by TokenReview and controller references, compared by uid."""

    def __init__(
        self,
        cluster: Cluster,
        audience: str,
        namespaces: Collection[str],
        clock: Callable[[], float],
        on_review: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._cluster = cluster
        known = frozenset(namespaces)
        self._pods = TokenReviewer(
            cluster,
            audience,
            lambda status: pod_of_review(status, audience, known),
            clock,
            on_review,
        )
        self._chains: TTLCache[PodIdentity, Recognised] = TTLCache(
            CHAIN_CACHE_SECONDS, CACHED_CALLERS, clock
        )

    async def recognise(self, token: str, *, address: str = "", fresh: bool = False) -> Recognised:
        """The caller at a network address; `fresh` reads pod, Job and session anew.

        Raises ProblemError 401 or 403.
        """
        pod = await self._pods.caller(token, address)
        known = None if fresh else self._chains.get(pod)
        if known is None:
            known = await self._follow(pod)
            self._chains.put(pod, known)
        return known

    async def _follow(self, pod: PodIdentity) -> Recognised:
        body = await self._cluster.read(Resource.POD, pod.namespace, pod.name)
        if body is None or uid_of(body) != pod.uid:
            raise ProblemError(403, "pod_gone", "the token's pod is no longer there")
        job = controller_of(body, "batch", "Job")
        if job is None:
            raise ProblemError(403, "not_a_run", "the pod is not controlled by a Job")
        job_body = await self._cluster.read(Resource.JOB, pod.namespace, job.name)
        if job_body is None or uid_of(job_body) != job.uid:
            raise ProblemError(403, "run_gone", "the pod's Job is no longer there")
        owner = controller_of(job_body, naming.GROUP, naming.SESSION_KIND)
        if owner is None:
            raise ProblemError(
                403, "not_a_run", "the pod's Job is not controlled by an AgentSession"
            )
        session_body = await self._cluster.read(Resource.SESSION, pod.namespace, owner.name)
        if session_body is None or uid_of(session_body) != owner.uid:
            raise ProblemError(403, "session_gone", "the Job's AgentSession is no longer there")
        try:
            session = AgentSession.from_api(dict(session_body))
        except ValidationError:
            raise ProblemError(
                403, "session_unreadable", "the AgentSession does not fit this release's schema"
            ) from None
        return Recognised(caller_of(pod, job.name, session), session)
