"""Gathers the World: everything that is known of one session, from Redis and the cluster."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import structlog

from agentsession_core import naming
from agentsession_core.api import AgentSession
from agentsession_core.effective import merge
from agentsession_core.mailbox.model import MailboxState
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_operator.assess import current_run
from agentsession_operator.builders.services import Services
from agentsession_operator.cache import Cache
from agentsession_operator.clocks import Clocks
from agentsession_operator.cluster import Cluster
from agentsession_operator.cluster_errors import ClusterError, NotFoundError
from agentsession_operator.complaints import complaint_of, subject_of
from agentsession_operator.epoch import StateLostError
from agentsession_operator.model import Key
from agentsession_operator.recovery import Recovery
from agentsession_operator.world import Limits, Problem, World

log = structlog.get_logger(__name__)


class Gatherer:
    """Reads; but for taking in a changed `spec.prompt`, which is how it becomes a message."""

    def __init__(
        self,
        settings: Settings,
        limits: Limits,
        cache: Cache,
        cluster: Cluster,
        store: MailboxStore,
        recovery: Recovery,
        clocks: Clocks,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._cache = cache
        self._cluster = cluster
        self._store = store
        self._recovery = recovery
        self._clocks = clocks

    async def gather(self, key: Key, session: AgentSession) -> World:
        """The session's World. Raises redis.RedisError, StateLostError, and
        NotFoundError for one that is gone."""
        asked_at = self._clocks.read()
        mailbox = await self._read_mailbox(key, session)
        local_now = self._clocks.read()
        self._clocks.compare(mailbox.now, asked_at, local_now)
        world = self._world(key, session, mailbox, local_now)
        complaint = await self._read_complaint(key, world)
        return replace(world, complaint=complaint) if complaint else world

    async def _read_mailbox(self, key: Key, session: AgentSession) -> MailboxState:
        """The mailbox, after a changed `spec.prompt` went in."""
        state = await self._store.state(session.mailbox)
        if state.epoch is None:
            raise StateLostError
        if self._cache.mailbox_holder(session.mailbox) != key:
            return state.as_seen_by_others()
        if session.metadata.deletion_timestamp is not None:
            return state
        if state.ended == session.metadata.uid:
            await self._confirm_there(key, session)
        state = await self._recovery.settle(key, session, state)
        prompt = session.spec.prompt
        if not prompt:
            return state
        sha256 = hashlib.sha256(prompt.encode()).hexdigest()
        if state.prompt_hash == sha256 and state.session_uid == session.metadata.uid:
            return state
        status = session.status
        admission = await self._store.ingest_prompt(
            session.mailbox,
            uid=session.metadata.uid,
            generation=session.metadata.generation,
            sha256=sha256,
            text=prompt,
            # One that never got an answer may be taken again: nothing says that it was.
            known_sha256=status.prompt_hash if status.last_handled_message_id else None,
            known_generation=status.observed_generation or 0,
        )
        log.info("prompt", admission=admission.value)
        return await self._store.state(session.mailbox)

    async def _confirm_there(self, key: Key, session: AgentSession) -> None:
        """Redis says that this session has ended. Raises NotFoundError where that is so: the watch is
        late. Else the API server was restored to before the end, and the session goes on."""
        found = (await self._cluster.read_session(key))["metadata"]
        if found["uid"] != session.metadata.uid or "deletionTimestamp" in found:
            raise NotFoundError(404, f"session {key} of uid {session.metadata.uid} has ended")
        await self._store.unend(session.mailbox)
        log.warning("session is there again after its end")

    def _world(
        self, key: Key, session: AgentSession, mailbox: MailboxState, local_now: float
    ) -> World:
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
            services=Services(settings.gateway.url, settings.orchestrator.url),
            local_now=local_now,
        )

    async def _read_complaint(self, key: Key, world: World) -> Problem | None:
        """What stands in the way of a start that hangs; an ordinary start asks for nothing."""
        subject = subject_of(*current_run(world), world.children, world.now)
        if subject is None:
            return None
        try:
            events = await self._cluster.events_about(key.namespace, subject.uid)
        except ClusterError as error:
            # They only explain. Deciding goes on without them.
            log.warning("events not read", error=str(error))
            return None
        return complaint_of(subject, events)
