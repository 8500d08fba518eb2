"""Writes a session's status when it is time, and tells the Events that go with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import structlog
from prometheus_client import CollectorRegistry

from agentsession_core.api import AgentSession, AgentSessionStatus
from agentsession_core.mailbox.stages import Passed
from agentsession_operator.cache import Cache
from agentsession_operator.cluster import Cluster
from agentsession_operator.cluster_errors import ClusterError, ConflictError
from agentsession_operator.conditions import without_redis
from agentsession_operator.metrics import SessionMetrics
from agentsession_operator.model import Key
from agentsession_operator.pace import INTERVAL, write_delay
from agentsession_operator.patch import merge_patch
from agentsession_operator.story import EventText, new_suspension, tell

# A restart of Redis takes less.
REDIS_AWAY_SECONDS: Final = 10.0
log = structlog.get_logger(__name__)


class StatusWriter:
    """The only writer of sessions' status. `clock` in seconds since the epoch."""

    def __init__(
        self,
        cluster: Cluster,
        cache: Cache,
        clock: Callable[[], float],
        new_id: Callable[[], str],
        metrics: SessionMetrics | None = None,
        on_delivered: Callable[[Passed], None] = lambda _: None,
    ) -> None:
        self._cluster = cluster
        self._cache = cache
        self._clock = clock
        self._new_id = new_id
        self._metrics = metrics or SessionMetrics(CollectorRegistry())
        self._on_delivered = on_delivered
        self._last_write: dict[Key, float] = {}
        self._changed_since: dict[Key, float] = {}
        self._redis_away_since: float | None = None

    def forget(self, key: Key) -> None:
        """The session is gone."""
        self._last_write.pop(key, None)
        self._changed_since.pop(key, None)

    async def say(
        self,
        key: Key,
        session: AgentSession,
        status: AgentSessionStatus,
        delivers: Passed | None = None,
    ) -> float | None:
        """Writes the status if it is time; answers in how many seconds it will be.

        `delivers`: the message whose answer is in it, were it written at this moment.

        Raises NotFoundError when the session is gone.
        """
        self._redis_away_since = None
        return await self._say(key, session, status, delivers)

    async def say_redis_away(self, key: Key, session: AgentSession) -> None:
        """Says that nothing can be decided, once that has lasted: of sessions that are looked at
        meanwhile, since something happened to them. Raises ClusterError."""
        now = self._clock()
        if self._redis_away_since is None:
            self._redis_away_since = now
        if now - self._redis_away_since >= REDIS_AWAY_SECONDS:
            conditions = without_redis(session, now)
            await self._say(
                key, session, session.status.model_copy(update={"conditions": conditions})
            )

    async def _say(
        self,
        key: Key,
        session: AgentSession,
        status: AgentSessionStatus,
        delivers: Passed | None = None,
    ) -> float | None:
        now = self._clock()
        since = self._changed_since.setdefault(key, now)
        delay = write_delay(session.status, status, now, self._last_write.get(key, 0.0), since)
        if delay:
            return delay
        del self._changed_since[key]
        if delay is None:
            return None
        patch = merge_patch(session.status.to_api(), status.to_api())
        try:
            body = await self._cluster.patch_status(key, session.metadata.resource_version, patch)
        except ConflictError:
            # The watch brings the newer object, too, unless it has died unnoticed.
            body = await self._cluster.read_session(key)
            self._cache.put_session(key, AgentSession.from_api(body), body)
            return INTERVAL
        self._last_write[key] = now
        self._cache.put_session(key, AgentSession.from_api(body), body)
        if delivers is not None:
            took = max(0.0, self._clock() - now)
            self._on_delivered(replace(delivers, seconds=delivers.seconds + took))
        suspension = new_suspension(session.status, status)
        if suspension is not None:
            self._metrics.suspended(suspension.reason)
        for event in tell(session, status):
            await self._tell(key, session, event)
        return None

    async def _tell(self, key: Key, session: AgentSession, event: EventText) -> None:
        name = f"{key.name}.{self._new_id()}"
        at = datetime.fromtimestamp(self._clock(), UTC)
        try:
            await self._cluster.create_event(key, session.metadata.uid, name, event, at)
        except ClusterError as error:
            # An Event is a courtesy: the same is in the conditions.
            log.warning(
                "event not written",
                reason=event.reason,
                error=str(error),
            )
