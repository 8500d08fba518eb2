"""Which sessions to look at, and when: deduplicated, one worker per session, with backoff."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Awaitable, Callable, Mapping

import structlog
from prometheus_client import CollectorRegistry

from agentsession_operator.metrics import QueueMetrics
from agentsession_operator.model import Key

log = structlog.get_logger(__name__)

Work = Callable[[Key], Awaitable[float | None]]


class WorkQueue:
    """Calls `work(key)` for every key that was added, never twice at once for the same key.

    A key added while it is worked on is worked on again afterwards. `work` answers in how many
    seconds it wants to be called anyway, or None; if it raises, it is called again after a delay
    that doubles up to `backoff_limit` seconds. Many adds before a worker is free are one call.

    `pause_of` says for which errors no key would fare better, and for how many seconds nobody
    should try: all keys wait for that long, and the one that met the error is not to blame. So
    thousands of keys are not each at the end of its own backoff when the API server is back.
    """

    def __init__(
        self,
        work: Work,
        clock: Callable[[], float],
        on_error: Callable[[Exception], None],
        backoff_base: float = 0.5,
        backoff_limit: float = 60.0,
        pause_of: Callable[[Exception, int], float | None] = lambda _error, _times: None,
        metrics: QueueMetrics | None = None,
    ) -> None:
        self._work = work
        self._clock = clock
        self._on_error = on_error
        self._metrics = metrics or QueueMetrics(CollectorRegistry())
        self._backoff = (backoff_base, backoff_limit)
        self._ready: asyncio.Queue[Key] = asyncio.Queue()
        # Since when each waits, the longest first.
        self._queued: dict[Key, float] = {}
        self._active: set[Key] = set()
        self._again: set[Key] = set()
        self._failures: dict[Key, int] = {}
        self._deadlines: dict[Key, float] = {}
        self._heap: list[tuple[float, str, Key]] = []
        self._sooner = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._pause_of = pause_of
        self._pauses = 0
        self._open = asyncio.Event()
        self._open.set()

    @property
    def depth(self) -> int:
        """Keys that wait for a worker."""
        return self._ready.qsize()

    @property
    def standing(self) -> tuple[int, float]:
        """The depth, and for how many seconds the first key has waited."""
        oldest = next(iter(tuple(self._queued.values())), None)
        return self.depth, 0.0 if oldest is None else max(0.0, self._clock() - oldest)

    def add(self, key: Key) -> None:
        """Have the key looked at now."""
        if key in self._active:
            self._again.add(key)
        elif key not in self._queued:
            self._queued[key] = self._clock()
            self._idle.clear()
            self._ready.put_nowait(key)

    def add_at(self, key: Key, when: float) -> None:
        """Have the key looked at then; the earlier of two times holds."""
        known = self._deadlines.get(key)
        if known is not None and known <= when:
            return
        self._deadlines[key] = when
        heapq.heappush(self._heap, (when, str(key), key))
        self._sooner.set()

    def postpone(self, appointments: Mapping[Key, float]) -> None:
        """Has the keys looked at then; those that wait for a worker step out of the row."""
        for _ in range(self._ready.qsize()):
            key = self._ready.get_nowait()
            if key in appointments:
                self._queued.pop(key, None)
            else:
                self._ready.put_nowait(key)
        for key, when in appointments.items():
            self.add_at(key, when)
        if not self._active and not self._queued:
            self._idle.set()

    async def idle(self) -> None:
        """Waits until every key that was added has been worked on."""
        await self._idle.wait()

    async def run(self, workers: int) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_deadlines())
            for _ in range(workers):
                group.create_task(self._worker())

    async def _worker(self) -> None:
        while True:
            key = await self._ready.get()
            await self._open.wait()
            self._metrics.waited(self._clock() - self._queued.pop(key, self._clock()))
            self._active.add(key)
            # This look sees everything, so an earlier appointment is void.
            self._deadlines.pop(key, None)
            try:
                with structlog.contextvars.bound_contextvars(
                    session=key.name, namespace=key.namespace
                ):
                    await self._attempt(key)
            finally:
                self._active.discard(key)
                if key in self._again:
                    self._again.discard(key)
                    self.add(key)
                if not self._active and not self._queued:
                    self._idle.set()

    async def _attempt(self, key: Key) -> None:
        began = self._clock()
        try:
            delay = await self._work(key)
        except Exception as error:
            self._metrics.looked("failed", self._clock() - began)
            self._on_error(error)
            if self._paused(error):
                self._again.add(key)
                return
            failures = self._failures.get(key, 0)
            self._failures[key] = failures + 1
            base, limit = self._backoff
            delay = min(limit, base * 2.0 ** min(failures, 20))
            log.warning(
                "reconcile failed",
                error=str(error) or type(error).__name__,
                retry_seconds=delay,
                exc_info=failures == 0,
            )
        else:
            self._metrics.looked("done" if delay is None else "again", self._clock() - began)
            self._failures.pop(key, None)
            self._pauses = 0
        if delay is not None:
            self.add_at(key, self._clock() + delay)

    def _paused(self, error: Exception) -> bool:
        """Whether the error is everybody's; the workers wait then."""
        pause = self._pause_of(error, self._pauses)
        if pause is None:
            return False
        if self._open.is_set():
            # The others that are under way meet the same error: one pause is enough.
            self._pauses += 1
            log.warning("all work pauses", error=str(error), retry_seconds=pause)
            self._metrics.paused()
            self._open.clear()
            asyncio.get_running_loop().call_later(pause, self._open.set)
        return True

    async def _watch_deadlines(self) -> None:
        while True:
            self._sooner.clear()
            wait = self._add_due()
            try:
                await asyncio.wait_for(self._sooner.wait(), wait)
            except TimeoutError:
                continue

    def _add_due(self) -> float | None:
        """Adds every key whose time has come; answers the seconds until the next one."""
        while self._heap:
            when, _, key = self._heap[0]
            if self._deadlines.get(key) != when:
                heapq.heappop(self._heap)
                continue
            now = self._clock()
            if when > now:
                return when - now
            heapq.heappop(self._heap)
            del self._deadlines[key]
            self._metrics.was_late(now - when)
            self.add(key)
        return None
