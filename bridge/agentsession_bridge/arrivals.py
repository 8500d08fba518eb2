"""Telegram's updates as what they mean to us."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from telegram import (
    CallbackQuery,
    Message,
    MessageOrigin,
    MessageOriginChannel,
    MessageOriginChat,
    MessageOriginHiddenUser,
    MessageOriginUser,
    Update,
)

from agentsession_bridge import texts
from agentsession_bridge.files_of import files_of
from agentsession_bridge.places import Place, message_key
from agentsession_core.mailbox.contract import FileReference

QUOTE_CHARACTERS = 1000
NAME_CHARACTERS = 100
_COMMAND = re.compile(r"/([A-Za-z0-9_]{1,32})(?:\s+(.*))?", re.DOTALL)
# In a group others' commands are none of our business.
_OWN_COMMANDS = frozenset({"start", *(name for name, _ in texts.COMMANDS)})


@dataclass(frozen=True)
class Person:
    """Who acts. The id alone decides anything; the name is for people to read."""

    id: int
    name: str


@dataclass(frozen=True)
class Words:
    """A person wrote, or sent a file. `key` stays the same when the update comes again."""

    place: Place
    person: Person
    key: str
    message_id: int
    text: str
    edited: bool = False
    files: tuple[FileReference, ...] = ()


@dataclass(frozen=True)
class Command:
    """A person gave a command, with what stands behind it."""

    place: Place
    person: Person
    key: str
    message_id: int
    name: str
    argument: str
    files: tuple[FileReference, ...] = ()


@dataclass(frozen=True)
class Unreadable:
    """A person sent something that nothing can be made of."""

    place: Place
    person: Person
    message_id: int
    kind: str


@dataclass(frozen=True)
class Press:
    """A person pressed a button below the message `message_id`."""

    place: Place
    person: Person
    message_id: int
    query_id: str
    data: str


@dataclass(frozen=True)
class Stopped:
    """A person pressed Stop at a draft."""

    place: Place
    person: Person
    draft_id: int


Arrival = Words | Command | Unreadable | Press | Stopped
# Unknown kinds are left out by default: those that are read have to be named.
KINDS = ("message", "edited_message", "callback_query", "stopped_message_generation")


def read_update(update: Update, bot_id: int, bot_username: str) -> Arrival | None:
    """Return what an update means, or None for one that is not meant for the bot."""
    if update.callback_query is not None:
        return _press(update.callback_query)
    if "stopped_message_generation" in update.api_kwargs:
        return _stopped(update.api_kwargs["stopped_message_generation"])
    message = update.message or update.edited_message
    if message is None or message.from_user is None or message.from_user.is_bot:
        return None
    place = _place(message)
    text = _text(message, bot_username)
    if not place.is_private and not _is_meant(message, bot_id, bot_username):
        return None
    person = Person(message.from_user.id, message.from_user.full_name)
    edited_at = int(message.edit_date.timestamp()) if message.edit_date else None
    key = message_key(place, message.message_id, edited_at)
    files = files_of(message)
    command = _COMMAND.fullmatch(text)
    if command is not None and edited_at is None:
        name, argument = command[1].lower(), (command[2] or "").strip()
        return Command(place, person, key, message.message_id, name, argument, files)
    if not text and not files:
        return _unreadable(message, place, person)
    words = _with_context(message, text)
    return Words(place, person, key, message.message_id, words, edited_at is not None, files)


def _press(query: CallbackQuery) -> Press | None:
    if not isinstance(query.message, Message) or query.data is None:
        return None
    person = Person(query.from_user.id, query.from_user.full_name)
    return Press(_place(query.message), person, query.message.message_id, query.id, query.data)


def _stopped(raw: Any) -> Stopped | None:
    """An update that is newer than the library: it comes as plain JSON."""
    try:
        chat, person, draft = raw["chat"]["id"], raw["from"], raw["draft_id"]
        return Stopped(Place(int(chat)), Person(int(person["id"]), ""), int(draft))
    except (KeyError, TypeError, ValueError):
        return None


def _place(message: Message) -> Place:
    in_topic = bool(message.is_topic_message) and message.message_thread_id is not None
    return Place(message.chat.id, message.message_thread_id if in_topic else None)


def _text(message: Message, bot_username: str) -> str:
    text = message.text or message.caption or ""
    return _mention(bot_username).sub("", text).strip() if message.chat.id < 0 else text.strip()


def _mention(bot_username: str) -> re.Pattern[str]:
    return re.compile(rf"@{re.escape(bot_username)}(?!\w)", re.IGNORECASE)


def _is_meant(message: Message, bot_id: int, bot_username: str) -> bool:
    """In a group: a mention, one of this bot's commands, or an answer to what it said."""
    text = message.text or message.caption or ""
    replied = message.reply_to_message
    if replied is not None and replied.from_user is not None and replied.from_user.id == bot_id:
        return True
    command = _COMMAND.fullmatch(text.strip())
    is_own = command is not None and command[1].lower() in _OWN_COMMANDS
    return is_own or _mention(bot_username).search(text) is not None


def _unreadable(message: Message, place: Place, person: Person) -> Unreadable | None:
    kinds = ("sticker", "location", "contact", "poll")
    kind = next((kind for kind in kinds if getattr(message, kind, None)), None)
    return Unreadable(place, person, message.message_id, kind) if kind else None


def _with_context(message: Message, text: str) -> str:
    """An answer or a forward makes no sense to the agent without what it is about."""
    if message.forward_origin is not None:
        return f"[forwarded message{_origin(message.forward_origin)}]\n{text}"
    replied = message.reply_to_message
    quoted = (replied.text or replied.caption or "") if replied is not None else ""
    if message.quote is not None:
        # The part that the person has chosen.
        quoted = message.quote.text
    if not quoted:
        return text
    lines = quoted[:QUOTE_CHARACTERS].splitlines()
    return "\n".join([*(f"> {line}" for line in lines), "", text])


def _origin(origin: MessageOrigin) -> str:
    """From whom, for the agent to read: a name proves nothing."""
    match origin:
        case MessageOriginUser():
            name = origin.sender_user.full_name
        case MessageOriginHiddenUser():
            name = origin.sender_user_name
        case MessageOriginChat():
            name = origin.sender_chat.title or ""
        case MessageOriginChannel():
            name = origin.chat.title or ""
        case _:
            name = ""
    line = " ".join(name.split())[:NAME_CHARACTERS]
    return f" from {line}" if line else ""
