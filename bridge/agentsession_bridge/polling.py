"""Our own loop over getUpdates: the offset moves only after an update is in Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from telegram import Bot, Update
from telegram.error import Conflict, NetworkError, RetryAfter, TelegramError

from agentsession_bridge.pace import seconds_of

log = structlog.get_logger(__name__)

POLL_SECONDS = 30
# Unknown kinds are left out by default: those that we read have to be named.
KINDS = ("message", "edited_message")
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0
# Longer than a poll: whoever polls as well has ended by then, or is a second bridge that stays.
CONFLICT_SECONDS = 35.0

Handle = Callable[[Update], Awaitable[None]]


class Poller:
    """Reads updates for ever. `polled_at`: monotonic time of the newest answer, for liveness."""

    def __init__(
        self,
        bot: Bot,
        handle: Handle,
        now: Callable[[], float],
        jitter: Callable[[], float],
    ) -> None:
        self._bot = bot
        self._handle = handle
        self._now = now
        self._jitter = jitter
        self._offset: int | None = None
        self.polled_at: float | None = None
        self.in_conflict = False

    async def run(self) -> None:
        """Poll until cancelled."""
        failures = 0
        while True:
            try:
                await self.poll_once()
            except TelegramError as error:
                pause = self._pause(error, failures)
                failures += 1
                log.warning(
                    "poll failed", error=type(error).__name__, retry_seconds=round(pause, 1)
                )
                await asyncio.sleep(pause)
            else:
                failures = 0

    async def poll_once(self) -> None:
        """Ask once, and move the offset behind each update that was handled.

        Raises:
            telegram.error.TelegramError: nothing was lost; what was not handled comes again.
        """
        # The first answer tells at once that Telegram is there and nobody else polls.
        wait = POLL_SECONDS if self.polled_at is not None else 0
        updates = await self._bot.get_updates(
            offset=self._offset, timeout=wait, allowed_updates=KINDS
        )
        self.polled_at = self._now()
        self.in_conflict = False
        for update in updates:
            await self._handle(update)
            self._offset = update.update_id + 1

    def _pause(self, error: TelegramError, failures: int) -> float:
        if isinstance(error, Conflict):
            self.in_conflict = True
            return CONFLICT_SECONDS * (1 + self._jitter())
        if isinstance(error, RetryAfter):
            return seconds_of(error)
        longest = LAST_RETRY_SECONDS if isinstance(error, NetworkError) else CONFLICT_SECONDS
        return min(FIRST_RETRY_SECONDS * 2.0 ** min(failures, 10), longest) * (1 + self._jitter())
