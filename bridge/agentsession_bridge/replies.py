"""What the bridge says by itself: in the chat's lane, but nobody waits for it."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Coroutine
from typing import Any

import structlog
from telegram.error import TelegramError

from agentsession_bridge.pace import Lanes
from agentsession_bridge.places import Place
from agentsession_bridge.telegram_client import ChatGoneError, ChatMovedError, Chats

log = structlog.get_logger(__name__)

SELDOM_SECONDS = 3600.0


class Replies:
    """Short words to a chat."""

    def __init__(self, chats: Chats, lanes: Lanes, now: Callable[[], float]) -> None:
        self._chats = chats
        self._lanes = lanes
        self._now = now
        self._said_at: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def say(self, place: Place, text: str, reply_to: int | None = None) -> None:
        """Say something soon."""
        self._start(self._say(place, text, reply_to))

    def say_seldom(self, place: Place, text: str) -> None:
        """Say something to a chat at most once an hour."""
        last = self._said_at.get(place.chat_id)
        if last is None or self._now() - last >= SELDOM_SECONDS:
            self._said_at[place.chat_id] = self._now()
            self.say(place, text)

    async def _say(self, place: Place, text: str, reply_to: int | None) -> None:
        escaped = html.escape(text, quote=False)
        try:
            await self._lanes.send(
                place.chat_id, lambda: self._chats.send(place, escaped, text, reply_to=reply_to)
            )
        except (ChatGoneError, ChatMovedError, TelegramError) as error:
            log.info("not said", chat=place.chat_id, reason=type(error).__name__)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
