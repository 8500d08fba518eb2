"""Everything is looked at when the operator starts or finds Redis again: what matters first.

A look costs a millisecond and a question to Redis: ten thousand of them in a row would keep those waiting
that have something to do. Sessions at rest have not: what may have come for them meanwhile is in the
backlog or in their generation. They are looked at, too, spread over two minutes (docs/adr/0011).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.cache import Cache
from agentsession_operator.model import Key
from agentsession_operator.workqueue import WorkQueue

SPREAD_SECONDS: Final = 120.0


class Opening:
    """Says when each session is looked at. `clock` in seconds since the epoch."""

    def __init__(
        self, cache: Cache, queue: WorkQueue, store: MailboxStore, clock: Callable[[], float]
    ) -> None:
        self._cache = cache
        self._queue = queue
        self._store = store
        self._clock = clock

    async def begin(self) -> None:
        """Before the first look: of the many that wait for it, those at rest step back.

        Raises redis.RedisError.
        """
        self._queue.postpone(self._appointments(await self._expected()))

    async def look_at_all(self) -> None:
        """Has every session looked at: what was missed is not known. Raises redis.RedisError."""
        expected = await self._expected()
        later = self._appointments(expected)
        for key in tuple(self._cache.index()):
            if key in later:
                self._queue.add_at(key, later[key])
            else:
                self._queue.add(key)

    async def _expected(self) -> set[Key]:
        """Sessions for which messages wait."""
        mailboxes = await self._store.backlog()
        return {key for mailbox in mailboxes for key in self._cache.sessions_of_mailbox(mailbox)}

    def _appointments(self, expected: set[Key]) -> dict[Key, float]:
        """When those at rest are looked at, at the latest at their end; of others nothing."""
        cache, now = self._cache, self._clock()
        resting = {
            key: session
            for key, session in cache.index().items()
            if session.at_rest
            and key not in expected
            and not cache.jobs.of(key)
            and not cache.pods.of(key)
            and (session.expires is None or session.expires > now)
        }
        step = SPREAD_SECONDS / max(1, len(resting))
        return {
            key: min(now + number * step, session.expires or float("inf"))
            for number, (key, session) in enumerate(resting.items(), 1)
        }
