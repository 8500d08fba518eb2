"""Who may wait for events: each that waits has a connection to Redis, and those are everybody's."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, Final

from agentsession_core.mailbox.connect import CONNECTIONS

WAITING_PER_USER: Final = 20
# The other half stays for everything else that this process asks Redis.
WAITING: Final = CONNECTIONS // 2


class Followers:
    """Counts those that wait, of this process."""

    def __init__(self, per_user: int = WAITING_PER_USER, altogether: int = WAITING) -> None:
        self._per_user = per_user
        self._altogether = altogether
        self._waiting: Counter[str] = Counter()
        self._sent_away = asyncio.Event()

    def waiting(self, user: str) -> int:
        """How many of the user's wait now."""
        return self._waiting[user]

    @contextmanager
    def place(self, user: str) -> Iterator[bool]:
        """Whether one more of the user's may wait; until it is left that one is counted."""
        full = self._waiting[user] >= self._per_user or self._waiting.total() >= self._altogether
        if full or self._sent_away.is_set():
            yield False
            return
        self._waiting[user] += 1
        try:
            yield True
        finally:
            self._waiting[user] -= 1
            if not self._waiting[user]:
                del self._waiting[user]

    def send_away(self) -> None:
        """Nobody waits any more: the process ends, and would wait for them."""
        self._sent_away.set()

    async def wait(self, event: Coroutine[Any, Any, None]) -> bool:
        """Waits for the event, and raises what that raises; False when all were sent away before it."""
        waits = asyncio.create_task(event)
        leaves = asyncio.create_task(self._sent_away.wait())
        try:
            await asyncio.wait((waits, leaves), return_when=asyncio.FIRST_COMPLETED)
            if waits.done():
                await waits
            return waits.done()
        finally:
            waits.cancel()
            leaves.cancel()
            await asyncio.gather(waits, leaves, return_exceptions=True)
