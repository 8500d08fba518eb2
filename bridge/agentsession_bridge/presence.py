"""Shows that a message was seen and that an answer is being written."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from agentsession_bridge.places import Place
from agentsession_bridge.telegram_client import Chats

SEEN = "👀"
# Telegram shows "typing" for about five seconds.
TYPING_SECONDS = 4.0
# Beyond it nobody believes the sign any more, and something is wrong that a notice tells.
LONGEST_SECONDS = 1800.0


@dataclass
class _Work:
    task: asyncio.Task[None]
    messages: set[int] = field(default_factory=set)


class Presence:
    """Signs of life in chats whose agents work."""

    def __init__(self, chats: Chats) -> None:
        self._chats = chats
        self._works: dict[Place, _Work] = {}
        self._reactions: set[asyncio.Task[None]] = set()

    def working(self, place: Place, message_id: int) -> None:
        """A message of a place has come in."""
        work = self._works.get(place)
        if work is None or work.task.done():
            task = asyncio.create_task(self._type(place), name=f"typing {place.chat}")
            work = self._works[place] = _Work(task)
        work.messages.add(message_id)
        self._react(place, message_id, SEEN)

    def answered(self, place: Place, message_ids: list[int]) -> None:
        """Messages of a place are answered."""
        for message_id in message_ids:
            self._react(place, message_id, None)
        work = self._works.get(place)
        if work is None:
            return
        work.messages.difference_update(message_ids)
        if not work.messages:
            work.task.cancel()
            del self._works[place]

    def _react(self, place: Place, message_id: int, emoji: str | None) -> None:
        # Beside the chat's lane: a reaction is no message and must not wait for one.
        task = asyncio.create_task(self._chats.react(place, message_id, emoji))
        self._reactions.add(task)
        task.add_done_callback(self._reactions.discard)

    async def _type(self, place: Place) -> None:
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                while True:
                    await self._chats.typing(place)
                    await asyncio.sleep(TYPING_SECONDS)
        except TimeoutError:
            return
