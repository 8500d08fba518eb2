"""Pushes updates to the bot's webhook, one after the other, until each is answered with a 2xx."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from agentsession_dev.telegram_server.journal import Journal
from agentsession_dev.telegram_server.params import SetWebhook
from agentsession_dev.telegram_server.updates import UpdateQueue

FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 5.0
PUSH_TIMEOUT_SECONDS = 30.0
SECRET_HEADER = "X-Telegram-Bot-Api-Secret-Token"  # noqa: S105 -- a header's name


class Webhook:
    """The bot's webhook, if it has one."""

    def __init__(self, updates: UpdateQueue, journal: Journal) -> None:
        self._updates = updates
        self._journal = journal
        self._settings: SetWebhook | None = None
        self._task: asyncio.Task[None] | None = None
        self._last_error = ""

    @property
    def active(self) -> bool:
        """Whether updates go to a webhook, so that getUpdates is refused."""
        return self._settings is not None

    async def set(self, settings: SetWebhook | None) -> bool:
        """Use another webhook from now on, or none."""
        await self.stop()
        self._last_error = ""
        self._settings = settings if settings is not None and settings.url else None
        if self._settings is not None:
            self._updates.allow(self._settings.allowed_updates)
            self._task = asyncio.create_task(self._push_all(self._settings))
        return True

    async def stop(self) -> None:
        """Stop pushing; what waits stays."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def info(self) -> dict[str, Any]:
        """Answer getWebhookInfo."""
        settings = self._settings
        info: dict[str, Any] = {
            "url": settings.url if settings else "",
            "has_custom_certificate": False,
            "pending_update_count": self._updates.pending,
        }
        if settings is not None:
            info["max_connections"] = settings.max_connections
        return info | ({"last_error_message": self._last_error} if self._last_error else {})

    async def _push_all(self, settings: SetWebhook) -> None:
        headers = {SECRET_HEADER: settings.secret_token} if settings.secret_token else {}
        async with httpx.AsyncClient(timeout=PUSH_TIMEOUT_SECONDS, headers=headers) as client:
            while True:
                await self._updates.wait_for_any()
                update = self._updates.oldest()
                if update is not None:
                    await self._push(client, settings.url, update)

    async def _push(self, client: httpx.AsyncClient, url: str, update: dict[str, Any]) -> None:
        pause = FIRST_RETRY_SECONDS
        while not await self._delivered(client, url, update):
            await asyncio.sleep(pause)
            pause = min(pause * 2, LAST_RETRY_SECONDS)
        self._updates.confirm_below(update["update_id"] + 1)

    async def _delivered(self, client: httpx.AsyncClient, url: str, update: dict[str, Any]) -> bool:
        status = 0
        try:
            response = await client.post(url, json=update)
            status = response.status_code
            problem = "" if response.is_success else f"Wrong response from the webhook: {status}"
        except httpx.HTTPError as error:
            problem = f"{type(error).__name__}: {error}"
        self._last_error = problem or self._last_error
        self._journal.add("webhook", None, {"update_id": update["update_id"], "status": status})
        return not problem
