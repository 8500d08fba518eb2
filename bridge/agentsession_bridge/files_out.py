"""Files that agents send, from Redis to Telegram: photos as photos, everything else as documents."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Awaitable, Callable
from tempfile import TemporaryFile
from typing import IO, Final

import structlog
from telegram import Bot, InputFile, Message
from telegram.error import BadRequest

from agentsession_bridge import texts
from agentsession_bridge.outbox import Entry
from agentsession_bridge.places import Place
from agentsession_bridge.refusals import refused
from agentsession_bridge.telegram_client import Chats, meaning
from agentsession_core.mailbox.files import HeldFile
from agentsession_core.mailbox.store import MailboxStore

log = structlog.get_logger(__name__)

# Each lies on the disk of the pod meanwhile, with up to 50 MB.
AT_ONCE: Final = 2
SECONDS: Final = 120.0
PHOTO_BYTES: Final = 10_000_000
PHOTO_ENDINGS: Final = (".jpg", ".jpeg", ".png", ".webp")


class FilesOut:
    """Sends what entries of the kind `file` name."""

    def __init__(self, store: MailboxStore, bot: Bot, chats: Chats) -> None:
        self._store = store
        self._bot = bot
        self._chats = chats
        self._places = asyncio.Semaphore(AT_ONCE)

    async def send(self, place: Place, mailbox: str, entry: Entry) -> int:
        """Send an entry's file, or say why it cannot be; return the message's id.

        Raises:
            As `Chats`, and redis.RedisError.
        """
        held = await self._store.held_file(mailbox, entry.file)
        if held is None:
            return await self._say(place, texts.file_expired(entry.text))
        async with self._places:
            with TemporaryFile() as spool:
                if not await self._read(mailbox, entry.file, held.size, spool):
                    return await self._say(place, texts.file_expired(entry.text))
                return await self._send(place, held, spool)

    async def drop(self, mailbox: str, entry: Entry) -> None:
        """The entry's file is delivered, or never will be."""
        if entry.file:
            await self._store.drop_file(mailbox, entry.file)

    async def _read(self, mailbox: str, file: str, size: int, spool: IO[bytes]) -> bool:
        index = 0
        while (piece := await self._store.file_piece(mailbox, file, index)) is not None:
            spool.write(piece)
            index += 1
        return spool.tell() == size

    async def _send(self, place: Place, held: HeldFile, spool: IO[bytes]) -> int:
        is_photo = held.name.lower().endswith(PHOTO_ENDINGS) and held.size <= PHOTO_BYTES
        try:
            if is_photo:
                try:
                    return await self._as(self._bot.send_photo, place, held, spool)
                except BadRequest as error:
                    # Too large in pixels, or no picture at all.
                    log.info("no photo", **refused(error))
            return await self._as(self._bot.send_document, place, held, spool)
        except BadRequest as error:
            log.warning("telegram refused a file", **refused(error))
            return await self._say(place, texts.file_refused(held.name))

    async def _as(
        self,
        send: Callable[..., Awaitable[Message]],
        place: Place,
        held: HeldFile,
        spool: IO[bytes],
    ) -> int:
        spool.seek(0)
        with meaning():
            sent = await send(
                place.chat_id,
                InputFile(spool, held.name, read_file_handle=False),
                message_thread_id=place.thread_id,
                read_timeout=SECONDS,
                write_timeout=SECONDS,
            )
        return sent.message_id

    async def _say(self, place: Place, text: str) -> int:
        return await self._chats.send(place, html.escape(text, quote=False), text)
