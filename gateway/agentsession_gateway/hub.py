"""One blocking read of `sessions:events` for all streams of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
from redis.exceptions import RedisError

from agentsession_core.mailbox.connect import BLOCK_SECONDS
from agentsession_core.mailbox.store import MailboxStore

FIRST_DELAY_SECONDS: Final = 0.1
LONGEST_DELAY_SECONDS: Final = 5.0
_log = structlog.get_logger(__name__)


class Waiter:
    """One stream's bell."""

    def __init__(self, mailbox: str, run: str) -> None:
        self.mailbox = mailbox
        self.run = run
        self.closed = False
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Makes the stream look at its mailbox."""
        self._rung.set()

    def close(self) -> None:
        """Ends the stream."""
        self.closed = True
        self._rung.set()

    def clear(self) -> None:
        """To be called before a look: what happens after the look rings again."""
        self._rung.clear()

    async def wait(self, seconds: float) -> bool:
        """True when rung, False when the time is over."""
        try:
            async with asyncio.timeout(seconds):
                await self._rung.wait()
        except TimeoutError:
            return False
        return True


class HintHub:
    """Rings the streams of a mailbox when something happened in it."""

    def __init__(self, store: MailboxStore, jitter: Callable[[], float]) -> None:
        self._store = store
        self._jitter = jitter
        self._mailboxes: dict[str, set[Waiter]] = {}
        self._runs: dict[str, Waiter] = {}
        self._closed = False
        self._stopping = asyncio.Event()
        self.failures = 0
        self.deaf = False
        self.on_cut_off: Callable[[], None] = lambda: None

    @property
    def streams(self) -> int:
        """How many streams are open."""
        return len(self._runs)

    @contextmanager
    def subscribe(self, mailbox: str, run: str) -> Iterator[Waiter]:
        """A bell for one stream; the run's older stream in this process ends."""
        waiter = Waiter(mailbox, run)
        older = self._runs.get(run)
        if older is not None:
            older.close()
        self._runs[run] = waiter
        self._mailboxes.setdefault(mailbox, set()).add(waiter)
        if self._closed:
            waiter.close()
        try:
            yield waiter
        finally:
            self._forget(waiter)

    def _forget(self, waiter: Waiter) -> None:
        if self._runs.get(waiter.run) is waiter:
            del self._runs[waiter.run]
        others = self._mailboxes[waiter.mailbox]
        others.discard(waiter)
        if not others:
            del self._mailboxes[waiter.mailbox]

    def close(self) -> None:
        """Ends every stream, those to come too: the process is stopping."""
        self._closed = True
        self._stopping.set()
        for waiters in self._mailboxes.values():
            for waiter in waiters:
                waiter.close()

    async def stopped(self) -> None:
        """Returns when the process stops: whatever streams without a bell ends then."""
        await self._stopping.wait()

    async def follow(self) -> None:
        """Rings for ever; after Redis was away every stream looks again.

        An error that nobody foresaw ends it: the process is `deaf` then, and has to begin anew.
        """
        try:
            await self._follow()
        except Exception as error:
            self.deaf = True
            _log.error("hints_not_followed", error=type(error).__name__, exc_info=error)
            raise

    async def _follow(self) -> None:
        delay = FIRST_DELAY_SECONDS
        while True:
            try:
                async for hint in self._store.hints(BLOCK_SECONDS):
                    delay = FIRST_DELAY_SECONDS
                    self._ring(hint.mailbox)
            except (RedisError, OSError) as error:
                self.failures += 1
                self.on_cut_off()
                _log.warning("hints_cut_off", error=type(error).__name__, retry_in=delay)
                await asyncio.sleep(delay * (1 + self._jitter()))
                delay = min(delay * 2, LONGEST_DELAY_SECONDS)

    def _ring(self, mailbox: str) -> None:
        if mailbox:
            for waiter in self._mailboxes.get(mailbox, ()):
                waiter.ring()
            return
        for waiters in self._mailboxes.values():
            for waiter in waiters:
                waiter.ring()
