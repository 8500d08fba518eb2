"""A session's template, read from the API server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from agentsession_core import naming
from agentsession_core.api import AgentSession, AgentSessionTemplate, AgentSessionTemplateSpec
from agentsession_core.cluster import Cluster, Resource
from agentsession_core.problems import service_unavailable
from agentsession_core.ttl import TTLCache

CACHE_SECONDS: Final = 30.0
CACHED_TEMPLATES: Final = 1_000


async def read_template(cluster: Cluster, session: AgentSession) -> AgentSessionTemplateSpec | None:
    """The session's template, None where there is none.

    Raises ClusterUnavailableError, and ProblemError 503 for one of another release's schema.
    """
    namespace, name = _place(session)
    body = await cluster.read(Resource.TEMPLATE, namespace, name)
    if body is None:
        return None
    try:
        return AgentSessionTemplate.from_api(dict(body)).spec
    except ValidationError:
        # Going on without it would lift the limits that it sets.
        raise service_unavailable(
            "template_unreadable",
            f"AgentSessionTemplate {namespace}/{name} does not fit this release's schema",
        ) from None


class Templates:
    """Sessions' templates; each is kept for half a minute."""

    def __init__(self, cluster: Cluster, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._known: TTLCache[tuple[str, str], AgentSessionTemplateSpec] = TTLCache(
            CACHE_SECONDS, CACHED_TEMPLATES, clock
        )

    async def of(self, session: AgentSession) -> AgentSessionTemplateSpec:
        """The session's template, an empty one where there is none. Raises as `read_template`."""
        known = self._known.get(_place(session))
        if known is None:
            known = await read_template(self._cluster, session) or AgentSessionTemplateSpec()
            self._known.put(_place(session), known)
        return known


def _place(session: AgentSession) -> tuple[str, str]:
    reference = session.spec.template_ref
    return session.metadata.namespace, reference.name if reference else naming.DEFAULT_TEMPLATE
