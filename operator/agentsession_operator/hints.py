"""Redis' hints as looks at sessions: the fast path of everything that only Redis knows."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from redis import RedisError

from agentsession_core.mailbox.connect import BLOCK_SECONDS
from agentsession_core.mailbox.store import MailboxStore
from agentsession_operator.cache import Cache
from agentsession_operator.opening import Opening
from agentsession_operator.workqueue import WorkQueue

log = structlog.get_logger(__name__)
RECONNECT_SECONDS = 1.0


async def follow_hints(
    store: MailboxStore,
    cache: Cache,
    queue: WorkQueue,
    opening: Opening,
    on_error: Callable[[Exception], None],
) -> None:
    """Enqueues the sessions whose mailbox changed, until cancelled.

    Whenever the following begins every session is looked at: a hint may have been missed before.
    """
    while True:
        try:
            async for hint in store.hints(BLOCK_SECONDS):
                if not hint.mailbox:
                    await opening.look_at_all()
                for key in cache.sessions_of_mailbox(hint.mailbox):
                    queue.add(key)
        except RedisError as error:
            log.warning("lost redis", error=str(error), retry_seconds=RECONNECT_SECONDS)
            on_error(error)
            await asyncio.sleep(RECONNECT_SECONDS)
