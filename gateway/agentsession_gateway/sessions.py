"""A session's effective settings and skills, read from the API server."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

import structlog
from pydantic import ValidationError

from agentsession_core import naming
from agentsession_core.api import (
    AgentSession,
    AgentSessionTemplate,
    AgentSessionTemplateSpec,
    AgentType,
)
from agentsession_core.cluster import Cluster, Resource
from agentsession_core.effective import Effective, merge
from agentsession_core.problems import service_unavailable
from agentsession_core.settings import Settings
from agentsession_core.ttl import TTLCache
from agentsession_core.wire import Skill, SkillFile

EFFECTIVE_CACHE_SECONDS: Final = 30.0
CACHED_SESSIONS: Final = 20_000
_SKILL_NAME = re.compile(r"^(?=.{1,64}$)[a-z0-9]+(-[a-z0-9]+)*$")
_log = structlog.get_logger(__name__)


class SessionReader(Protocol):
    """What a session's runner is to work with."""

    async def effective(self, session: AgentSession, *, fresh: bool = False) -> Effective:
        """The settings in force. Raises ClusterUnavailableError, ProblemError 503."""
        ...

    async def skills(self, namespace: str, config_maps: Sequence[str]) -> tuple[Skill, ...]:
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
            template = await self._template(session)
            known = merge(
                session.spec,
                template,
                self._settings.defaults,
                self._settings.agent_images,
                _pinned_type(session),
            )
            self._effective.put(session.metadata.uid, known)
        return known

    async def skills(self, namespace: str, config_maps: Sequence[str]) -> tuple[Skill, ...]:
        """The skills in those ConfigMaps. Raises ClusterUnavailableError."""
        bodies = await asyncio.gather(
            *(self._cluster.read(Resource.CONFIG_MAP, namespace, name) for name in config_maps)
        )
        found: dict[str, Skill] = {}
        for name, body in zip(config_maps, bodies, strict=True):
            if body is None:
                _log.warning("skill_config_map_missing", namespace=namespace, config_map=name)
                continue
            for skill in skills_of(namespace, name, body):
                found.setdefault(skill.name, skill)
        return tuple(found[name] for name in sorted(found))

    async def _template(self, session: AgentSession) -> AgentSessionTemplateSpec | None:
        reference = session.spec.template_ref
        name = reference.name if reference else naming.DEFAULT_TEMPLATE
        namespace = session.metadata.namespace
        body = await self._cluster.read(Resource.TEMPLATE, namespace, name)
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


def skills_of(namespace: str, config_map: str, body: Mapping[str, Any]) -> list[Skill]:
    """The skills of one ConfigMap: each key NAME.md is skill NAME. Unfit names are left out."""
    skills: list[Skill] = []
    for key, content in sorted((body.get("data") or {}).items()):
        name = key.removesuffix(".md")
        if name == key or not _SKILL_NAME.match(name):
            _log.warning("skill_name_unfit", namespace=namespace, config_map=config_map, key=key)
            continue
        skills.append(Skill(name=name, files=(SkillFile(path="SKILL.md", content=content),)))
    return skills


def _pinned_type(session: AgentSession) -> AgentType | None:
    status = session.status
    if status.runs and status.effective:
        return status.effective.agent_type
    return None
