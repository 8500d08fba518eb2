"""Where in Telegram a conversation is, and what it is called elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CHAT = re.compile(r"(-?\d{1,19})(?:/(\d{1,19}))?")


@dataclass(frozen=True)
class Place:
    """A chat, or one topic of a forum. Private chats have positive ids: the person's own."""

    chat_id: int
    thread_id: int | None = None

    @property
    def is_private(self) -> bool:
        """Whether one person alone is there."""
        return self.chat_id > 0

    @property
    def mailbox(self) -> str:
        """The mailbox: a person's id, or `g<group>`, or `g<group>.t<topic>`."""
        if self.is_private:
            return str(self.chat_id)
        topic = f".t{self.thread_id}" if self.thread_id is not None else ""
        return f"g{-self.chat_id}{topic}"

    @property
    def user(self) -> str:
        """Whose session it is: the person's, or the group's as a whole."""
        return str(self.chat_id) if self.is_private else f"g{-self.chat_id}"

    @property
    def session_name(self) -> str:
        """Name of the AgentSession that is made for the place."""
        return f"telegram-{self.mailbox.replace('.', '-')}"

    @property
    def chat(self) -> str:
        """The place as the `chat` of a message in Redis."""
        return str(self.chat_id) + (f"/{self.thread_id}" if self.thread_id is not None else "")


def read_place(chat: str, mailbox: str = "") -> Place | None:
    """Return the place that a `chat` names; without one, the private chat of a person's mailbox.

    None: the entry is not for Telegram.
    """
    found = _CHAT.fullmatch(chat or mailbox)
    if found is None:
        return None
    thread = int(found[2]) if found[2] else None
    return Place(int(found[1]), thread)


def message_key(place: Place, message_id: int, edited_at: int | None = None) -> str:
    """Return the id of a message in its mailbox: the same whenever Telegram sends it again."""
    edition = f".e{edited_at}" if edited_at is not None else ""
    return f"{place.chat_id}.{message_id}{edition}"


def message_number(key: str) -> int | None:
    """Return Telegram's own message id in a key, or None for a key that is not one of ours."""
    parts = key.split(".")
    return int(parts[1]) if len(parts) > 1 and parts[1].isdigit() else None
