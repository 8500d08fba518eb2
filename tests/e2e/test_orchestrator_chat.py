"""The orchestrator in a chat, in pods: words in the middle of a turn, and questions with buttons."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from agentsession_testing.cluster import Product
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram

# Whom `make test` lets in.
BOB = 72
SECONDS = 90.0
DELETE = "run: orchestrator project delete $(cat project) --yes --json"


@pytest.fixture
async def world(product: Product) -> AsyncIterator[Telegram]:
    product.kubectl(
        "delete", "agentsession", f"telegram-{BOB}", "--ignore-not-found", "--timeout=60s"
    )
    with product.port_forward(f"svc/{product.names.release}-telegram-server", 8081) as url:
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
            world = Telegram(url, http)
            await world.join(BOB, "Bob")
            yield world


class Chat:
    """What the bot says to Bob from now on."""

    def __init__(self, world: Telegram, since: int) -> None:
        self._world, self._since = world, since

    async def said(self) -> list[str]:
        return [str(message.get("text", "")) for message in await self._new()]

    async def hears(self, words: str) -> dict[str, object]:
        """Wait until the bot has said something with these words; returns the message."""
        found: list[dict[str, object]] = []

        async def seen() -> bool:
            found[:] = [one for one in await self._new() if words in str(one.get("text", ""))]
            return bool(found)

        try:
            await until(seen, f"the bot says {words!r}", SECONDS)
        except AssertionError as error:
            raise AssertionError(f"{error}; it said {await self.said()}") from None
        return found[-1]

    async def _new(self) -> list[dict[str, object]]:
        return [
            message
            for message in await self._world.messages(BOB)
            if message["from"]["is_bot"] and message["message_id"] > self._since
        ]


@pytest.fixture
async def chat(world: Telegram) -> Chat:
    newest = max((message["message_id"] for message in await world.messages(BOB)), default=0)
    return Chat(world, newest)


async def test_words_in_the_middle_of_a_turn(world: Telegram, chat: Chat) -> None:
    await world.write(
        BOB, "run: orchestrator respond 'Half is done.' && sleep 2 && echo all is done"
    )
    await chat.hears("all is done")
    said = await chat.said()
    assert said.count("Half is done.") == 1, said
    assert "all is done" in said[said.index("Half is done.") + 1]


async def test_the_person_is_asked_once_and_agrees_by_a_button(world: Telegram, chat: Chat) -> None:
    make = "orchestrator project create of-the-chat --json | tee project.json"
    number = "grep -o '\"id\":[0-9]*' project.json | grep -o '[0-9]*' > project && echo made it"
    await world.write(BOB, f"run: {make} && {number}")
    await chat.hears("made it")
    for _ in range(2):
        await world.write(BOB, DELETE)
    question = await chat.hears("whether it may delete project of-the-chat")
    await chat.hears("approval_required")
    asked = [text for text in await chat.said() if "whether it may delete" in text]
    assert len(asked) == 1
    keyboard = question["reply_markup"]
    assert isinstance(keyboard, dict)
    ((agree, refuse),) = keyboard["inline_keyboard"]
    assert (agree["text"], refuse["text"]) == ("Agree", "Refuse")
    path = f"chats/{BOB}/messages/{question['message_id']}/press"
    await world.post(path, user_id=BOB, data=agree["callback_data"])
    await chat.hears("Agreed: delete project of-the-chat")
    await world.write(BOB, DELETE)
    await chat.hears('"deleted":true')
    # Used up: the next time it is asked about again, or there is nothing left to ask about.
    await world.write(BOB, DELETE)
    await chat.hears("project_not_found")
