"""One lane for each chat: calls go out one after the other, at a pace that Telegram bears.

A penalty of one chat never delays another. What must arrive (`send`) waits; a preview is replaced by a
newer one, dropped when it fails, and never takes the last two places that messages could have.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import structlog
from redis import RedisError
from telegram.error import BadRequest, NetworkError, RetryAfter, TelegramError

from agentsession_bridge.telegram_client import ChatGoneError, ChatMovedError

log = structlog.get_logger(__name__)

T = TypeVar("T")
Call = Callable[[], Awaitable[Any]]

PRIVATE_SECONDS = 1.0
GROUP_SECONDS = 3.0
BURST = 4
# What a preview leaves in the bucket: a word of the bridge's own and the answer behind it go at once.
LEFT_BY_PREVIEWS = 2.0
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0


@dataclass
class Pace:
    """A token bucket, in seconds of a monotonic clock."""

    interval: float
    burst: int = BURST
    tokens: float = BURST
    filled_at: float = 0.0
    closed_until: float = 0.0

    def wait(self, now: float, needed: float = 1.0) -> float:
        """Return how long the next call has to wait for so many tokens, 0 for not at all."""
        self._fill(now)
        missing = max(0.0, (needed - self.tokens) * self.interval)
        return max(missing, self.closed_until - now, 0.0)

    def count(self, now: float) -> None:
        """Count a call."""
        self._fill(now)
        self.tokens -= 1.0

    def punish(self, now: float, seconds: float) -> None:
        """Let nothing out for so long, and start with an empty bucket after it."""
        self.closed_until = max(self.closed_until, now + seconds)
        self.tokens, self.filled_at = 0.0, self.closed_until

    def _fill(self, now: float) -> None:
        if now > self.filled_at:
            self.tokens = min(self.burst, self.tokens + (now - self.filled_at) / self.interval)
            self.filled_at = now


@dataclass
class _Lane:
    pace: Pace
    waiting: deque[tuple[Call, asyncio.Future[Any]]] = field(default_factory=deque)
    previews: dict[Hashable, Call] = field(default_factory=dict)
    moved: asyncio.Event = field(default_factory=asyncio.Event)
    worker: asyncio.Task[None] | None = None
    failures: int = 0


class Lanes:
    """The lanes of all chats that have something to send."""

    def __init__(self, now: Callable[[], float], sleep: Callable[[float], Awaitable[None]]) -> None:
        self._now = now
        self._sleep = sleep
        self._lanes: dict[int, _Lane] = {}

    async def send(self, chat_id: int, call: Callable[[], Awaitable[T]]) -> T:
        """Make a call that has to arrive: repeated through penalties and lost connections.

        Raises:
            telegram.error.TelegramError: an answer that repeating does not change.
        """
        lane = self._lane(chat_id)
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        lane.waiting.append((call, done))
        self._work(chat_id, lane)
        return await done

    def preview(self, chat_id: int, key: Hashable, call: Call) -> None:
        """Make a call when there is room for it, unless a newer one of its key takes its place."""
        lane = self._lane(chat_id)
        lane.previews[key] = call
        self._work(chat_id, lane)

    def drop_preview(self, chat_id: int, key: Hashable) -> None:
        """Drop the preview that waits: what it announced is about to be said."""
        lane = self._lanes.get(chat_id)
        if lane is not None:
            lane.previews.pop(key, None)

    def _lane(self, chat_id: int) -> _Lane:
        interval = PRIVATE_SECONDS if chat_id > 0 else GROUP_SECONDS
        return self._lanes.setdefault(chat_id, _Lane(Pace(interval, filled_at=self._now())))

    def _work(self, chat_id: int, lane: _Lane) -> None:
        lane.moved.set()
        if lane.worker is None or lane.worker.done():
            lane.worker = asyncio.create_task(self._run(lane), name=f"lane {chat_id}")

    async def _run(self, lane: _Lane) -> None:
        while lane.waiting or lane.previews:
            lane.moved.clear()
            wait = lane.pace.wait(self._now(), 1.0 if lane.waiting else 1.0 + LEFT_BY_PREVIEWS)
            if wait > 0:
                await self._rest(lane, wait)
                continue
            lane.pace.count(self._now())
            if lane.waiting:
                await self._send_first(lane)
            else:
                await self._send_preview(lane)

    async def _rest(self, lane: _Lane, wait: float) -> None:
        """Sleep, but no longer than until something else wants out."""
        if lane.waiting:
            await self._sleep(wait)
            return
        moved = asyncio.ensure_future(lane.moved.wait())
        resting = asyncio.ensure_future(self._sleep(wait))
        await asyncio.wait({moved, resting}, return_when=asyncio.FIRST_COMPLETED)
        for one in (moved, resting):
            one.cancel()

    async def _send_first(self, lane: _Lane) -> None:
        call, done = lane.waiting[0]
        try:
            result = await call()
        except Exception as error:  # noqa: BLE001 -- it belongs to whoever asked for the call
            pause = _pause(error, lane.failures)
            if pause is not None:
                lane.failures += 1
                lane.pace.punish(self._now(), pause)
                return
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(result)
        lane.failures = 0
        lane.waiting.popleft()

    async def _send_preview(self, lane: _Lane) -> None:
        key = next(iter(lane.previews))
        call = lane.previews.pop(key)
        try:
            await call()
        except (TelegramError, ChatGoneError, ChatMovedError, RedisError) as error:
            # The message itself comes anyway, and says what is wrong.
            if isinstance(error, RetryAfter):
                lane.pace.punish(self._now(), seconds_of(error))
            log.info("preview dropped", reason=type(error).__name__)
        except Exception as error:
            # A fault of ours in what may be dropped must not hold up the messages behind it.
            log.error("preview failed", error=type(error).__name__, exc_info=error)


def _pause(error: Exception, failures: int) -> float | None:
    """Return the seconds after which a call is repeated, None for an error that stays as it is."""
    if isinstance(error, RetryAfter):
        return seconds_of(error)
    if isinstance(error, NetworkError) and not is_answer(error):
        return min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 10), LAST_RETRY_SECONDS)
    return None


def is_answer(error: Exception) -> bool:
    """Return whether Telegram itself has said no: nothing was done."""
    # BadRequest is a NetworkError to the library.
    return not isinstance(error, NetworkError) or isinstance(error, BadRequest)


def seconds_of(error: RetryAfter) -> float:
    """Return how long Telegram wants to be left alone."""
    wait = error.retry_after
    return float(wait) if isinstance(wait, int) else wait.total_seconds()
