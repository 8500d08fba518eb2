"""What watches and hints have missed: a look at the backlog often, at everything seldom."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from redis import RedisError

from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.cache import Cache
from agentsession_operator.cluster import ClusterError
from agentsession_operator.comparison import Comparison
from agentsession_operator.workqueue import WorkQueue

log = structlog.get_logger(__name__)
ORPHAN_SECONDS = 60.0


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
        await self._purge_orphans()

    async def _purge_orphans(self) -> None:
        """A deletion that no watch reported leaves a mailbox without a session."""
        now = self._clock()
        orphaned = {
            mailbox
            for mailbox in await self._store.mailboxes()
            if not self._cache.sessions_of_mailbox(mailbox)
        }
        self._orphans = {mailbox: self._orphans.get(mailbox, now) for mailbox in orphaned}
        for mailbox, since in list(self._orphans.items()):
            if now - since >= ORPHAN_SECONDS:
                state = await self._store.state(mailbox)
                await self._store.purge(mailbox, session_uid=state.session_uid or "")
                log.info("orphaned mailbox purged")
                del self._orphans[mailbox]

    async def anti_entropy(self) -> None:
        """Compares the cache with the cluster. Raises ClusterError."""
        await self._comparison.run()
