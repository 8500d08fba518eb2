"""Sees to it that a mailbox with messages has a session that knows of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from redis import RedisError

from agentsession_bridge.metrics import Metrics
from agentsession_bridge.places import Place, read_place
from agentsession_bridge.routing import Routes
from agentsession_bridge.sessions import (
    ClusterUnavailableError,
    NewSession,
    SessionRefusedError,
    Sessions,
)
from agentsession_core.mailbox.contract import Source
from agentsession_core.mailbox.store import MailboxStore

log = structlog.get_logger(__name__)

# A live run reads Redis itself: telling its session more often would only load the API server.
WAKE_SECONDS = 30.0
RETRY_SECONDS = 2.0
# A quota may get room again, an admission may change its mind.
REFUSED_SECONDS = 10.0
LONGEST_REFUSED_SECONDS = 300.0


@dataclass(frozen=True)
class Waiting:
    """A message that waits. `at`: Unix seconds; `key` and `display_name` are empty if not known."""

    place: Place
    display_name: str
    key: str
    at: float


class Teller(Protocol):
    """Tells a person what is in their message's way."""

    def refused(self, waiting: Waiting, reason: str) -> None:
        """The API server refuses their session."""

    def unavailable(self, waiting: Waiting) -> None:
        """The API server does not answer, and they have no session yet."""


class SessionKeeper:
    """Makes and wakes sessions behind the intake: a slow API server does not hold messages up."""

    def __init__(
        self,
        sessions: Sessions,
        routes: Routes,
        teller: Teller,
        metrics: Metrics,
        now: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._routes = routes
        self._metrics = metrics
        self._teller = teller
        self._now = now
        self._newest: dict[str, Waiting] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._bells: dict[str, asyncio.Event] = {}
        self._woken_at: dict[str, float] = {}

    def wake(self, waiting: Waiting) -> None:
        """See to a mailbox soon. Of several messages the newest is told."""
        mailbox = waiting.place.mailbox
        self._newest[mailbox] = waiting
        if mailbox in self._tasks:
            self._bells[mailbox].set()
            return
        self._bells[mailbox] = asyncio.Event()
        task = asyncio.create_task(self._keep(mailbox), name=f"session of {mailbox}")
        self._tasks[mailbox] = task
        task.add_done_callback(lambda _: self._forget(mailbox))

    async def recover(self, store: MailboxStore, at: float) -> None:
        """See to mailboxes whose messages wait for a session that nobody makes: a process before this
        one was refused, or died.

        Raises:
            redis.RedisError: not all of them were looked at.
        """
        await self._sessions.listed()
        for mailbox in await store.backlog():
            state = await store.state(mailbox)
            place = read_place(state.chat or "", mailbox)
            if state.source == Source.TELEGRAM and place and place.mailbox == mailbox:
                self.wake(Waiting(place, "", "", at))

    def _forget(self, mailbox: str) -> None:
        del self._tasks[mailbox], self._bells[mailbox]

    async def _keep(self, mailbox: str) -> None:
        await self._sessions.listed()
        told: Waiting | None = None
        pause = REFUSED_SECONDS
        while (waiting := self._newest.pop(mailbox, None)) is not None:
            try:
                await self._see_to(waiting)
                pause = REFUSED_SECONDS
            except SessionRefusedError as error:
                log.warning("session refused", mailbox=mailbox, error=str(error))
                if waiting is not told:
                    self._teller.refused(waiting, str(error))
                told = waiting
                await self._rest(waiting, pause)
                pause = min(pause * 2, LONGEST_REFUSED_SECONDS)
            except (ClusterUnavailableError, RedisError) as error:
                # Redis' own hint wakes a session that exists; a new one waits for the API server.
                log.warning("session not told", mailbox=mailbox, error=str(error))
                if self._sessions.index.holder(mailbox) is None:
                    self._teller.unavailable(waiting)
                await self._rest(waiting, RETRY_SECONDS)

    async def _rest(self, waiting: Waiting, seconds: float) -> None:
        """Wait with a message that is tried again; a newer one ends the wait."""
        mailbox = waiting.place.mailbox
        if self._newest.setdefault(mailbox, waiting) is not waiting:
            return
        bell = self._bells[mailbox]
        bell.clear()
        try:
            async with asyncio.timeout(seconds):
                await bell.wait()
        except TimeoutError:
            return

    async def _see_to(self, waiting: Waiting) -> None:
        place, mailbox = waiting.place, waiting.place.mailbox
        held = self._sessions.index.holder(mailbox)
        if held is None:
            route = await self._routes.route(place.user)
            made = await self._sessions.create(
                NewSession(
                    name=place.session_name,
                    user=place.user,
                    mailbox=mailbox,
                    display_name=waiting.display_name,
                    route=route,
                    template=self._routes.template(route),
                )
            )
            if made:
                self._metrics.routed.labels(route).inc()
            return
        if not waiting.key:
            # The operator's own sweep finds what waits for a session that is there.
            return
        told_lately = self._now() - self._woken_at.get(mailbox, -WAKE_SECONDS) < WAKE_SECONDS
        if held.is_awake and told_lately:
            return
        await self._sessions.wake(held, waiting.key, waiting.at)
        self._woken_at[mailbox] = self._now()
