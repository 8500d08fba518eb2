"""The queue for runs between the operator's life and Redis: how it begins, and what others read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
from redis import RedisError

from agentsession_core import naming
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.admission import Admission
from agentsession_operator.cache import Cache
from agentsession_operator.fair_queue import Holding
from agentsession_operator.model import Key
from agentsession_operator.standing import holds_place

log = structlog.get_logger(__name__)
PUBLISH_SECONDS: Final = 2.0
REFRESH_SECONDS: Final = 30.0
# Whoever reads the key must not believe an operator that is gone.
KEPT_SECONDS: Final = 120


class QueueBoard:
    """Restores the queue at the start and writes `sessions:queue`: all places at once, and nothing
    while nobody waits."""

    def __init__(self, admission: Admission, cache: Cache, store: MailboxStore) -> None:
        self._admission = admission
        self._cache = cache
        self._store = store

    async def open(self) -> None:
        """Tells the queue who has a place and who waited before. Raises redis.RedisError."""
        expected = {}
        for mailbox in await self._store.backlog():
            key = self._cache.mailbox_holder(mailbox)
            if key is not None:
                expected[key] = naming.is_task(mailbox)
        keys = {*self._cache.jobs.keys(), *self._cache.pods.keys()}
        holding = [self._holding(key) for key in keys if holds_place(self._cache.children(key))]
        self._admission.begin(holding, {k: v for k, v in expected.items() if k not in keys})

    def _holding(self, key: Key) -> Holding:
        session = self._cache.index().get(key)
        if session is None:
            return Holding(key, "", task=False, leaving=True)
        return Holding(key, session.user, naming.is_task(session.mailbox))

    async def run(self, on_error: Callable[[Exception], None]) -> None:
        """Publishes until cancelled: after each move, and now and then what still holds."""
        moved, positions = self._admission.moved, dict[str, int]()
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(moved.wait(), REFRESH_SECONDS if positions else None)
            moved.clear()
            positions = self._positions()
            try:
                await self._store.publish_queue(positions, KEPT_SECONDS)
            except (RedisError, OSError) as error:
                log.warning("queue not published", error=str(error))
                on_error(error)
                moved.set()
            await asyncio.sleep(PUBLISH_SECONDS)

    def _positions(self) -> dict[str, int]:
        found = {}
        for key, number in self._admission.positions.items():
            session = self._cache.index().get(key)
            if session is not None:
                found[session.mailbox] = number
        return found
