"""python-telegram-bot as a typed client, and what its errors mean to us."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import structlog
from pydantic import SecretStr
from telegram import (
    Bot,
    LinkPreviewOptions,
    Message,
    ReplyParameters,
)
from telegram.constants import ParseMode
from telegram.error import BadRequest, ChatMigrated, Forbidden, TelegramError
from telegram.request import HTTPXRequest

from agentsession_bridge.places import Place

# Its times are timedeltas in the next major version; until then it warns unless this is set.
os.environ.setdefault("PTB_TIMEDELTA", "true")

log = structlog.get_logger(__name__)

POOL_SIZE = 64
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)
_GONE = (
    "chat not found",
    "user is deactivated",
    "not enough rights",
    "have no rights",
    "thread not found",
)


class ChatGoneError(Exception):
    """Nobody can be reached in the chat any more; the message says why."""


class ChatMovedError(Exception):
    """The group has become a supergroup with the id `chat_id`."""

    def __init__(self, chat_id: int) -> None:
        super().__init__(f"the group has moved to {chat_id}")
        self.chat_id = chat_id


def make_bot(token: SecretStr, base_url: str, base_file_url: str) -> Bot:
    """Return a client that has not talked to Telegram yet."""

    def request(pool: int, read: float) -> HTTPXRequest:
        return HTTPXRequest(
            connection_pool_size=pool,
            connect_timeout=CONNECT_SECONDS,
            read_timeout=read,
            pool_timeout=read,
        )

    return Bot(
        token.get_secret_value(),
        base_url=base_url,
        base_file_url=base_file_url,
        request=request(POOL_SIZE, ANSWER_SECONDS),
        get_updates_request=request(2, ANSWER_SECONDS),
    )


class Chats:
    """Calls to chats. Every call raises ChatGoneError, ChatMovedError or a TelegramError to repeat."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def send(self, place: Place, html: str, text: str, *, reply_to: int | None = None) -> int:
        """Send a message as HTML, as plain text if Telegram refuses the HTML; return its id."""
        try:
            return await self._send(place, html, ParseMode.HTML, reply_to)
        except BadRequest as error:
            if "parse entities" not in error.message.lower():
                raise
            log.warning("telegram refused the markup", reason=error.message)
        return await self._send(place, text, None, reply_to)

    async def send_document(self, place: Place, name: str, content: bytes) -> int:
        """Send a file; return the message's id."""
        with meaning():
            sent = await self._bot.send_document(
                place.chat_id, content, filename=name, message_thread_id=place.thread_id
            )
        return sent.message_id

    async def react(self, place: Place, message_id: int, emoji: str | None) -> None:
        """Show under a person's message that it was seen; None takes it away. Never raises."""
        try:
            await self._bot.set_message_reaction(place.chat_id, message_id, emoji)
        except TelegramError as error:
            log.info("no reaction", reason=type(error).__name__)

    async def typing(self, place: Place) -> None:
        """Show for about five seconds that an answer is being written. Never raises."""
        try:
            await self._bot.send_chat_action(
                place.chat_id, "typing", message_thread_id=place.thread_id
            )
        except TelegramError as error:
            log.info("no typing", reason=type(error).__name__)

    async def _send(
        self, place: Place, text: str, mode: ParseMode | None, reply_to: int | None
    ) -> int:
        with meaning():
            sent: Message = await self._bot.send_message(
                place.chat_id,
                text,
                parse_mode=mode,
                message_thread_id=place.thread_id,
                link_preview_options=_NO_PREVIEW,
                reply_parameters=_reply(reply_to),
            )
        return sent.message_id


def _reply(message_id: int | None) -> ReplyParameters | None:
    if message_id is None:
        return None
    return ReplyParameters(message_id, allow_sending_without_reply=True)


@contextmanager
def meaning() -> Iterator[None]:
    """Raises what an error of the library means to us; one that says nothing of the chat as it is."""
    try:
        yield
    except ChatMigrated as error:
        raise ChatMovedError(error.new_chat_id) from None
    except Forbidden as error:
        raise ChatGoneError(error.message) from None
    except BadRequest as error:
        if any(word in error.message.lower() for word in _GONE):
            raise ChatGoneError(error.message) from None
        raise
