"""A workspace as a tar, from a run to whoever waits at a gateway: who waits where, as typed calls."""

from __future__ import annotations

from typing import Any, Final

from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.model import ExportRecord
from agentsession_core.mailbox.parse import read_export, read_fields
from agentsession_core.mailbox.scripted import Scripted

# A gateway that dies leaves its export behind for so long; a living one renews it.
EXPORT_SECONDS: Final = 60


class Exports(Scripted):
    """The hash `user:<mailbox>:export`. Raises redis.RedisError."""

    async def begin_export(self, mailbox: str, *, export: str, address: str) -> bool:
        """Somebody waits at `address`; False while somebody else does."""
        answer = await self._run(
            "begin_export",
            [MailboxKeys(mailbox).export],
            [mailbox, export, address, EXPORT_SECONDS],
        )
        return answer[0] == "ok"

    async def keep_export(self, mailbox: str, *, export: str) -> bool:
        """They still wait; False if the export is no longer known."""
        answer = await self._run(
            "keep_export", [MailboxKeys(mailbox).export], [export, EXPORT_SECONDS]
        )
        return answer[0] == "ok"

    async def end_export(self, mailbox: str, *, export: str) -> None:
        """Nobody waits any more."""
        k = MailboxKeys(mailbox)
        await self._run("end_export", [k.export, k.run], [mailbox, export])

    async def export(self, mailbox: str) -> ExportRecord | None:
        """Who waits, if anybody does."""
        found: Any = await self._redis.hgetall(MailboxKeys(mailbox).export)
        return read_export(read_fields(found))
