"""The Telegram stand-in, unmodified python-telegram-bot, and people who chat."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import telegram
from telegram.request import HTTPXRequest

from agentsession_dev.telegram_server.server import serve_in_thread
from agentsession_dev.telegram_server.service import Settings

# Its times are timedeltas in the next major version; until then it warns unless this is set.
os.environ["PTB_TIMEDELTA"] = "true"

TOKEN = "4200:telegram-test-token"
ANSWER_SECONDS = 30
JsonObject = dict[str, Any]


def bot_for(url: str, token: str = TOKEN) -> telegram.Bot:
    """Return python-telegram-bot's client, pointed at a stand-in."""
    return telegram.Bot(
        token,
        base_url=f"{url}/bot",
        base_file_url=f"{url}/file/bot",
        request=_request(),
        get_updates_request=_request(),
    )


def _request() -> HTTPXRequest:
    # Reading the machine's certificates takes longer than a test, and nothing here speaks TLS.
    return HTTPXRequest(connection_pool_size=8, read_timeout=10, httpx_kwargs={"verify": False})


@dataclass(frozen=True)
class Telegram:
    """What tests do and see on the other side of the bot."""

    url: str
    http: httpx.AsyncClient

    async def post(self, path: str, **body: Any) -> JsonObject:
        """Call a control route and return its answer."""
        return self._read(await self.http.post(f"/_control/{path}", json=body))

    async def put(self, path: str, **body: Any) -> JsonObject:
        """Call a control route and return its answer."""
        return self._read(await self.http.put(f"/_control/{path}", json=body))

    async def get(self, path: str, **query: Any) -> JsonObject:
        """Look at a control route; where it is to `wait`, that long and as long as any other call."""
        seconds = ANSWER_SECONDS + query.get("wait", 0)
        return self._read(await self.http.get(f"/_control/{path}", params=query, timeout=seconds))

    async def join(self, user_id: int, name: str = "Ada") -> None:
        """Let a person open the bot's chat."""
        await self.post("people", id=user_id, first_name=name)

    async def write(self, user_id: int, text: str, **more: Any) -> JsonObject:
        """Let a person write."""
        return await self.post("messages", user_id=user_id, text=text, **more)

    async def messages(self, chat_id: int) -> list[JsonObject]:
        """Return the chat's messages."""
        found: list[JsonObject] = (await self.get(f"chats/{chat_id}"))["messages"]
        return found

    async def wait(
        self, kind: str, *, after: int = 0, seconds: float = 10, **query: Any
    ) -> JsonObject:
        """Return the first entry of the journal that fits.

        Raises:
            TimeoutError: naming what was waited for and what is there instead.
        """
        answer = await self.get("journal", kind=kind, after=after, wait=seconds, **query)
        if not answer["entries"]:
            seen = (await self.get("journal"))["entries"][-20:]
            raise TimeoutError(f"no {kind} {query} after {after} in {seconds} s; seen: {seen}")
        first: JsonObject = answer["entries"][0]
        return first

    @staticmethod
    def _read(response: httpx.Response) -> JsonObject:
        if response.is_error:
            raise AssertionError(f"{response.request.url}: {response.status_code} {response.text}")
        found: JsonObject = response.json() if response.content else {}
        return found


@asynccontextmanager
async def telegram_stand_in(
    *, flood_limits: bool = False, now: Callable[[], float] = time.time
) -> AsyncIterator[Telegram]:
    """Run a stand-in while the block runs. `now`: Unix seconds."""
    settings = Settings(token=TOKEN, flood_limits=flood_limits)
    with serve_in_thread(settings, now=now) as url:
        async with httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS) as http:
            yield Telegram(url, http)
