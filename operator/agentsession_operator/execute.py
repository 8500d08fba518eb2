"""Carries out a plan's actions, one after the other."""

from __future__ import annotations

import structlog
from prometheus_client import CollectorRegistry

from agentsession_core.api import LaunchType
from agentsession_core.mailbox.answers import RunAnswer
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.builders.claim import build_claim
from agentsession_operator.builders.job import build_job
from agentsession_operator.builders.owner import owner_reference
from agentsession_operator.cache import Cache
from agentsession_operator.cluster import Cluster
from agentsession_operator.cluster_errors import ConflictError, NotFoundError, RefusedError
from agentsession_operator.ends import write_end
from agentsession_operator.metrics import SessionMetrics
from agentsession_operator.model import (
    Key,
    claim_view,
    is_watched,
    job_view,
    pod_view,
    session_key,
)
from agentsession_operator.words import Words
from agentsession_operator.world import (
    Action,
    ConfirmGone,
    CountFailure,
    CreateClaim,
    CutOff,
    DeleteJob,
    DeleteSession,
    Drain,
    EndRun,
    EndTurn,
    GiveUp,
    KeepRun,
    ReopenMailbox,
    SetClaimOwner,
    StartRun,
    TellHeld,
    TellLost,
    WarnOfEnd,
    World,
)

log = structlog.get_logger(__name__)


class Executor:
    """Actions as calls to Kubernetes and Redis; what was made is in the cache at once.

    Without that, the next look, which may come before the watch's event, would make it again.
    """

    def __init__(
        self,
        cluster: Cluster,
        store: MailboxStore,
        cache: Cache,
        words: Words,
        metrics: SessionMetrics | None = None,
    ) -> None:
        self._cluster = cluster
        self._store = store
        self._cache = cache
        self._words = words
        self._metrics = metrics or SessionMetrics(CollectorRegistry())

    async def carry_out(self, key: Key, world: World, action: Action) -> bool:
        """True if the plan's next action still makes sense. Raises ClusterError, RedisError."""
        mailbox = world.session.mailbox
        match action:
            case CreateClaim() | ConfirmGone() | StartRun():
                return await self._start(key, world, action)
            case SetClaimOwner():
                owners = [owner_reference(world.session)] if action.owned else []
                await self._cluster.set_claim_owners(key.namespace, action.name, action.uid, owners)
            case Drain():
                return await self._drain(key, mailbox, action)
            case KeepRun():
                await self._store.keep_run(mailbox, run=action.run)
            case DeleteJob():
                await self._cluster.delete_job(key.namespace, action.name, action.uid)
            case CountFailure() | EndTurn() | EndRun() | CutOff() | GiveUp() | TellHeld():
                await write_end(self._store, mailbox, action)
            case WarnOfEnd() | TellLost() | ReopenMailbox() | DeleteSession():
                return await self._see_to_the_end(key, world, action)
        return True

    async def _see_to_the_end(
        self, key: Key, world: World, action: WarnOfEnd | TellLost | ReopenMailbox | DeleteSession
    ) -> bool:
        match action:
            case WarnOfEnd() | TellLost():
                await self._words.say(key, world, action)
            case ReopenMailbox():
                await self._store.reopen(world.session.mailbox, session_uid=world.uid)
            case DeleteSession():
                return await self._delete_session(key, world, action)
        return True

    async def _drain(self, key: Key, mailbox: str, action: Drain) -> bool:
        run, why = action.run, action.why
        answer = await self._store.drain(mailbox, run=run, by_hand=action.force, why=why)
        log.info(
            "drain",
            run=run,
            why=why,
            answer=answer.value,
        )
        return answer is RunAnswer.DRAINED

    async def _start(
        self, key: Key, world: World, action: CreateClaim | ConfirmGone | StartRun
    ) -> bool:
        match action:
            case CreateClaim():
                return await self._create_claim(key, world)
            case ConfirmGone():
                return not await self._find_unseen(key, world.uid)
            case StartRun():
                return await self._start_run(key, world, action)

    async def _create_claim(self, key: Key, world: World) -> bool:
        body = build_claim(world.session, world.effective)
        try:
            made = await self._cluster.create_claim(body)
        except ConflictError:
            await self._take_existing_claim(key, body["metadata"]["name"])
            return False
        self._cache.claims.put(key, made["metadata"]["name"], claim_view(made))
        return True

    async def _take_existing_claim(self, key: Key, name: str) -> None:
        """A claim of that name is there: the next look decides about it. Raises RefusedError if
        no watch would ever bring it."""
        existing = await self._cluster.read_claim(key.namespace, name)
        if session_key(existing) != key or not is_watched(existing):
            raise RefusedError(
                409, f"volume claim {name} is there and not this session's; delete or rename it"
            )
        self._cache.claims.put(key, name, claim_view(existing))

    async def _find_unseen(self, key: Key, uid: str) -> bool:
        """Takes what the watches have not shown into the cache; True if there was anything."""
        jobs, pods = await self._cluster.list_children(key.namespace, uid)
        unseen = False
        for body in jobs:
            unseen |= self._cache.jobs.update(key, body["metadata"]["name"], job_view(body))
        for body in pods:
            unseen |= self._cache.pods.update(key, body["metadata"]["name"], pod_view(body))
        if unseen:
            log.info("found what no watch had shown")
        return unseen

    async def _start_run(self, key: Key, world: World, action: StartRun) -> bool:
        run = world.run_id(action.run)
        began = await self._store.begin_run(
            world.session.mailbox,
            run=run,
            expected=action.expected,
            session_uid=world.uid,
            launch=LaunchType.RESUME if action.resumes else LaunchType.COLD,
            user=world.session.spec.user.id,
            export_only=action.export_only,
            held=action.held,
        )
        if not began:
            return False
        body = build_job(world.session, world.effective, action.run, world.services)
        made = await self._cluster.create_job(body)
        self._cache.jobs.put(key, made["metadata"]["name"], job_view(made))
        await self._store.job_made(world.session.mailbox, run=run)
        log.info(
            "run started",
            mailbox=world.session.mailbox,
            run=run,
            job=made["metadata"]["name"],
        )
        return True

    async def _delete_session(self, key: Key, world: World, action: DeleteSession) -> bool:
        mailbox, uid = world.session.mailbox, world.uid
        if not await self._store.close(mailbox, session_uid=uid):
            return False
        try:
            await self._cluster.delete_session(key, uid, action.resource_version)
        except ConflictError:
            await self._store.reopen(mailbox, session_uid=uid)
            return False
        except NotFoundError:
            return True
        self._metrics.expired()
        log.info("session deleted after its idle time")
        return True
