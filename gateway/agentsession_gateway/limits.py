"""Limits that keep one agent from taking the gateway from all others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from starlette.requests import ClientDisconnect, Request

from agentsession_core.problems import ProblemError

BODY_SECONDS: Final = 120.0
BODIES_BYTES: Final = 128 * 1024 * 1024
SESSION_BODIES_BYTES: Final = 40 * 1024 * 1024


class HeldBytes:
    """Bytes that one request holds of a budget."""

    def __init__(self, budget: BodyBudget, key: str) -> None:
        self._budget = budget
        self._key = key
        self.size = 0

    def grow(self, size: int) -> None:
        """Holds `size` bytes more. Raises ProblemError 429 when there are none left."""
        self._budget.take(self._key, size)
        self.size += size


class BodyBudget:
    """How many bytes of bodies the process holds at once, in all and per session.

    Without it one agent's parallel uploads would have the process killed for its memory, and
    every session's streams with it.
    """

    def __init__(self, total: int, share: int) -> None:
        self._total = total
        self._share = share
        self._used = 0
        self._keys: dict[str, int] = {}

    @property
    def used(self) -> int:
        """Bytes that are held now."""
        return self._used

    @contextmanager
    def hold(self, key: str) -> Iterator[HeldBytes]:
        """Bytes held within the block."""
        held = HeldBytes(self, key)
        try:
            yield held
        finally:
            self._used -= held.size
            left = self._keys.get(key, 0) - held.size
            if left > 0:
                self._keys[key] = left
            else:
                self._keys.pop(key, None)

    def take(self, key: str, size: int) -> None:
        """Takes bytes. Raises ProblemError 429 when the budget or the key's share is used up."""
        mine = self._keys.get(key, 0) + size
        if mine > self._share or self._used + size > self._total:
            raise ProblemError(
                429, "too_many_bytes", "too many large requests at once", retry_after=1
            )
        self._keys[key] = mine
        self._used += size


async def read_body(request: Request, limit: int, held: HeldBytes) -> bytes:
    """The request's body.

    Raises ProblemError 413 beyond `limit` bytes, 408 when it takes too long, 429 beyond the budget.
    """
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and int(declared) > limit:
        raise _too_large(limit)
    chunks: list[bytes] = []
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                held.grow(len(chunk))
                if held.size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
    except TimeoutError:
        raise ProblemError(
            408, "body_timeout", "the request's body did not arrive in time"
        ) from None
    except ClientDisconnect:
        raise ProblemError(400, "body_cut", "the request's body ended early") from None
    return b"".join(chunks)


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, "body_too_large", f"the request's body is larger than {limit} bytes")


class RateLimiter:
    """A token bucket per key: `rate` per second, at most `burst` at once."""

    def __init__(
        self, rate: float, burst: float, clock: Callable[[], float], keys: int = 20_000
    ) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._keys = keys
        self._buckets: dict[str, tuple[float, float]] = {}

    def take(self, key: str, amount: int) -> bool:
        """Takes `amount`, or nothing and answers False."""
        now = self._clock()
        level, at = self._buckets.pop(key, (self._burst, now))
        level = min(self._burst, level + (now - at) * self._rate)
        granted = amount <= level
        if len(self._buckets) >= self._keys:
            # The bucket that was used longest ago is full again long since.
            del self._buckets[next(iter(self._buckets))]
        self._buckets[key] = (level - amount if granted else level, now)
        return granted


class Slots:
    """At most `limit` holders per key."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[str, int] = {}

    def held(self, key: str) -> int:
        """How many slots of the key are taken."""
        return self._held.get(key, 0)

    @contextmanager
    def hold(self, key: str) -> Iterator[bool]:
        """Holds a slot within the block; yields False, holding none, when all are taken."""
        held = self._held.get(key, 0)
        if held >= self._limit:
            yield False
            return
        self._held[key] = held + 1
        try:
            yield True
        finally:
            self._held[key] -= 1
            if not self._held[key]:
                del self._held[key]
