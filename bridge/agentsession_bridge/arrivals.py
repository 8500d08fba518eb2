"""Telegram's updates as what they mean to us."""

from __future__ import annotations

from dataclasses import dataclass

from telegram import Message, Update

from agentsession_bridge.files_of import files_of
from agentsession_bridge.places import Place, message_key
from agentsession_core.mailbox.contract import FileReference

QUOTE_CHARACTERS = 1000


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


Arrival = Words | Command | Unreadable


def read_update(update: Update, bot_id: int, bot_username: str) -> Arrival | None:
    """Return what an update means, or None for one that is not meant for the bot."""
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
    if text.startswith("/") and edited_at is None:
        name, _, argument = text[1:].partition(" ")
        command = name.partition("@")[0].lower()
        return Command(place, person, key, message.message_id, command, argument.strip(), files)
    if not text and not files:
        return _unreadable(message, place, person)
    words = _with_context(message, text)
    return Words(place, person, key, message.message_id, words, edited_at is not None, files)


def _place(message: Message) -> Place:
    in_topic = bool(message.is_topic_message) and message.message_thread_id is not None
    return Place(message.chat.id, message.message_thread_id if in_topic else None)


def _text(message: Message, bot_username: str) -> str:
    text = message.text or message.caption or ""
    return text.replace(f"@{bot_username}", "").strip() if message.chat.id < 0 else text.strip()


def _is_meant(message: Message, bot_id: int, bot_username: str) -> bool:
    """In a group: a mention, a command of this bot, or an answer to what it said."""
    text = message.text or message.caption or ""
    replied = message.reply_to_message
    answers_bot = (
        replied is not None and replied.from_user is not None and replied.from_user.id == bot_id
    )
    return answers_bot or f"@{bot_username}".lower() in text.lower()


def _unreadable(message: Message, place: Place, person: Person) -> Unreadable | None:
    kinds = ("sticker", "location", "contact", "poll")
    kind = next((kind for kind in kinds if getattr(message, kind, None)), None)
    return Unreadable(place, person, message.message_id, kind) if kind else None


def _with_context(message: Message, text: str) -> str:
    """An answer or a forward makes no sense to the agent without what it is about."""
    if message.forward_origin is not None:
        return f"[forwarded message]\n{text}"
    replied = message.reply_to_message
    quoted = (replied.text or replied.caption or "") if replied is not None else ""
    if not quoted:
        return text
    lines = quoted[:QUOTE_CHARACTERS].splitlines()
    return "\n".join([*(f"> {line}" for line in lines), "", text])
