"""`GET /v1/terminal/sessions/<name>/events`: a mailbox's events as a terminal sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import structlog
from redis.exceptions import RedisError

from agentsession_core.mailbox.model import MailboxEvent
from agentsession_core.mailbox.store import MailboxStore
from agentsession_gateway.terminal_view import completed, encode, is_cut, shown

KEEP_ALIVE_SECONDS: Final = 15.0
# The client comes back with a token of then: a right that was taken away ends with it.
STREAM_SECONDS: Final = 300.0
_log = structlog.get_logger(__name__)


class EventFeed:
    """One terminal's events after an id, until the time is over or the process stops."""

    def __init__(
        self,
        store: MailboxStore,
        mailbox: str,
        after: str,
        stopping: Callable[[], Awaitable[None]],
        clock: Callable[[], float],
    ) -> None:
        self._store = store
        self._mailbox = mailbox
        self._after = after
        self._stopping = stopping
        self._clock = clock

    async def frames(self) -> AsyncIterator[bytes]:
        """Server-sent events; ends by itself, the client connects again."""
        ends = self._clock() + STREAM_SECONDS
        stopping = asyncio.ensure_future(self._stopping())
        try:
            yield b": connected\n\n"
            while self._clock() < ends and not stopping.done():
                try:
                    events = await self._read(stopping)
                except RedisError as error:
                    _log.warning(
                        "events_cut_off", mailbox=self._mailbox, error=type(error).__name__
                    )
                    return
                if not events:
                    yield b": keep-alive\n\n"
                for event in events:
                    frame = await self._frame(event)
                    if frame:
                        yield frame
        finally:
            stopping.cancel()

    async def _read(self, stopping: asyncio.Future[None]) -> list[MailboxEvent]:
        reading = asyncio.ensure_future(
            self._store.next_events(self._mailbox, self._after, KEEP_ALIVE_SECONDS)
        )
        either: set[asyncio.Future[Any]] = {reading, stopping}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                return []
            events = reading.result()
        finally:
            reading.cancel()
        if events:
            self._after = events[-1].id
        return events

    async def _frame(self, event: MailboxEvent) -> bytes | None:
        if is_cut(event):
            event = completed(event, (await self._store.state(self._mailbox)).last)
        seen = shown(event)
        return encode(event.id, *seen) if seen else None
