"""Refusals in words of ours."""

from __future__ import annotations

import pytest
from telegram.error import (
    BadRequest,
    ChatMigrated,
    Conflict,
    Forbidden,
    InvalidToken,
    NetworkError,
    RetryAfter,
    TelegramError,
    TimedOut,
)

from agentsession_bridge.refusals import GONE, Refusal, code_of, refusal_of
from agentsession_bridge.telegram_client import ChatGoneError, meaning


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ("Bad Request: can't parse entities: unclosed start tag at 3", Refusal.MARKUP),
        ("Bad Request: message text is empty", Refusal.EMPTY),
        ("Bad Request: message is too long", Refusal.TOO_LONG),
        ("Bad Request: file is too big", Refusal.TOO_LARGE),
        ("Bad Request: PHOTO_INVALID_DIMENSIONS", Refusal.NO_PICTURE),
        ("Bad Request: IMAGE_PROCESS_FAILED", Refusal.NO_PICTURE),
        ("Bad Request: message is not modified: specified new ...", Refusal.NOT_MODIFIED),
        ("Bad Request: message to edit not found", Refusal.NO_MESSAGE),
        ("Bad Request: chat not found", Refusal.NO_CHAT),
        ("Bad Request: message thread not found", Refusal.NO_THREAD),
        ("Bad Request: not enough rights to send text messages to the chat", Refusal.NO_RIGHTS),
        ("Bad Request: something new", Refusal.OTHER),
    ],
)
def test_what_a_bad_request_means(message: str, refusal: Refusal) -> None:
    assert refusal_of(BadRequest(message)) is refusal


@pytest.mark.parametrize(
    ("message", "refusal"),
    [
        ("Forbidden: bot was blocked by the user", Refusal.BLOCKED),
        ("Forbidden: bot was kicked from the supergroup chat", Refusal.REMOVED),
        ("Forbidden: user is deactivated", Refusal.NO_PERSON),
        ("Forbidden: bot can't initiate conversation with a user", Refusal.FORBIDDEN),
    ],
)
def test_what_a_closed_door_means(message: str, refusal: Refusal) -> None:
    assert refusal_of(Forbidden(message)) is refusal


@pytest.mark.parametrize(
    "message",
    [
        'Bad Request: can\'t parse entities: unsupported start tag "chat not found" at 0',
        "Bad Request: can't parse entities: chat not found",
        'Bad Request: odd text "user is deactivated"',
    ],
)
def test_an_answer_that_is_quoted_decides_nothing(message: str) -> None:
    error = BadRequest(message)
    assert refusal_of(error) not in GONE
    with pytest.raises(BadRequest), meaning():
        raise error


def test_a_chat_that_is_gone_says_so_in_our_words() -> None:
    with pytest.raises(ChatGoneError) as gone, meaning():
        raise Forbidden("Forbidden: bot was blocked by the user, who had said: canary")
    assert str(gone.value) == "the bot is blocked"
    assert gone.value.code == 403


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BadRequest("x"), 400),
        (ChatMigrated(1), 400),
        (InvalidToken(), 401),
        (Forbidden("x"), 403),
        (Conflict("x"), 409),
        (RetryAfter(1), 429),
        (NetworkError("Bad Gateway"), None),
        (TimedOut(), None),
    ],
)
def test_codes(error: TelegramError, code: int | None) -> None:
    assert code_of(error) == code
