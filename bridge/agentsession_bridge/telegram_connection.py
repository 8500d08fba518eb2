"""The connection to the Bot API: its client, what is counted of calls, calls that have to succeed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import structlog
from pydantic import SecretStr
from telegram import Bot
from telegram.error import InvalidToken, TelegramError

from agentsession_bridge.telegram_transport import BotRequest

log = structlog.get_logger(__name__)

POOL_SIZE = 64
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
FIRST_RETRY_SECONDS = 0.5
LAST_RETRY_SECONDS = 30.0
_METHODS = frozenset(
    {
        "getMe",
        "getUpdates",
        "getFile",
        "setWebhook",
        "deleteWebhook",
        "setMyCommands",
        "sendMessage",
        "sendMessageDraft",
        "sendDocument",
        "sendPhoto",
        "sendChatAction",
        "setMessageReaction",
        "editMessageText",
        "editMessageReplyMarkup",
        "answerCallbackQuery",
    }
)


class CountingRequest(BotRequest):
    """Counts calls by method and outcome. A method that is not listed counts as `other`."""

    def __init__(self, count: Callable[[str, str], None], **settings: Any) -> None:
        super().__init__(**settings)
        self._count = count

    async def do_request(self, url: str, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        """Make the call."""
        name = url.rpartition("/")[2]
        name = name if name in _METHODS else "other"
        try:
            status, body = await super().do_request(url, *args, **kwargs)
        except TelegramError:
            self._count(name, "failed")
            raise
        outcomes = {200: "ok", 429: "flood"}
        self._count(name, outcomes.get(status, "refused" if status < 500 else "failed"))
        return status, body


def make_bot(
    token: SecretStr, api_url: str, count: Callable[[str, str], None]
) -> tuple[Bot, BotRequest]:
    """Return a client that has not talked to Telegram yet, and its connections for polls."""

    def request(pool: int, read: float) -> BotRequest:
        return CountingRequest(
            count, pool_size=pool, connect_seconds=CONNECT_SECONDS, answer_seconds=read
        )

    polls = request(2, ANSWER_SECONDS)
    bot = Bot(
        token.get_secret_value(),
        base_url=f"{api_url}/bot",
        base_file_url=f"{api_url}/file/bot",
        request=request(POOL_SIZE, ANSWER_SECONDS),
        get_updates_request=polls,
    )
    return bot, polls


async def until_done(call: Callable[[], Awaitable[object]], failing: str) -> None:
    """Make a call until it succeeds; `failing` is said meanwhile.

    Raises:
        telegram.error.InvalidToken: no repetition helps.
    """
    pause = FIRST_RETRY_SECONDS
    while True:
        try:
            await call()
        except InvalidToken:
            raise
        except TelegramError as error:
            log.warning(failing, error=type(error).__name__, retry_seconds=pause)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_RETRY_SECONDS)
        else:
            return
