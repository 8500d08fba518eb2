"""Who may wait for events: each that waits has a connection to Redis, and those are everybody's."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

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

    def waiting(self, user: str) -> int:
        """How many of the user's wait now."""
        return self._waiting[user]

    @contextmanager
    def place(self, user: str) -> Iterator[bool]:
        """Whether one more of the user's may wait; until it is left that one is counted."""
        if self._waiting[user] >= self._per_user or self._waiting.total() >= self._altogether:
            yield False
            return
        self._waiting[user] += 1
        try:
            yield True
        finally:
            self._waiting[user] -= 1
            if not self._waiting[user]:
                del self._waiting[user]
