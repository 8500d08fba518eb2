"""What happens in a mailbox while it happens: telemetry, trimmed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import MailboxEvent
from agentsession_core.mailbox.parse import read_event, read_streams
from agentsession_core.mailbox.scripted import Scripted
from agentsession_core.mailbox.streams import newest_id

EVENTS_KEPT: Final = 1000


class Events(Scripted):
    """The stream `user:<mailbox>:events`. Raises redis.RedisError."""

    async def publish_events(
        self, mailbox: str, turn: str, source: str, events: Sequence[tuple[int, str, Any]]
    ) -> None:
        """Appends (seq, kind, data) of a turn of that source to the mailbox's events: trimmed."""
        async with self._redis.pipeline(transaction=False) as pipe:
            for seq, kind, data in events:
                pipe.xadd(
                    MailboxKeys(mailbox).events,
                    {
                        "turn": turn,
                        "seq": seq,
                        "kind": kind,
                        "source": source,
                        "data": json.dumps(data, ensure_ascii=False),
                    },
                    maxlen=EVENTS_KEPT,
                    approximate=True,
                )
            await pipe.execute()

    async def all_events(self, mailbox: str) -> list[MailboxEvent]:
        """Every event that is kept, oldest first."""
        entries: Any = await self._redis.xrange(MailboxKeys(mailbox).events)
        return [read_event(entry_id, fields) for entry_id, fields in entries]

    async def newest_event(self, mailbox: str) -> str:
        """Id of the newest event; everything that comes is after it."""
        return await newest_id(self._redis, MailboxKeys(mailbox).events)

    async def next_events(
        self, mailbox: str, after: str, block_seconds: float
    ) -> list[MailboxEvent]:
        """Events after the id `after`, waiting for the first; empty when the time is over."""
        answer = await self._redis.xread(
            {MailboxKeys(mailbox).events: after}, count=200, block=int(block_seconds * 1000)
        )
        return [
            read_event(entry_id, fields)
            for _, entries in read_streams(answer)
            for entry_id, fields in entries
        ]
