"""Entries of a database's outbox, as streams get them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from agentsession_core.mailbox import keys
from agentsession_core.mailbox.parse import read_fields, read_text
from agentsession_core.mailbox.scripted import Scripted
from agentsession_core.mailbox.streams import newest_id

# Far longer than a process can be between publishing an entry and forgetting it.
REMEMBERED_SECONDS: Final = 48 * 3600
PAGE: Final = 1000


class Publishing(Scripted):
    """Streams that a database's changes speak to. Raises redis.RedisError."""

    async def publish_once(
        self, key: str, stream: str, fields: Mapping[str, str], limit: int | None
    ) -> bool:
        """Appends an entry, once per key within 48 hours; False if that was done before.

        `limit` trims the stream to about so many entries.
        """
        said = [part for pair in fields.items() for part in pair]
        answer = await self._run(
            "publish",
            [stream, keys.published(key)],
            [REMEMBERED_SECONDS, "" if limit is None else limit, *said],
        )
        return answer[0] == "new"

    async def forget(self, streams: Sequence[str]) -> None:
        """Removes streams that nobody will read."""
        if streams:
            await self._redis.unlink(*streams)

    async def entries(self, stream: str) -> AsyncIterator[dict[str, str]]:
        """The fields of all entries, oldest first."""
        after = "-"
        while True:
            page: Any = await self._redis.xrange(stream, min=after, count=PAGE)
            for _, fields in page:
                yield read_fields(fields)
            if len(page) < PAGE:
                return
            after = f"({read_text(page[-1][0])}"

    async def newest(self, stream: str) -> str:
        """Id of the stream's newest entry; everything that comes is after it."""
        return await newest_id(self._redis, stream)

    async def wait(self, stream: str, after: str, seconds: float) -> None:
        """Returns when the stream has an entry after that id, or the time is over."""
        await self._redis.xread({stream: after}, count=1, block=max(1, int(seconds * 1000)))
