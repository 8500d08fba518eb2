"""From the outbox to Redis: in order, each entry once, whenever this process or Redis dies."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import Final

import structlog
from redis.exceptions import RedisError
from sqlalchemy import Delete, delete, select
from sqlalchemy.exc import SQLAlchemyError

from agentsession_core.mailbox.publishing import Publishing
from orchestrator_api.database import Database
from orchestrator_api.tables import OutboxEntry

BATCH: Final = 100
# For entries of a replica that died with them: nobody else tells of those.
SWEEP_SECONDS: Final = 30.0
FIRST_PAUSE_SECONDS: Final = 0.5
LONGEST_PAUSE_SECONDS: Final = 15.0
_log = structlog.get_logger(__name__)


class Relay:
    """Publishes what waits; `committed` is to be called after a transaction."""

    def __init__(
        self,
        database: Database,
        publishing: Publishing,
        sweep_seconds: float = SWEEP_SECONDS,
        after_publishing: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._publishing = publishing
        self._sweep_seconds = sweep_seconds
        # A test dies here, between the two stores.
        self._after_publishing = after_publishing
        self._waiting = asyncio.Event()

    def committed(self) -> None:
        """Something may wait."""
        self._waiting.set()

    async def run(self) -> None:
        """Publishes for ever."""
        failures = 0
        while True:
            self._waiting.clear()
            try:
                more = await self.publish()
                failures = 0
            except (RedisError, SQLAlchemyError, OSError) as error:
                failures += 1
                _log.warning("outbox_waits", error=type(error).__name__, failures=failures)
                pause = min(FIRST_PAUSE_SECONDS * 2.0**failures, LONGEST_PAUSE_SECONDS)
                await asyncio.sleep(pause)
                continue
            if not more:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._waiting.wait(), self._sweep_seconds)

    async def publish(self) -> bool:
        """Publishes the oldest entries; whether there may be more.

        No transaction is open while Redis is waited for. Another replica may publish the same entries
        meanwhile: their keys keep each to one, and both go through them in their order.
        """
        async with self._database.reading() as session:
            query = select(OutboxEntry).order_by(OutboxEntry.id).limit(BATCH)
            entries = (await session.scalars(query)).all()
        if not entries:
            return False
        for entry in entries:
            await self._publishing.publish_once(entry.key, entry.stream, entry.fields, entry.limit)
        self._after_publishing()
        async with self._database.writing() as session:
            await session.execute(_forget([entry.id for entry in entries]))
        return len(entries) == BATCH


def _forget(ids: Sequence[int]) -> Delete:
    # What another replica deletes in this moment is its to delete: waiting for it could be a deadlock.
    free = select(OutboxEntry.id).where(OutboxEntry.id.in_(ids)).with_for_update(skip_locked=True)
    return delete(OutboxEntry).where(OutboxEntry.id.in_(free))
