"""Our own loop over getUpdates: the offset moves only after an update is in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import structlog
from redis import RedisError
from telegram import Bot, Update
from telegram.error import Conflict, NetworkError, RetryAfter, TelegramError

from agentsession_bridge.arrivals import KINDS
from agentsession_bridge.metrics import Metrics
from agentsession_bridge.pace import seconds_of

log = structlog.get_logger(__name__)

POLL_SECONDS = 30
# A poll, the answer's 20 s, and some: beyond it the poll hangs, whatever the socket says.
STALLED_SECONDS = 75.0
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0
# Longer than a poll: whoever polls as well has ended by then, or is a second bridge that stays.
CONFLICT_SECONDS = 35.0

Handle = Callable[[Update], Awaitable[None]]


class PollStalledError(Exception):
    """A poll was given up."""


class Poller:
    """Reads updates for ever. `polled_at`: monotonic time of the newest answer, for liveness.

    `renew` opens the connections of polls anew.
    """

    def __init__(
        self,
        bot: Bot,
        handle: Handle,
        renew: Callable[[], Awaitable[None]],
        metrics: Metrics,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._bot = bot
        self._handle = handle
        self._renew = renew
        self._metrics = metrics
        self._now = now
        self._jitter = jitter
        self._offset: int | None = None
        self._hooked = True
        self.polled_at: float | None = None
        self.in_conflict = False

    async def run(self) -> None:
        """Poll until cancelled."""
        failures = 0
        while True:
            try:
                await self.poll_once()
            except (TelegramError, RedisError, PollStalledError) as error:
                pause = await self._pause(error, failures)
                failures += 1
                log.warning(
                    "poll failed", error=type(error).__name__, retry_seconds=round(pause, 1)
                )
                await asyncio.sleep(pause)
            else:
                failures = 0

    async def poll_once(self) -> None:
        """Ask once, and move the offset behind what was handled, up to the first that was not.

        Raises:
            telegram.error.TelegramError, redis.RedisError, PollStalledError: nothing was lost; what was
                not handled comes again.
        """
        updates = await self._poll()
        if not updates:
            # All below the offset is confirmed. After a quiet week ids go on anywhere, lower ones too:
            # an old offset would confirm them unread.
            self._offset = None
            return
        failed = [found for found in await self._take(updates) if found is not None]
        self._offset = min((number for number, _ in failed), default=updates[-1].update_id + 1)
        if failed:
            raise failed[0][1]

    async def _take(self, updates: Sequence[Update]) -> list[tuple[int, RedisError] | None]:
        """Chats beside each other, each in its order: where in one it went wrong, and how."""
        chats: dict[int | None, list[Update]] = {}
        for update in updates:
            chat = update.effective_chat
            chats.setdefault(chat.id if chat is not None else None, []).append(update)

        async def one_chat(own: Sequence[Update]) -> tuple[int, RedisError] | None:
            for update in own:
                try:
                    await self._handle(update)
                except RedisError as error:
                    return update.update_id, error
            return None

        return await asyncio.gather(*(one_chat(own) for own in chats.values()))

    async def _poll(self) -> tuple[Update, ...]:
        try:
            async with asyncio.timeout(STALLED_SECONDS):
                if self._hooked:
                    # One that an installation before has left would take every update away.
                    await self._bot.delete_webhook()
                    self._hooked = False
                # The first answer tells at once that Telegram is there and nobody else polls.
                updates = await self._bot.get_updates(
                    offset=self._offset,
                    timeout=POLL_SECONDS if self.polled_at is not None else 0,
                    allowed_updates=KINDS,
                )
        except TimeoutError:
            raise PollStalledError from None
        self.polled_at = self._now()
        self.in_conflict = False
        return updates

    async def _pause(self, error: Exception, failures: int) -> float:
        if isinstance(error, Conflict):
            self.in_conflict = True
            self._metrics.conflicts.inc()
            return CONFLICT_SECONDS * (1 + self._jitter())
        if isinstance(error, PollStalledError):
            self._metrics.poll_stalls.inc()
            await self._renew()
        else:
            self._metrics.poll_failures.inc()
        if isinstance(error, RetryAfter):
            return seconds_of(error)
        fleeting = isinstance(error, NetworkError | RedisError | PollStalledError)
        longest = LAST_RETRY_SECONDS if fleeting else CONFLICT_SECONDS
        return min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 10), longest) * (1 + self._jitter())
