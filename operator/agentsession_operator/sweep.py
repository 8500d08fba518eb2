"""What watches and hints have missed: a look at the backlog often, at everything seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from redis import RedisError

from agentsession_core.mailbox.life import OutgoingAnswer
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.cache import Cache
from agentsession_operator.cluster_errors import ClusterError
from agentsession_operator.comparison import Comparison
from agentsession_operator.recovery import DELETED_TEXT
from agentsession_operator.workqueue import WorkQueue

log = structlog.get_logger(__name__)
ORPHAN_SECONDS: Final = 60.0
# A bridge may be off over a weekend.
UNDELIVERED_SECONDS: Final = 7 * 86_400.0


class Sweep:
    """Repairs of the cache and of Redis."""

    def __init__(
        self,
        cache: Cache,
        store: MailboxStore,
        queue: WorkQueue,
        comparison: Comparison,
        clock: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._store = store
        self._queue = queue
        self._comparison = comparison
        self._clock = clock
        self._orphans: dict[str, float] = {}

    async def every(
        self,
        seconds: float,
        work: Callable[[], Awaitable[None]],
        on_error: Callable[[Exception], None],
    ) -> None:
        """Calls `work` for ever; an error is logged and counted, and the next call comes anyway."""
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except (RedisError, ClusterError, OSError) as error:
                log.warning("sweep failed", error=str(error))
                on_error(error)

    async def backlog(self) -> None:
        """Has every session with waiting messages looked at; forgets orphaned mailboxes."""
        for mailbox in await self._store.backlog():
            for key in self._cache.sessions_of_mailbox(mailbox):
                self._queue.add(key)
        await self._end_orphans()
        await self._finish_outgoing()

    async def _end_orphans(self) -> None:
        """A deletion that no watch reported leaves a mailbox without a session."""
        now = self._clock()
        orphaned = await self._orphaned()
        self._orphans = {mailbox: self._orphans.get(mailbox, now) for mailbox in orphaned}
        due = {box for box, since in self._orphans.items() if now - since >= ORPHAN_SECONDS}
        if not due:
            return
        # Nothing of it comes back: a session that only the watch has missed is asked for first.
        await self.anti_entropy()
        for mailbox in sorted(due & await self._orphaned()):
            state = await self._store.state(mailbox)
            answer = await self._store.end_mailbox(
                mailbox, session_uid=state.session_uid or "", text=DELETED_TEXT
            )
            log.info("orphaned mailbox ended", mailbox=mailbox, answer=answer.value)
            del self._orphans[mailbox]

    async def _orphaned(self) -> set[str]:
        return {
            mailbox
            for mailbox in await self._store.mailboxes()
            if not self._cache.sessions_of_mailbox(mailbox)
        }

    async def _finish_outgoing(self) -> None:
        """What deleted sessions still had to say goes once a bridge has delivered it."""
        for mailbox in await self._store.undelivered():
            answer = await self._store.finish_outgoing(mailbox, keep_seconds=UNDELIVERED_SECONDS)
            if answer is OutgoingAnswer.DROPPED:
                log.warning("never delivered, dropped", mailbox=mailbox)

    async def anti_entropy(self) -> None:
        """Compares the cache with the cluster. Raises ClusterError."""
        await self._comparison.run()
