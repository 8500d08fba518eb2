"""Codes for people who are on no list: one each, for an hour, and not many at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from redis.asyncio import Redis

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.parse import read_text
from agentsession_core.pairing import CODE_SECONDS

# Beyond it nobody gets a code: a crowd of strangers must fill neither Redis nor anybody's patience.
MOST_CODES: Final = 50


@dataclass(frozen=True)
class Stranger:
    """Somebody who wants to be let in; the name is for people to read."""

    id: int
    name: str


class Codes:
    """Codes that wait to be approved. `now`: Unix seconds. Raises redis.RedisError."""

    def __init__(self, redis: Redis, now: Callable[[], float], new_code: Callable[[], str]) -> None:
        self._redis = redis
        self._now = now
        self._new_code = new_code

    async def code_for(self, stranger: Stranger) -> str | None:
        """The person's code; None while too many others wait."""
        own = keys.pairing_person(stranger.id)
        known = await self._redis.get(own)
        if known is not None:
            return read_text(known)
        now = self._now()
        await self._redis.zremrangebyscore(keys.PAIRING_CODES, 0, now)
        if await self._redis.zcard(keys.PAIRING_CODES) >= MOST_CODES:
            return None
        code = self._new_code()
        said = json.dumps({"id": stranger.id, "name": stranger.name})
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.set(own, code, ex=CODE_SECONDS)
            pipe.set(keys.pairing_code(code), said, ex=CODE_SECONDS)
            pipe.zadd(keys.PAIRING_CODES, {code: now + CODE_SECONDS})
            await pipe.execute()
        return code

    async def stranger_of(self, code: str) -> Stranger | None:
        """Whose code it is; None for one that is unknown or too old."""
        known = await self._redis.get(keys.pairing_code(code))
        if known is None:
            return None
        said = json.loads(known)
        return Stranger(said["id"], said["name"])

    async def used(self, code: str, stranger: Stranger) -> None:
        """The code is over."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(keys.pairing_person(stranger.id), keys.pairing_code(code))
            pipe.zrem(keys.PAIRING_CODES, code)
            await pipe.execute()

    async def remember(self, people: frozenset[int]) -> None:
        """Who is let in, for a start without an API server."""
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.delete(keys.PAIRING_PEOPLE)
            if people:
                pipe.sadd(keys.PAIRING_PEOPLE, *people)
            await pipe.execute()

    async def remembered(self) -> frozenset[int]:
        """Who was let in when the API server was asked last."""
        return frozenset(int(person) for person in await self._redis.smembers(keys.PAIRING_PEOPLE))
