"""One look at one session: gather the World, plan, carry out, say."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime

import structlog

from agentsession_core import naming
from agentsession_core.api import AgentSession, AgentSessionStatus
from agentsession_core.effective import merge
from agentsession_core.mailbox.model import MailboxState
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_operator.cache import Cache
from agentsession_operator.cluster import Cluster, ClusterError, ConflictError, NotFoundError
from agentsession_operator.execute import Executor
from agentsession_operator.model import Key
from agentsession_operator.pace import INTERVAL, write_delay
from agentsession_operator.patch import merge_patch
from agentsession_operator.plan import plan
from agentsession_operator.story import EventText, tell
from agentsession_operator.world import Limits, World

log = structlog.get_logger(__name__)


class Reconciler:
    """Calls nothing twice at once for one session: the WorkQueue sees to that."""

    def __init__(
        self,
        settings: Settings,
        cache: Cache,
        cluster: Cluster,
        store: MailboxStore,
        clock: Callable[[], float],
        new_id: Callable[[], str],
    ) -> None:
        self._settings = settings
        self._cache = cache
        self._cluster = cluster
        self._store = store
        self._executor = Executor(cluster, store, cache)
        self._clock = clock
        self._new_id = new_id
        self._last_write: dict[Key, float] = {}
        self._changed_since: dict[Key, float] = {}
        operator = settings.operator
        self._limits = Limits(
            drain_grace=operator.drain_grace_seconds,
            backoff_base=operator.backoff_base_seconds,
            backoff_limit=operator.backoff_limit_seconds,
            hello_timeout=operator.hello_timeout_seconds,
        )

    async def __call__(self, key: Key) -> float | None:
        """Looks at the session; answers in how many seconds to look again. Raises ClusterError,
        redis.RedisError."""
        session = self._cache.session(key)
        await self._clean_up(key, session.mailbox if session else None)
        if session is None:
            self._last_write.pop(key, None)
            self._changed_since.pop(key, None)
            return None
        mailbox = await self._read_mailbox(key, session)
        world = self._world(key, session, mailbox)
        intended = plan(world)
        for action in intended.actions:
            if not await self._executor.carry_out(key, world, action):
                break
        delay = await self._say(key, session, intended.status)
        waits = [delay] if delay is not None else []
        if intended.requeue_at is not None:
            waits.append(max(0.0, intended.requeue_at - mailbox.now))
        if intended.actions:
            # The watch brings most consequences; this look brings those that only Redis knows.
            waits.append(INTERVAL)
        return min(waits, default=None)

    async def _clean_up(self, key: Key, mailbox: str | None) -> None:
        """Removes the mailboxes of deleted sessions before anyone takes them over."""
        for box, uid in self._cache.gone(key, mailbox):
            purged = await self._store.purge(box, session_uid=uid)
            log.info("session gone", session=str(key), mailbox_purged=purged)
            self._cache.forget_gone(box, uid)

    async def _read_mailbox(self, key: Key, session: AgentSession) -> MailboxState:
        """The mailbox, after a changed `spec.prompt` went in."""
        state = await self._store.state(session.mailbox)
        if self._cache.mailbox_holder(session.mailbox) != key:
            return state.as_seen_by_others()
        prompt = session.spec.prompt
        if not prompt or session.metadata.deletion_timestamp is not None:
            return state
        sha256 = hashlib.sha256(prompt.encode()).hexdigest()
        if state.prompt_hash == sha256 and state.session_uid == session.metadata.uid:
            return state
        admission = await self._store.ingest_prompt(
            session.mailbox,
            uid=session.metadata.uid,
            generation=session.metadata.generation,
            sha256=sha256,
            text=prompt,
            known_sha256=session.status.prompt_hash,
        )
        log.info("prompt", session=str(key), admission=admission.value)
        return await self._store.state(session.mailbox)

    def _world(self, key: Key, session: AgentSession, mailbox: MailboxState) -> World:
        settings = self._settings
        reference = session.spec.template_ref
        template = self._cache.template(
            Key(key.namespace, reference.name if reference else naming.DEFAULT_TEMPLATE)
        )
        effective_before = session.status.effective
        pinned = effective_before.agent_type if session.status.runs and effective_before else None
        layers = (
            session.spec,
            template.spec if template else None,
            settings.defaults,
            settings.agent_images,
        )
        effective, ignored = merge(*layers), None
        if pinned not in (None, effective.agent_type):
            effective, ignored = merge(*layers, pinned), effective.agent_type
        return World(
            session=session,
            effective=effective,
            template_missing=template is None,
            ignored_type=ignored,
            available_types=frozenset(settings.agent_images),
            children=self._cache.children(key),
            mailbox=mailbox,
            holds_mailbox=self._cache.mailbox_holder(session.mailbox) == key,
            limits=self._limits,
            gateway_url=settings.gateway.url,
        )

    async def _say(
        self, key: Key, session: AgentSession, status: AgentSessionStatus
    ) -> float | None:
        """Writes the status if it is time; answers in how many seconds it will be."""
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
        except NotFoundError:
            return None
        except ConflictError:
            # The watch brings the newer object, and with it the next look.
            return INTERVAL
        self._last_write[key] = now
        self._cache.put_session(key, AgentSession.from_api(body))
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
                "event not written", session=str(key), reason=event.reason, error=str(error)
            )
