"""A session's effective settings and skills, read from the API server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog

from agentsession_core.api import AgentSession, AgentType
from agentsession_core.cluster import Cluster, Resource
from agentsession_core.effective import Effective, merge
from agentsession_core.settings import Settings
from agentsession_core.templates import read_template
from agentsession_core.ttl import TTLCache
from agentsession_gateway.given_skills import GivenSkills, read_skills

EFFECTIVE_CACHE_SECONDS: Final = 30.0
CACHED_SESSIONS: Final = 20_000
_log = structlog.get_logger(__name__)


class SessionReader(Protocol):
    """What a session's runner is to work with."""

    async def effective(self, session: AgentSession, *, fresh: bool = False) -> Effective:
        """The settings in force. Raises ClusterUnavailableError, ProblemError 503."""
        ...

    async def skills(self, namespace: str, config_maps: Sequence[str]) -> GivenSkills:
        """The skills in those ConfigMaps. Raises ClusterUnavailableError."""
        ...


class ClusterSessionReader:
    """Reads templates and ConfigMaps; settings are kept for half a minute."""

    def __init__(self, cluster: Cluster, settings: Settings, clock: Callable[[], float]) -> None:
        self._cluster = cluster
        self._settings = settings
        self._effective: TTLCache[str, Effective] = TTLCache(
            EFFECTIVE_CACHE_SECONDS, CACHED_SESSIONS, clock
        )

    async def effective(self, session: AgentSession, *, fresh: bool = False) -> Effective:
        """The settings in force. Raises ClusterUnavailableError, ProblemError 503."""
        known = None if fresh else self._effective.get(session.metadata.uid)
        if known is None:
            template = await read_template(self._cluster, session)
            known = merge(
                session.spec,
                template,
                self._settings.defaults,
                self._settings.agent_images,
                _pinned_type(session),
            )
            self._effective.put(session.metadata.uid, known)
        return known

    async def skills(self, namespace: str, config_maps: Sequence[str]) -> GivenSkills:
        """The skills in those ConfigMaps. Raises ClusterUnavailableError."""
        bodies = await asyncio.gather(
            *(self._cluster.read(Resource.CONFIG_MAP, namespace, name) for name in config_maps)
        )
        given = read_skills(list(zip(config_maps, bodies, strict=True)))
        if given.problems:
            _log.warning("skills_left_out", namespace=namespace, problems=given.problems)
        return given


def _pinned_type(session: AgentSession) -> AgentType | None:
    status = session.status
    if status.runs and status.effective:
        return status.effective.agent_type
    return None
