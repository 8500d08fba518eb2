"""Webhooks, and the page's stream of events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Request, Response

from agentsession_dev.connections import Connections
from agentsession_dev.serving import http_server, running_in_thread
from agentsession_testing.telegram import Telegram, bot_for, telegram_stand_in

ADA = 7


class Hook:
    """A webhook that answers the given statuses, then 200."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.seen: list[tuple[str | None, str]] = []
        self.app = FastAPI(openapi_url=None)
        self.app.add_route("/hook", self._answer, methods=["POST"])

    async def _answer(self, request: Request) -> Response:
        update = await request.json()
        secret = request.headers.get("x-telegram-bot-api-secret-token")
        self.seen.append((secret, update["message"]["text"]))
        return Response(status_code=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
async def world() -> AsyncIterator[Telegram]:
    async with telegram_stand_in() as found:
        await found.join(ADA)
        yield found


async def test_a_webhook_gets_each_update_in_order_until_it_says_200(world: Telegram) -> None:
    hook = Hook(500, 403)
    with running_in_thread(http_server(hook.app, Connections())) as url:
        async with bot_for(world.url) as bot:
            await bot.set_webhook(f"{url}/hook", secret_token="s3cret")
            for text in ("one", "two"):
                await world.write(ADA, text)
            for count in range(4):
                after = (
                    count
                    and (await world.get("journal", kind="webhook"))["entries"][count - 1][
                        "sequence"
                    ]
                )
                await world.wait("webhook", after=after)
            assert hook.seen == [("s3cret", text) for text in ("one", "one", "one", "two")]
            info = await bot.get_webhook_info()
            assert (info.pending_update_count, info.last_error_message) == (
                0,
                "Wrong response from the webhook: 403",
            )


async def _events(
    world: Telegram, count: int, last: str = "0"
) -> list[tuple[str, dict[str, object]]]:
    found: list[tuple[str, dict[str, object]]] = []
    headers = {"last-event-id": last}
    async with world.http.stream("GET", f"/chats/{ADA}/events", headers=headers) as response:
        number = ""
        async for line in response.aiter_lines():
            if line.startswith("id: "):
                number = line[4:]
            elif line.startswith("data: "):
                found.append((number, json.loads(line[6:])))
                if len(found) == count:
                    break
    return found


async def test_the_page_sees_the_chat_and_goes_on_after_a_cut(world: Telegram) -> None:
    async with bot_for(world.url) as bot:
        await world.write(ADA, "hello")
        await bot.send_message(ADA, "<b>hi</b>", parse_mode="HTML")
        first = await asyncio.wait_for(_events(world, 1), 10)
        assert first[0][1]["kind"] == "message"
        (rest,) = await asyncio.wait_for(_events(world, 1, first[0][0]), 10)
        data = rest[1]["data"]
        assert isinstance(data, dict)
        assert (data["text"], data["entities"][0]["type"]) == ("hi", "bold")


async def test_page_and_assets_are_served_and_files_never_inline(world: Telegram) -> None:
    page = await world.http.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for asset in ("chat.js", "chat.css"):
        assert f"/assets/{asset}" in page.text
        assert (await world.http.get(f"/assets/{asset}")).status_code == 200
    assert (await world.http.get("/assets/../server.py")).status_code == 404
    async with bot_for(world.url) as bot:
        sent = await bot.send_document(ADA, b"<script>1</script>", filename="x.html")
    assert sent.document is not None
    answer: httpx.Response = await world.http.get(f"/files/{sent.document.file_id}")
    assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''x.html"
    assert answer.headers["content-type"] == "application/octet-stream"
