"""The operator's own tasks beside kopf's watches, in the order in which they may begin."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from redis import RedisError

from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import OperatorSettings
from agentsession_operator.admission import Admission
from agentsession_operator.cache import Cache
from agentsession_operator.comparison import Comparison
from agentsession_operator.epoch import Epoch
from agentsession_operator.ground import Ground
from agentsession_operator.hints import follow_hints
from agentsession_operator.metrics import Metrics
from agentsession_operator.opening import Opening
from agentsession_operator.orphans import Orphans
from agentsession_operator.queue_board import QueueBoard
from agentsession_operator.sweep import Sweep
from agentsession_operator.workqueue import WorkQueue

log = structlog.get_logger(__name__)
RETRY_SECONDS: Final = 2.0


class Service:
    """Learns what there is, then works; the watches follow."""

    def __init__(
        self,
        settings: OperatorSettings,
        ground: Ground,
        store: MailboxStore,
        cache: Cache,
        queue: WorkQueue,
        sweep: Sweep,
        orphans: Orphans,
        comparison: Comparison,
        opening: Opening,
        epoch: Epoch,
        metrics: Metrics,
        admission: Admission,
        board: QueueBoard,
    ) -> None:
        self._settings = settings
        self._ground = ground
        self._store = store
        self._cache = cache
        self._queue = queue
        self._sweep = sweep
        self._orphans = orphans
        self._comparison = comparison
        self._opening = opening
        self._epoch = epoch
        self._metrics = metrics
        self._admission = admission
        self._board = board

    async def run(self, learnt: asyncio.Event) -> None:
        """Works until cancelled; `learnt` is set once the cache is whole."""
        # It has to be before the first decision: a child not yet seen looks like none.
        await self._ground.begin(self._comparison.run)
        learnt.set()
        rebuilt = await self._epoch.begin()
        # Nobody is given a place before it is known who has one and who waited for one.
        await self._until_redis_answers(self._board.open)
        if not rebuilt:
            # After a loss nobody's status is right any more, and nobody is known to be at rest.
            await self._until_redis_answers(self._opening.begin)
        log.info("ready", sessions=len(self._cache.index()))
        settings, failed = self._settings, self._metrics.count_error
        async with asyncio.TaskGroup() as group:
            group.create_task(self._queue.run(settings.workers))
            group.create_task(self._tell_reconciled())
            group.create_task(self._ground.guard())
            group.create_task(self._comparison.when_asked(failed))
            group.create_task(self._admission.run())
            group.create_task(self._board.run(failed))
            group.create_task(self._epoch.guard(self._look_at_all))
            group.create_task(
                follow_hints(self._store, self._cache, self._queue, self._opening, failed)
            )
            group.create_task(
                self._sweep.every(settings.sweep_seconds, self._sweep.backlog, failed)
            )
            group.create_task(self._sweep.every(settings.sweep_seconds, self._epoch.check, failed))
            group.create_task(
                self._sweep.every(settings.sweep_seconds, self._orphans.sweep, failed)
            )
            group.create_task(
                self._sweep.every(settings.anti_entropy_seconds, self._sweep.anti_entropy, failed)
            )

    async def _tell_reconciled(self) -> None:
        """Says when all that may have something to do has been looked at once."""
        await self._queue.idle()
        log.info("reconciled", sessions=len(self._cache.index()))

    async def _until_redis_answers(self, ask: Callable[[], Awaitable[object]]) -> None:
        while True:
            try:
                await ask()
            except (RedisError, OSError) as error:
                log.warning("waiting for redis", error=str(error), retry_seconds=RETRY_SECONDS)
                self._metrics.count_error(error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return

    def _look_at_all(self) -> None:
        for key in tuple(self._cache.index()):
            self._queue.add(key)
