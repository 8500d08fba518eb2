"""What the bridge says by itself: in the chat's lane, but nobody waits for it."""

from __future__ import annotations

import asyncio
import html
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

import structlog
from telegram.error import TelegramError

from agentsession_bridge.pace import Lanes
from agentsession_bridge.places import Place
from agentsession_bridge.telegram_client import ChatGoneError, ChatMovedError, Chats

log = structlog.get_logger(__name__)

SELDOM_SECONDS = 3600.0
MOST_WAITING = 5


class Replies:
    """Short words to a chat."""

    def __init__(self, chats: Chats, lanes: Lanes, now: Callable[[], float]) -> None:
        self._chats = chats
        self._lanes = lanes
        self._now = now
        self._said_at: dict[int, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: Counter[int] = Counter()

    def say(self, place: Place, text: str, reply_to: int | None = None) -> None:
        """Say something soon; not if so much of it waits already that nobody would read it."""
        if self._waiting[place.chat_id] >= MOST_WAITING:
            log.info("not said", chat=place.chat_id, reason="too much waits")
            return
        self._waiting[place.chat_id] += 1
        self._start(self._say(place, text, reply_to))

    def may_say(self, place: Place) -> bool:
        """Whether `say_seldom` would say anything."""
        last = self._said_at.get(place.chat_id)
        return last is None or self._now() - last >= SELDOM_SECONDS

    def say_seldom(self, place: Place, text: str) -> None:
        """Say something to a chat at most once an hour."""
        if self.may_say(place):
            self._said_at[place.chat_id] = self._now()
            self.say(place, text)

    def answer_press(self, query_id: str, text: str) -> None:
        """Take the waiting sign off a pressed button."""
        self._start(self._chats.answer_press(query_id, text))

    def take_buttons(self, place: Place, message_id: int) -> None:
        """Take the buttons off a message when there is room for it."""
        key = ("buttons", message_id)
        take = partial(self._chats.take_buttons, place, message_id)
        self._lanes.preview(place.chat_id, key, take)

    async def _say(self, place: Place, text: str, reply_to: int | None) -> None:
        escaped = html.escape(text, quote=False)
        try:
            await self._lanes.send(
                place.chat_id, lambda: self._chats.send(place, escaped, text, reply_to=reply_to)
            )
        except (ChatGoneError, ChatMovedError, TelegramError) as error:
            log.info("not said", chat=place.chat_id, reason=type(error).__name__)
        finally:
            self._waiting[place.chat_id] -= 1
            self._waiting += Counter()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
