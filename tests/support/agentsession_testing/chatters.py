"""People who chat with the installed product, at the stand-in's bot."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from agentsession_bridge.places import Place
from agentsession_testing.cluster import ModelServer, Product
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram

SECONDS = 90.0
# What the agent runs until it is stopped.
HANG = "run: tail -f /dev/null"


@asynccontextmanager
async def telegram_of(product: Product) -> AsyncIterator[Telegram]:
    """The release's stand-in."""
    with product.port_forward(f"svc/{product.names.release}-telegram-server", 8081) as url:
        async with httpx.AsyncClient(base_url=url, timeout=30, trust_env=False) as http:
            yield Telegram(url, http)


@dataclass
class Chatter:
    """One person at a place where the bot is; `since` is the newest message of before."""

    product: Product
    world: Telegram
    user: int
    place: Place
    since: int

    @property
    def session(self) -> str:
        """The place's AgentSession."""
        return self.place.session_name

    async def write(self, text: str) -> int:
        """Write, and return the message's id."""
        where = {"chat_id": self.place.chat_id, "message_thread_id": self.place.thread_id}
        sent: int = (await self.world.write(self.user, text, **where))["message_id"]
        return sent

    async def messages(self) -> list[dict[str, Any]]:
        """What the bot has said here since the test began."""
        return [
            message
            for message in await self.world.messages(self.place.chat_id)
            if message["from"]["is_bot"]
            and message["message_id"] > self.since
            and message.get("message_thread_id") == self.place.thread_id
        ]

    async def answers(self) -> list[str]:
        """The texts of all that the bot has said since the test began."""
        return [str(message.get("text", "")) for message in await self.messages()]

    async def hears(self, words: str, times: int = 1, seconds: float = SECONDS) -> str:
        """Wait until the bot has said something with these words so many times; return the newest."""
        found: list[str] = []

        async def said() -> bool:
            found[:] = [text for text in await self.answers() if words in text]
            return len(found) >= times

        try:
            await until(said, f"the bot says {words!r} to {self.user}", seconds)
        except AssertionError as error:
            seen = self.product.describe(self.session, {})
            raise AssertionError(f"{error}; it said {await self.answers()}\n{seen}") from None
        return found[-1]


async def at(product: Product, world: Telegram, user: int, place: Place) -> Chatter:
    """A person at a place that has no session from before."""
    product.kubectl(
        "delete", "agentsession", place.session_name, "--ignore-not-found", "--timeout=60s"
    )
    messages = await world.messages(place.chat_id)
    newest = max((message["message_id"] for message in messages), default=0)
    return Chatter(product, world, user, place, newest)


async def joined(product: Product, world: Telegram, user: int, name: str) -> Chatter:
    """A person who has opened the bot's chat, without any session from before."""
    await world.join(user, name)
    return await at(product, world, user, Place(user))


async def in_its_tool(model_server: ModelServer, text: str, times: int) -> None:
    """Wait until the model has sent agents into this tool call so many times since the server began."""
    await until(lambda: len(model_server.requests(text)) >= times, f"agents run {text!r}", SECONDS)


def numbered(texts: list[str]) -> list[str]:
    """The words like `m3.` in the bot's texts, in their order; of a text that came twice once."""
    return [word for text in dict.fromkeys(texts) for word in re.findall(r"\bm\d+\.", text)]


def sent_twice(texts: list[str]) -> int:
    """How many of the bot's texts were there before."""
    return len(texts) - len(set(texts))
