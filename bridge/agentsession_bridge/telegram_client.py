"""python-telegram-bot as a typed client, and what its errors mean to us."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
from telegram import (
    Bot,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    LinkPreviewOptions,
    Message,
    ReplyParameters,
)
from telegram.constants import ParseMode
from telegram.error import BadRequest, ChatMigrated, Forbidden, TelegramError

from agentsession_bridge.places import Place
from agentsession_bridge.refusals import GONE, Refusal, code_of, refusal_of

log = structlog.get_logger(__name__)

T = TypeVar("T")
_NO_PREVIEW = LinkPreviewOptions(is_disabled=True)


@dataclass(frozen=True)
class Button:
    """A button below a message; `data` comes back when it is pressed, at most 64 bytes."""

    text: str
    data: str


class ChatGoneError(Exception):
    """Nobody can be reached in the chat any more; the message says why, `code` is Telegram's."""

    def __init__(self, error: TelegramError) -> None:
        super().__init__(refusal_of(error).value)
        self.code = code_of(error)


class ChatMovedError(Exception):
    """The group has become a supergroup with the id `chat_id`; `code` is Telegram's."""

    code = 400

    def __init__(self, chat_id: int) -> None:
        super().__init__(f"the group has moved to {chat_id}")
        self.chat_id = chat_id


class Chats:
    """Calls to chats. Every call raises ChatGoneError, ChatMovedError or a TelegramError to repeat."""

    def __init__(self, bot: Bot) -> None:
        self._bot = bot

    async def send(
        self,
        place: Place,
        html: str,
        text: str,
        *,
        reply_to: int | None = None,
        buttons: Sequence[Button] = (),
    ) -> int:
        """Send a message as HTML, as plain text if Telegram refuses the HTML; return its id."""

        async def call(words: str, mode: ParseMode | None) -> Message:
            return await self._bot.send_message(
                place.chat_id,
                words,
                parse_mode=mode,
                message_thread_id=place.thread_id,
                link_preview_options=_NO_PREVIEW,
                reply_parameters=_reply(reply_to),
                reply_markup=_keyboard(buttons),
            )

        sent: Message = await _as_html_or_text(call, html, text)
        return sent.message_id

    async def edit(
        self,
        place: Place,
        message_id: int,
        html: str,
        text: str,
        *,
        buttons: Sequence[Button] = (),
    ) -> bool:
        """Make a message of ours say something else; False for one that is not there any more."""

        async def call(words: str, mode: ParseMode | None) -> Any:
            return await self._bot.edit_message_text(
                words,
                place.chat_id,
                message_id,
                parse_mode=mode,
                link_preview_options=_NO_PREVIEW,
                reply_markup=_keyboard(buttons),
            )

        try:
            await _as_html_or_text(call, html, text)
        except BadRequest as error:
            refusal = refusal_of(error)
            if refusal is Refusal.NO_MESSAGE:
                return False
            if refusal is not Refusal.NOT_MODIFIED:
                raise
        return True

    async def take_buttons(self, place: Place, message_id: int) -> None:
        """Take the buttons off a message. Never raises: they may be gone."""
        try:
            await self._bot.edit_message_reply_markup(place.chat_id, message_id)
        except TelegramError as error:
            log.info("buttons not taken off", reason=type(error).__name__)

    async def draft(self, place: Place, draft_id: int, html: str, text: str) -> None:
        """Show an answer that is being written, for 30 s, with a Stop button of Telegram's own."""

        async def call(words: str, mode: ParseMode | None) -> bool:
            return await self._bot.send_message_draft(
                place.chat_id,
                draft_id,
                words,
                message_thread_id=place.thread_id,
                parse_mode=mode,
                # Newer than the library.
                api_kwargs={"can_stop": True},
            )

        await _as_html_or_text(call, html, text)

    async def answer_press(self, query_id: str, text: str) -> None:
        """Take the waiting sign off a pressed button. Never raises: the press may be too old."""
        try:
            await self._bot.answer_callback_query(query_id, text)
        except TelegramError as error:
            log.info("press not answered", reason=type(error).__name__)

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


async def _as_html_or_text(
    call: Callable[[str, ParseMode | None], Awaitable[T]], html: str, text: str
) -> T:
    try:
        with meaning():
            return await call(html, ParseMode.HTML)
    except BadRequest as error:
        if refusal_of(error) is not Refusal.MARKUP:
            raise
        log.warning("telegram refused the markup", code=code_of(error))
    with meaning():
        return await call(text, None)


def _keyboard(buttons: Sequence[Button]) -> InlineKeyboardMarkup | None:
    if not buttons:
        return None
    row = [InlineKeyboardButton(button.text, callback_data=button.data) for button in buttons]
    return InlineKeyboardMarkup([row])


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
        raise ChatGoneError(error) from None
    except BadRequest as error:
        if refusal_of(error) in GONE:
            raise ChatGoneError(error) from None
        raise
