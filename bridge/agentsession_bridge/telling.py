"""What is told when a session cannot be made, and the mailboxes that wait for one at the start."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis import RedisError

from agentsession_bridge import texts
from agentsession_bridge.keeper import SessionKeeper, Waiting
from agentsession_bridge.live import LiveTurns
from agentsession_bridge.replies import Replies
from agentsession_core.mailbox.store import MailboxStore

log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0


class Told:
    """Tells it in the chat."""

    def __init__(self, replies: Replies, live: LiveTurns) -> None:
        self._replies = replies
        self._live = live

    def refused(self, waiting: Waiting, reason: str) -> None:
        """A word that stays: nothing may change for long."""
        self._replies.say(waiting.place, texts.refused(reason))

    def unavailable(self, waiting: Waiting) -> None:
        """In the place of the answer: it is over soon, or nothing works."""
        self._live.note(waiting.place.mailbox, texts.UNAVAILABLE)


async def recover(keeper: SessionKeeper, store: MailboxStore, clock: Callable[[], float]) -> None:
    """See to what waits for a session. `clock`: Unix seconds."""
    while True:
        try:
            await keeper.recover(store, clock())
            return
        except RedisError as error:
            log.warning("backlog not read", error=type(error).__name__)
            await asyncio.sleep(RETRY_SECONDS)
