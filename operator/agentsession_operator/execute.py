"""Carries out a plan's actions, one after the other."""

from __future__ import annotations

import structlog

from agentsession_core.api import LaunchType
from agentsession_core.mailbox.model import RunAnswer
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.builders.claim import build_claim
from agentsession_operator.builders.job import build_job
from agentsession_operator.builders.owner import owner_reference
from agentsession_operator.cache import Cache
from agentsession_operator.cluster import Cluster, ConflictError, NotFoundError
from agentsession_operator.model import Key, claim_view, job_view
from agentsession_operator.world import (
    Action,
    CountFailure,
    CreateClaim,
    DeleteJob,
    DeleteSession,
    Drain,
    ReopenMailbox,
    SetClaimOwner,
    StartRun,
    World,
)

log = structlog.get_logger(__name__)


class Executor:
    """Actions as calls to Kubernetes and Redis; what was made is in the cache at once.

    Without that, the next look, which may come before the watch's event, would make it again.
    """

    def __init__(self, cluster: Cluster, store: MailboxStore, cache: Cache) -> None:
        self._cluster = cluster
        self._store = store
        self._cache = cache

    async def carry_out(self, key: Key, world: World, action: Action) -> bool:
        """True if the plan's next action still makes sense. Raises ClusterError, RedisError."""
        mailbox, uid = world.session.mailbox, world.uid
        match action:
            case CreateClaim():
                return await self._create_claim(key, world)
            case SetClaimOwner():
                owners = [owner_reference(world.session)] if action.owned else []
                await self._cluster.set_claim_owners(key.namespace, action.name, action.uid, owners)
            case StartRun():
                return await self._start_run(key, world, action)
            case CountFailure():
                await self._store.run_failed(mailbox, run=action.run, reason=action.reason)
            case Drain():
                answer = await self._store.drain(mailbox, run=action.run, by_hand=action.force)
                log.info("drain", session=str(key), run=action.run, answer=answer.value)
                return answer is RunAnswer.DRAINED
            case DeleteJob():
                log.warning("deleting job", session=str(key), job=action.name, why=action.why)
                await self._cluster.delete_job(key.namespace, action.name, action.uid)
            case DeleteSession():
                return await self._delete_session(key, world, action)
            case ReopenMailbox():
                await self._store.reopen(mailbox, session_uid=uid)
        return True

    async def _create_claim(self, key: Key, world: World) -> bool:
        body = build_claim(world.session, world.effective)
        try:
            made = await self._cluster.create_claim(body)
        except ConflictError as error:
            # Whose it is shows once the watch has brought it.
            log.info("claim exists", session=str(key), detail=error.message)
            return False
        self._cache.claims.put(key, made["metadata"]["name"], claim_view(made))
        return True

    async def _start_run(self, key: Key, world: World, action: StartRun) -> bool:
        run = world.run_id(action.run)
        began = await self._store.begin_run(
            world.session.mailbox,
            run=run,
            expected=action.expected,
            session_uid=world.uid,
            launch=LaunchType.RESUME if action.resumes else LaunchType.COLD,
        )
        if not began:
            return False
        body = build_job(world.session, world.effective, action.run, world.gateway_url)
        made = await self._cluster.create_job(body)
        self._cache.jobs.put(key, made["metadata"]["name"], job_view(made))
        log.info("run started", session=str(key), job=made["metadata"]["name"])
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
        log.info("session deleted after its idle time", session=str(key))
        return True
