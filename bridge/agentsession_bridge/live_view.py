"""How what is being written is shown: as a draft in a private chat, as one message in a group."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from telegram.error import TelegramError

from agentsession_bridge import texts
from agentsession_bridge.formatting.messages import Message
from agentsession_bridge.pace import is_answer
from agentsession_bridge.placeholders import Placeholders
from agentsession_bridge.places import Place
from agentsession_bridge.preview import Preview
from agentsession_bridge.telegram_client import Button, Chats

# Telegram shows a draft for 30 s.
REFRESH_SECONDS: Final = 20.0


@dataclass
class Live:
    """A place where something is being written. `turn` is empty until one begins."""

    place: Place
    began_at: float
    draft_id: int
    reply_to: int | None = None
    turn: str = ""
    after: str = "0-0"
    stopping: bool = False
    preview: Preview = field(default_factory=Preview)
    shown: Message | None = None
    shown_at: float = 0.0


class View:
    """Shows it in its place. `now`: seconds of a monotonic clock."""

    def __init__(self, chats: Chats, placeholders: Placeholders, now: Callable[[], float]) -> None:
        self._chats = chats
        self._placeholders = placeholders
        self._now = now

    async def show(self, live: Live) -> None:
        """Show what is new since the last time; a draft that is about to vanish is shown again.

        Raises:
            As `Chats`, and redis.RedisError.
        """
        message = live.preview.message()
        if message is None:
            return
        if message == live.shown and self._now() - live.shown_at < REFRESH_SECONDS / 2:
            return
        if live.place.is_private:
            await self._chats.draft(live.place, live.draft_id, message.html, message.text)
        else:
            stop = Button(texts.STOP_BUTTON, f"stop:{live.turn}")
            buttons = (stop,) if live.turn and not live.stopping else ()
            await self._show_in_group(live, message, buttons)
        live.shown, live.shown_at = message, self._now()

    async def _show_in_group(
        self, live: Live, message: Message, buttons: tuple[Button, ...]
    ) -> None:
        mailbox = live.place.mailbox
        known = await self._placeholders.message_id(mailbox)
        if known is not None:
            await self._chats.edit(live.place, known, message.html, message.text, buttons=buttons)
        elif await self._placeholders.claim(mailbox):
            try:
                sent = await self._chats.send(
                    live.place, message.html, message.text, reply_to=live.reply_to, buttons=buttons
                )
            except TelegramError as error:
                if is_answer(error):
                    await self._placeholders.not_sent(mailbox)
                raise
            await self._placeholders.sent(mailbox, sent)
