"""One look at one session: gather the World, plan, carry out, say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog
from redis import RedisError

from agentsession_core.api import Reason
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.admission import Admission
from agentsession_operator.cache import Cache
from agentsession_operator.cluster_errors import NotFoundError, RefusedError
from agentsession_operator.epoch import StateLostError
from agentsession_operator.execute import Executor
from agentsession_operator.gather import Gatherer
from agentsession_operator.model import Key
from agentsession_operator.pace import INTERVAL
from agentsession_operator.plan import plan
from agentsession_operator.recovery import DELETED_TEXT
from agentsession_operator.refusals import Refusals
from agentsession_operator.rollout import SLOT_SECONDS, Rollout
from agentsession_operator.standing import holds_place
from agentsession_operator.status import answered
from agentsession_operator.world import Action, Drain, Plan, StartRun, World
from agentsession_operator.writer import StatusWriter

log = structlog.get_logger(__name__)


class Reconciler:
    """Calls nothing twice at once for one session: the WorkQueue sees to that.

    `on_slot_free` is called with a session that waited for its turn in a rollout, `on_missing` when
    the cluster does not know a session that the cache has, `on_state_lost` when Redis turns out to
    have been emptied, `on_gone` when a deleted session has been cleaned up.
    """

    def __init__(
        self,
        cache: Cache,
        store: MailboxStore,
        gatherer: Gatherer,
        executor: Executor,
        writer: StatusWriter,
        refusals: Refusals,
        rollout: Rollout,
        admission: Admission,
    ) -> None:
        self._cache = cache
        self._store = store
        self._gatherer = gatherer
        self._executor = executor
        self._writer = writer
        self._refusals = refusals
        self._rollout = rollout
        self._admission = admission
        self.on_slot_free: Callable[[Key], None] = lambda _: None
        self.on_missing: Callable[[], None] = lambda: None
        self.on_state_lost: Callable[[], None] = lambda: None
        self.on_gone: Callable[[], None] = lambda: None

    async def __call__(self, key: Key) -> float | None:
        """Looks at the session; answers in how many seconds to look again. Raises ClusterError,
        redis.RedisError."""
        session = self._cache.session(key)
        await self._clean_up(key, session.mailbox if session else None)
        if session is None:
            self._writer.forget(key)
            self._refusals.forget(key)
            self._settle(key)
            self._admission.gone(key, holds=self._holds_place(key))
            return None
        try:
            world = await self._gatherer.gather(key, session)
        except NotFoundError:
            self.on_missing()
            return None
        except StateLostError:
            # It is looked at again once Redis is rebuilt.
            self.on_state_lost()
            return None
        except RedisError:
            await self._writer.say_redis_away(key, session)
            raise
        world = replace(
            world,
            refused=self._refusals.get(key, world.now),
            may_roll=self._rollout.admits(key, world.now),
        )
        world, intended = self._decide(key, world)
        try:
            await self._carry_out(key, world, intended.actions)
        except _RefusedActionError as refused:
            refusal = self._refusals.add(key, refused.action, refused.error, world.now)
            log.warning("refused", error=refused.error.message)
            # What was intended did not happen: this plan is only said.
            intended = replace(plan(replace(world, refused=refusal)), actions=())
        finally:
            # However it went: a place that was given and not taken is another session's.
            self._admission.settle(key, holds=self._holds_place(key))
        self._follow_rollout(key, world, intended)
        try:
            delivers = answered(world, intended.status)
            waits = [await self._writer.say(key, session, intended.status, delivers)]
        except NotFoundError:
            # Gone, and the watch is late or has missed it; or the API server has just started and
            # does not serve the kind yet. A list says which.
            self.on_missing()
            return None
        if intended.requeue_at is not None:
            waits.append(max(0.0, intended.requeue_at - world.ends_now))
        if intended.actions:
            # The watch brings most consequences; this look brings those that only Redis knows.
            waits.append(INTERVAL)
        if intended.outdated and not world.may_roll:
            waits.append(SLOT_SECONDS)
        return min((wait for wait in waits if wait is not None), default=None)

    def _decide(self, key: Key, world: World) -> tuple[World, Plan]:
        """The plan, and the World in which the queue for runs has been asked about it."""
        intended = plan(world)
        place = self._admission.place(key, intended.standing)
        if place == world.place:
            return world, intended
        world = replace(world, place=place)
        return world, plan(world)

    def _holds_place(self, key: Key) -> bool:
        return holds_place(self._cache.children(key))

    async def _clean_up(self, key: Key, mailbox: str | None) -> None:
        """Removes the mailboxes of deleted sessions before anyone takes them over."""
        for box, uid in self._cache.gone(key, mailbox):
            answer = await self._store.end_mailbox(box, session_uid=uid, text=DELETED_TEXT)
            log.info("session gone", mailbox=answer.value)
            self._cache.forget_gone(box, uid)
            self.on_gone()

    async def _carry_out(self, key: Key, world: World, actions: tuple[Action, ...]) -> None:
        for action in actions:
            try:
                if not await self._executor.carry_out(key, world, action):
                    return
            except RefusedError as error:
                raise _RefusedActionError(action, error) from error
            if isinstance(action, StartRun):
                self._refusals.forget(key)

    def _follow_rollout(self, key: Key, world: World, done: Plan) -> None:
        drains = [action for action in done.actions if isinstance(action, Drain)]
        if any(drain.why is Reason.OUTDATED for drain in drains):
            self._rollout.begin(key, world.now)
        elif done.outdated:
            if not world.may_roll:
                self._rollout.wait(key)
        elif done.settled:
            self._settle(key)

    def _settle(self, key: Key) -> None:
        following = self._rollout.settle(key)
        if following is not None:
            self.on_slot_free(following)


class _RefusedActionError(Exception):
    def __init__(self, action: Action, error: RefusedError) -> None:
        super().__init__(str(error))
        self.action = action
        self.error = error
