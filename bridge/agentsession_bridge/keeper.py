"""Sees to it that a mailbox with messages has a session that knows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from agentsession_bridge.places import Place
from agentsession_bridge.sessions import (
    ClusterUnavailableError,
    NewSession,
    SessionRefusedError,
    Sessions,
)

log = structlog.get_logger(__name__)

# A live run reads Redis itself: telling its session more often would only load the API server.
WAKE_SECONDS = 30.0
RETRY_SECONDS = 2.0
_LIVE_PHASES = frozenset({"Idle", "Working"})


@dataclass(frozen=True)
class Waiting:
    """A message that waits. `at`: Unix seconds."""

    place: Place
    display_name: str
    key: str
    at: float


Refused = Callable[[Waiting, str], None]


class SessionKeeper:
    """Makes and wakes sessions behind the intake: a slow API server does not hold messages up."""

    def __init__(self, sessions: Sessions, refused: Refused, now: Callable[[], float]) -> None:
        self._sessions = sessions
        self._refused = refused
        self._now = now
        self._newest: dict[str, Waiting] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._woken_at: dict[str, float] = {}

    def wake(self, waiting: Waiting) -> None:
        """See to a mailbox soon. Of several messages the newest is told."""
        mailbox = waiting.place.mailbox
        self._newest[mailbox] = waiting
        if mailbox not in self._tasks:
            task = asyncio.create_task(self._keep(mailbox), name=f"session of {mailbox}")
            self._tasks[mailbox] = task
            task.add_done_callback(lambda _: self._tasks.pop(mailbox, None))

    async def _keep(self, mailbox: str) -> None:
        await self._sessions.listed()
        while (waiting := self._newest.pop(mailbox, None)) is not None:
            try:
                await self._see_to(waiting)
            except SessionRefusedError as error:
                log.warning("session refused", mailbox=mailbox, error=str(error))
                self._refused(waiting, str(error))
            except ClusterUnavailableError as error:
                # Redis' own hint wakes a session that exists; a new one waits for the API server.
                log.warning("session not told", mailbox=mailbox, error=str(error))
                self._newest.setdefault(mailbox, waiting)
                await asyncio.sleep(RETRY_SECONDS)

    async def _see_to(self, waiting: Waiting) -> None:
        place, mailbox = waiting.place, waiting.place.mailbox
        held = self._sessions.index.holder(mailbox)
        if held is None:
            await self._sessions.create(
                NewSession(place.session_name, place.user, mailbox, waiting.display_name)
            )
            return
        told_lately = self._now() - self._woken_at.get(mailbox, -WAKE_SECONDS) < WAKE_SECONDS
        if held.phase in _LIVE_PHASES and told_lately:
            return
        await self._sessions.wake(held, waiting.key, waiting.at)
        self._woken_at[mailbox] = self._now()
