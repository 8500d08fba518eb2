"""Whether Redis is the one whose state is known: `sessions:epoch` says so.

A Redis without it was emptied, or is a new one. Everything that the API server knows is put into it
before it is marked; until then the gateway answers "try again" and the operator decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from redis import RedisError

from agentsession_core.api import AgentSession
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.cache import Cache
from agentsession_operator.model import Key
from agentsession_operator.recovery import Recovery

log = structlog.get_logger(__name__)
RETRY_SECONDS: Final = 2.0
AT_ONCE: Final = 50


class StateLostError(Exception):
    """Redis has lost its state; nothing can be decided until it is back."""

    def __init__(self) -> None:
        super().__init__("Redis has lost its state; it is being rebuilt from the cluster")


class Epoch:
    """Notices that Redis was emptied, and has it rebuilt."""

    def __init__(
        self,
        cache: Cache,
        store: MailboxStore,
        recovery: Recovery,
        new_id: Callable[[], str],
        on_error: Callable[[Exception], None],
    ) -> None:
        self._cache = cache
        self._store = store
        self._recovery = recovery
        self._new_id = new_id
        self._on_error = on_error
        self._lost = asyncio.Event()

    def report(self) -> None:
        """Somebody met a Redis without its mark."""
        self._lost.set()

    async def check(self) -> None:
        """Looks once. Raises redis.RedisError."""
        if await self._store.epoch() is None:
            self.report()

    async def begin(self) -> bool:
        """Returns once Redis is there and known: whether it had to be rebuilt for that."""
        rebuilt = False
        while True:
            try:
                if await self._store.epoch() is None:
                    await self._rebuild()
                    rebuilt = True
            except (RedisError, OSError) as error:
                log.warning("waiting for redis", error=str(error), retry_seconds=RETRY_SECONDS)
                self._on_error(error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return rebuilt

    async def guard(self, on_rebuilt: Callable[[], None]) -> None:
        """Rebuilds whenever the mark is reported missing, until cancelled."""
        while True:
            await self._lost.wait()
            self._lost.clear()
            await self.begin()
            on_rebuilt()

    async def _rebuild(self) -> None:
        holders = [
            key
            for key, session in self._cache.index().items()
            if self._cache.mailbox_holder(session.mailbox) == key
        ]
        for start in range(0, len(holders), AT_ONCE):
            async with asyncio.TaskGroup() as group:
                for key in holders[start : start + AT_ONCE]:
                    session = self._cache.session(key)
                    if session is not None and session.metadata.deletion_timestamp is None:
                        group.create_task(self._settle(key, session))
        await self._store.begin_epoch(self._new_id())
        log.warning("redis had no state", sessions=len(holders))

    async def _settle(self, key: Key, session: AgentSession) -> None:
        with structlog.contextvars.bound_contextvars(session=key.name, namespace=key.namespace):
            state = await self._store.state(session.mailbox)
            await self._recovery.settle(key, session, state)
