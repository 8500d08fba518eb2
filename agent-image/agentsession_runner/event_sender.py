"""A turn's events on their way to the gateway: merged, in order, best effort."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from agentsession_runner.gateway_client import GatewayRefusedError, GatewayUnavailableError
from agentsession_runner.reports import encode, event_object, split_text

BATCH_SECONDS = 0.05
BATCH_EVENTS = 64
# Text within an event; the rest of its 16 KiB is for the event itself.
TEXT_LIMIT_BYTES = 15 * 1024
DATA_LIMIT_BYTES = 15 * 1024
WAITING_EVENTS = 512
RETRY_SECONDS = 0.5

Post = Callable[[list[dict[str, Any]]], Awaitable[None]]


class EventBuffer:
    """Events not sent yet. Adjacent pieces of text become one event."""

    def __init__(self) -> None:
        self._waiting: list[tuple[str, dict[str, Any]]] = []
        self._next = 0
        self.dropped = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add_text(self, text: str) -> None:
        """Add a piece of the answer."""
        if self._waiting and self._waiting[-1][0] == "delta":
            text = self._waiting.pop()[1]["text"] + text
        for piece in split_text(text, TEXT_LIMIT_BYTES):
            self._add("delta", {"text": piece})

    def add(self, kind: str, data: dict[str, Any]) -> None:
        """Add another event; one that is too large is dropped and counted."""
        if len(encode(data)) > DATA_LIMIT_BYTES:
            self.dropped += 1
        else:
            self._add(kind, data)

    def take(self) -> list[dict[str, Any]]:
        """The next events to send, numbered."""
        taken, self._waiting = self._waiting[:BATCH_EVENTS], self._waiting[BATCH_EVENTS:]
        events = [
            event_object(self._next + offset, kind, data)
            for offset, (kind, data) in enumerate(taken)
        ]
        self._next += len(events)
        return events

    def _add(self, kind: str, data: dict[str, Any]) -> None:
        if len(self._waiting) >= WAITING_EVENTS:
            # The gateway is away: the result, which is not dropped, holds the whole answer.
            self.dropped += 1
            return
        self._waiting.append((kind, data))


class EventSender:
    """Sends a turn's events: the first at once, then at most one batch per 50 ms."""

    def __init__(self, post: Post, report: Callable[[str], None]) -> None:
        self._post = post
        self._report = report
        self._buffer = EventBuffer()
        self._wake = asyncio.Event()
        self._hurry = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.create_task(self._send_all())

    def text(self, text: str) -> None:
        """A piece of the answer."""
        self._buffer.add_text(text)
        self._notify()

    def tool(self, name: str, summary: str) -> None:
        """A tool is used."""
        self.add("tool", {"name": name, "summary": summary})

    def add(self, kind: str, data: dict[str, Any]) -> None:
        """Any other event."""
        self._buffer.add(kind, data)
        self._notify()

    async def flush(self, seconds: float) -> None:
        """Wait until everything so far is sent or given up, at most so long."""
        self._hurry.set()
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            self._report("events of the turn could not be sent in time")
        self._hurry.clear()

    def abort(self) -> None:
        """Stop without sending what is left."""
        self._task.cancel()

    async def close(self, seconds: float) -> None:
        """Flush and stop."""
        await self.flush(seconds)
        self._task.cancel()
        await asyncio.wait([self._task])
        if self._buffer.dropped:
            self._report(f"{self._buffer.dropped} events of the turn were dropped")

    def _notify(self) -> None:
        if self._buffer:
            self._idle.clear()
            self._wake.set()

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._buffer:
                await self._send(self._buffer.take())
                if not self._buffer:
                    self._idle.set()
                await self._pause()

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(BATCH_SECONDS):
                await self._hurry.wait()

    async def _send(self, events: list[dict[str, Any]]) -> None:
        while True:
            try:
                await self._post(events)
            except GatewayUnavailableError:
                await asyncio.sleep(RETRY_SECONDS)
            except GatewayRefusedError as refusal:
                self._report(f"events of the turn were refused with {refusal}")
                return
            else:
                return
