"""Why Telegram refuses a call, in words of ours: its own may quote what was sent. Pure."""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    RetryAfter,
    TelegramError,
)


class Refusal(StrEnum):
    """What logs and errors say."""

    MARKUP = "the markup cannot be read"
    EMPTY = "the text is empty"
    TOO_LONG = "the text is too long"
    TOO_LARGE = "the file is too large"
    NO_PICTURE = "the file is no photo that it takes"
    NOT_MODIFIED = "the message says it already"
    NO_MESSAGE = "the message is not there any more"
    NO_CHAT = "the chat is not there any more"
    NO_PERSON = "the person is not there any more"
    NO_THREAD = "the topic is not there any more"
    NO_RIGHTS = "the bot may not write there"
    BLOCKED = "the bot is blocked"
    REMOVED = "the bot is no member of the chat"
    FORBIDDEN = "the bot is not let in"
    OTHER = "another reason"


# In this order: a refused markup quotes the answer, whatever that says.
_WORDS: Final = (
    (Refusal.MARKUP, ("parse entities",)),
    (Refusal.EMPTY, ("text is empty", "text must be non-empty")),
    (Refusal.TOO_LONG, ("is too long",)),
    (Refusal.TOO_LARGE, ("too big", "too large")),
    (Refusal.NO_PICTURE, ("photo_", "image_process_failed", "wrong type of the web page content")),
    (Refusal.NOT_MODIFIED, ("not modified",)),
    (
        Refusal.NO_MESSAGE,
        ("message to edit not found", "message can't be edited", "message_id_invalid"),
    ),
    (Refusal.NO_CHAT, ("chat not found",)),
    (Refusal.NO_PERSON, ("user is deactivated",)),
    (Refusal.NO_THREAD, ("thread not found",)),
    (Refusal.NO_RIGHTS, ("not enough rights", "have no rights")),
    (Refusal.BLOCKED, ("bot was blocked",)),
    (Refusal.REMOVED, ("bot was kicked", "bot is not a member")),
)
# Nobody can be reached in the chat any more.
GONE: Final = frozenset({Refusal.NO_CHAT, Refusal.NO_PERSON, Refusal.NO_THREAD, Refusal.NO_RIGHTS})
_CODES: Final = (
    (BadRequest, 400),
    (ChatMigrated, 400),
    (InvalidToken, 401),
    (Forbidden, 403),
    (Conflict, 409),
    (RetryAfter, 429),
)


def refusal_of(error: TelegramError) -> Refusal:
    """Return why a call was refused. What Telegram quotes, and all behind it, is not looked at."""
    words = error.message.lower().partition('"')[0]
    for refusal, signs in _WORDS:
        if any(sign in words for sign in signs):
            return refusal
    return Refusal.FORBIDDEN if isinstance(error, Forbidden) else Refusal.OTHER


def code_of(error: TelegramError) -> int | None:
    """Return Telegram's error code, None where there was no answer or one of its own failures."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)


def refused(error: TelegramError) -> dict[str, str | int | None]:
    """Return what a log says of a refusal."""
    return {"reason": refusal_of(error).value, "code": code_of(error)}
