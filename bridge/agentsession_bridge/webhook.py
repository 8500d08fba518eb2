"""Updates that Telegram brings: 200 only after they are in Redis, and nothing is read of anybody else."""

from __future__ import annotations

import hmac
import json
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final
from urllib.parse import urlsplit

import structlog
from fastapi import FastAPI
from pydantic import SecretStr
from redis import RedisError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from telegram import Bot, Update

from agentsession_bridge.arrivals import KINDS
from agentsession_bridge.telegram_connection import until_done
from agentsession_core.tasks import once

log = structlog.get_logger(__name__)

SECRET_HEADER: Final = "x-telegram-bot-api-secret-token"  # noqa: S105 -- a header's name
# Telegram's updates are a few KiB; files are fetched apart.
BODY_BYTES: Final = 1024 * 1024

Handle = Callable[[Update], Awaitable[None]]


class Webhook:
    """`accepts` says whether this process does the work now."""

    def __init__(
        self,
        bot: Bot,
        handle: Handle,
        url: str,
        secret: SecretStr,
        accepts: Callable[[], bool],
    ) -> None:
        self._bot = bot
        self._handle = handle
        self._url = url
        self._secret = secret.get_secret_value()
        self._accepts = accepts

    def add_to(self, app: FastAPI) -> None:
        """Add the route that the URL's path names."""
        app.add_api_route(urlsplit(self._url).path or "/", self._receive, methods=["POST"])

    async def run(self) -> None:
        """Tell Telegram where to bring updates, then do nothing until cancelled."""
        await once(self._set())

    async def _set(self) -> None:
        # One after the other: two at once could overtake each other.
        set_webhook = partial(
            self._bot.set_webhook,
            self._url,
            secret_token=self._secret,
            allowed_updates=KINDS,
            max_connections=1,
        )
        await until_done(set_webhook, "webhook not set")
        log.info("webhook set")

    async def _receive(self, request: Request) -> Response:
        given = request.headers.get(SECRET_HEADER, "")
        if not hmac.compare_digest(given.encode(), self._secret.encode()):
            return Response(status_code=403)
        if not self._accepts():
            return Response(status_code=503)
        body = await _read(request)
        if body is None:
            return Response(status_code=413)
        try:
            update = Update.de_json(json.loads(body), self._bot)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            # It would come again for ever, and hold up all that comes after it.
            log.error("update not understood", error=type(error).__name__)
            return Response()
        try:
            await self._handle(update)
        except RedisError as error:
            log.warning("update not taken", error=type(error).__name__)
            return Response(status_code=503)
        return Response()


async def _read(request: Request) -> bytes | None:
    """The body, None for one that is too large."""
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > BODY_BYTES:
        return None
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_BYTES:
                return None
    except ClientDisconnect:
        return None
    return bytes(body)
