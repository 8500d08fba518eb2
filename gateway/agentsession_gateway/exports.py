"""Workspaces on their way from a run to whoever waits: a few pieces at a time, never a whole one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import structlog
from redis.exceptions import RedisError

from agentsession_core.mailbox.exports import EXPORT_SECONDS
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.problems import ProblemError

EXPORTS_AT_ONCE: Final = 4
# From the wish to the first byte: a pod has to start for it.
FIRST_PIECE_SECONDS: Final = 120.0
# A run that says nothing for so long in the middle of it is gone.
PIECE_SECONDS: Final = 60.0
PIECES_HELD: Final = 4
_log = structlog.get_logger(__name__)


class ExportCutError(Exception):
    """The workspace did not come to its end: the answer must not look whole."""


class Export:
    """One workspace on its way: pieces in, pieces out, as fast as the slower of the two."""

    def __init__(self, export_id: str, mailbox: str) -> None:
        self.id = export_id
        self.mailbox = mailbox
        self.closed = False
        self.taken = False
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(PIECES_HELD)
        self._whole = False

    async def put(self, piece: bytes) -> None:
        """Hands on a piece; waits while nobody takes it. Raises ProblemError 410 when nobody will."""
        if not await self._hand_on(piece):
            raise ProblemError(410, "unknown_export", "nobody waits for this workspace any more")

    async def finish(self, *, whole: bool) -> None:
        """There are no more pieces; `whole` if none is missing."""
        self._whole = whole
        await self._hand_on(None)

    async def _hand_on(self, piece: bytes | None) -> bool:
        """False when nobody takes it any more."""
        while not self.closed:
            # A taker that went away takes nothing and says nothing: look again each second.
            with suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await self._pieces.put(piece)
                return True
        return False

    async def first(self) -> bytes | None:
        """The first piece. Raises ProblemError 504 when no run brings one."""
        try:
            async with asyncio.timeout(FIRST_PIECE_SECONDS):
                return await self._pieces.get()
        except TimeoutError:
            raise ProblemError(
                504,
                "export_not_begun",
                f"no run handed over the workspace within {FIRST_PIECE_SECONDS:.0f} s; a full cluster, a "
                "pod that cannot start or an agent image of an older release are the likely causes",
            ) from None

    async def rest(self, first: bytes | None) -> AsyncIterator[bytes]:
        """All pieces. Raises ExportCutError when some are missing."""
        piece = first
        while piece is not None:
            yield piece
            try:
                async with asyncio.timeout(PIECE_SECONDS):
                    piece = await self._pieces.get()
            except TimeoutError:
                raise ExportCutError(f"no piece for {PIECE_SECONDS:.0f} s") from None
        if not self._whole:
            raise ExportCutError("the run ended before its end")


class ExportDesk:
    """The exports that this process waits for."""

    def __init__(self, store: MailboxStore, address: str) -> None:
        self._store = store
        self._address = address
        self._waiting: dict[str, Export] = {}

    @property
    def open_ones(self) -> int:
        """How many workspaces are waited for."""
        return len(self._waiting)

    async def open(self, export_id: str, mailbox: str) -> OpenExport:
        """Asks for a workspace. Raises ProblemError 409 or 429."""
        if len(self._waiting) >= EXPORTS_AT_ONCE:
            raise ProblemError(
                429, "too_many_exports", "too many workspaces are on their way", retry_after=30
            )
        export = Export(export_id, mailbox)
        self._waiting[export_id] = export
        opened = OpenExport(self._store, export, self._waiting)
        began = False
        try:
            began = await self._store.begin_export(mailbox, export=export_id, address=self._address)
        finally:
            if not began:
                self._waiting.pop(export_id, None)
        if not began:
            raise ProblemError(
                409, "export_running", "somebody else is exporting this workspace; try again later"
            )
        opened.keep()
        return opened

    def find(self, export_id: str, mailbox: str) -> Export:
        """The export that a run brings. Raises ProblemError 410."""
        export = self._waiting.get(export_id)
        if export is None or export.mailbox != mailbox or export.taken:
            raise ProblemError(410, "unknown_export", "nobody waits for this workspace here")
        export.taken = True
        return export


class OpenExport:
    """An export that is waited for; left, it is forgotten everywhere."""

    def __init__(self, store: MailboxStore, export: Export, waiting: dict[str, Export]) -> None:
        self.export = export
        self._store = store
        self._waiting = waiting
        self._keeping: asyncio.Task[None] | None = None

    def keep(self) -> None:
        """Says that somebody still waits, until `close`."""
        self._keeping = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Nobody waits any more."""
        self.export.closed = True
        self._waiting.pop(self.export.id, None)
        if self._keeping is not None:
            self._keeping.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeping
        try:
            await self._store.end_export(self.export.mailbox, export=self.export.id)
        except RedisError as error:
            # It goes by itself within a minute.
            _log.warning("export_not_ended", error=type(error).__name__)

    async def _keep(self) -> None:
        while True:
            await asyncio.sleep(EXPORT_SECONDS / 3)
            try:
                await self._store.keep_export(self.export.mailbox, export=self.export.id)
            except RedisError as error:
                _log.warning("export_not_kept", error=type(error).__name__)
