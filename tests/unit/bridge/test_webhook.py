"""Updates that Telegram brings."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from redis import RedisError
from telegram import Update

from agentsession_bridge.webhook import BODY_BYTES, Webhook

HEADER = {"x-telegram-bot-api-secret-token": "secret"}


class World:
    """A webhook and what it hands on."""

    def __init__(self) -> None:
        self.handled: list[int] = []
        self.error: Exception | None = None
        self.accepts = True
        app = FastAPI()
        webhook = Webhook(
            None,  # type: ignore[arg-type]
            self._handle,
            "https://bot.example.com/hook",
            SecretStr("secret"),
            lambda: self.accepts,
        )
        webhook.add_to(app)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://bridge"
        )

    async def _handle(self, update: Update) -> None:
        if self.error is not None:
            raise self.error
        self.handled.append(update.update_id)

    async def post(
        self, content: bytes = b'{"update_id": 7}', headers: dict[str, str] = HEADER
    ) -> int:
        answer = await self.client.post("/hook", headers=headers, content=content)
        return answer.status_code


@pytest.fixture
async def world() -> AsyncIterator[World]:
    found = World()
    yield found
    await found.client.aclose()


async def test_an_update_is_answered_after_it_was_taken_in(world: World) -> None:
    assert await world.post() == 200
    assert world.handled == [7]
    world.error = RedisError("away")
    assert await world.post() == 503


async def test_who_does_not_show_the_secret_is_refused_before_anything_is_read(
    world: World,
) -> None:
    for wrong in ({"x-other": "1"}, {"x-telegram-bot-api-secret-token": "guess"}):
        assert await world.post(headers=wrong) == 403
    assert world.handled == []


async def test_a_body_that_is_no_update_of_telegrams_is_not_asked_for_again(world: World) -> None:
    assert await world.post(b"{") == 200
    assert await world.post(b"[1]") == 200
    assert await world.post(b'{"no": "id"}') == 200
    assert await world.post(b"x" * (BODY_BYTES + 1)) == 413
    assert world.handled == []


async def test_a_bridge_that_stands_by_takes_nothing(world: World) -> None:
    world.accepts = False
    assert await world.post() == 503
