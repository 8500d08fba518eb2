"""All that happens, in order: tests wait on it, the chat page follows it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel

MAX_ENTRIES = 20_000

Kind = Literal[
    "message",
    "edit",
    "delete",
    "draft",
    "action",
    "reaction",
    "callback",
    "callback_answer",
    "call",
    "webhook",
]


class Entry(BaseModel):
    """One thing that happened; `at` in Unix seconds of the server's clock."""

    sequence: int
    at: float
    kind: Kind
    chat_id: int | None
    data: dict[str, Any]


Wanted = Callable[[Entry], bool]


class Journal:
    """The newest entries, with waiting instead of polling. It belongs to one event loop."""

    def __init__(self, now: Callable[[], float], first_sequence: int = 1) -> None:
        self._now = now
        self._entries: deque[Entry] = deque(maxlen=MAX_ENTRIES)
        self._last = first_sequence - 1
        self._changed = asyncio.Event()

    @property
    def last_sequence(self) -> int:
        """The number of the newest entry, one less than the first one's before that."""
        return self._last

    def add(self, kind: Kind, chat_id: int | None, data: dict[str, Any]) -> Entry:
        """Keep an entry and wake those who wait for one."""
        self._last += 1
        entry = Entry(sequence=self._last, at=self._now(), kind=kind, chat_id=chat_id, data=data)
        self._entries.append(entry)
        # Everyone who waits holds the old event: it is set once, and a new one takes its place.
        self._changed.set()
        self._changed = asyncio.Event()
        return entry

    def after(self, sequence: int, wanted: Wanted) -> list[Entry]:
        """Return the kept entries with a greater number that are wanted, oldest first."""
        return [entry for entry in self._entries if entry.sequence > sequence and wanted(entry)]

    async def wait_after(self, sequence: int, wanted: Wanted, seconds: float) -> list[Entry]:
        """Return as `after`, waiting up to `seconds` until there is at least one."""
        try:
            async with asyncio.timeout(seconds):
                while not (found := self.after(sequence, wanted)):
                    await self._changed.wait()
        except TimeoutError:
            return []
        return found
