"""How much one person may send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from redis.asyncio import Redis

from agentsession_core.mailbox.keys import hourly_messages
from agentsession_core.mailbox.messages import INCOMING_MESSAGES
from agentsession_core.settings import LimitSettings

HOUR_SECONDS: Final = 3600


class Limits:
    """Messages by the hour, whichever chat they are sent in. `now`: Unix seconds."""

    def __init__(self, redis: Redis, settings: LimitSettings, now: Callable[[], float]) -> None:
        self._redis = redis
        self._settings = settings
        self._now = now

    @property
    def most_waiting(self) -> int:
        """How many messages may wait in a mailbox."""
        return self._settings.waiting_messages or INCOMING_MESSAGES

    async def wait_minutes(self, person: int) -> int:
        """After how many minutes a person may send the next message; 0 for now.

        Raises:
            redis.RedisError: it is not known.
        """
        most, now = self._settings.messages_per_hour, self._now()
        sent = await self._redis.get(self._key(person)) if most else None
        if sent is None or int(sent) < most:
            return 0
        return int((HOUR_SECONDS - now % HOUR_SECONDS) // 60) + 1

    async def count(self, person: int) -> None:
        """A message was taken.

        Raises:
            redis.RedisError: it may not be counted.
        """
        key = self._key(person)
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.incr(key)
            pipe.expire(key, HOUR_SECONDS)
            await pipe.execute()

    def _key(self, person: int) -> str:
        return hourly_messages(person, int(self._now() // HOUR_SECONDS))
