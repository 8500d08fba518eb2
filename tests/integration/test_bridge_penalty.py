"""Two minutes of silence that Telegram demands for one chat, and what all others feel of it.

The real way out with the real client, a real Valkey and the stand-in; only the clocks of both sides can
leap, together.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from agentsession_bridge.delivery import Delivery
from agentsession_bridge.files_out import FilesOut
from agentsession_bridge.live import LiveTurns
from agentsession_bridge.metrics import Metrics
from agentsession_bridge.outbox import Outbox
from agentsession_bridge.pace import Lanes
from agentsession_bridge.presence import Presence
from agentsession_bridge.telegram_client import Chats
from agentsession_bridge.telegram_connection import make_bot
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.bridge_world import ADA, Agent, said
from agentsession_testing.telegram import TOKEN, Telegram, telegram_stand_in

PENALTY_SECONDS = 120.0
OTHERS = range(1000, 1100)
# Several messages of 4096 characters.
LONG = "\n\n".join(f"Paragraph {number}. " + "word " * 100 for number in range(20))
LONG += "\n\nThe end."


class Clock:
    """The machine's time, and what was leapt over."""

    def __init__(self) -> None:
        self._leapt = 0.0
        self._leaps = asyncio.Event()

    def leap(self, seconds: float) -> None:
        self._leapt += seconds
        self._leaps.set()
        self._leaps = asyncio.Event()

    def unix(self) -> float:
        return time.time() + self._leapt

    def monotonic(self) -> float:
        return time.monotonic() + self._leapt

    async def sleep(self, seconds: float) -> None:
        end = self.monotonic() + seconds
        while (left := end - self.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._leaps.wait(), left)


@pytest.fixture
async def clock() -> Clock:
    return Clock()


@pytest.fixture
async def world(clock: Clock) -> AsyncIterator[Telegram]:
    async with telegram_stand_in(now=clock.unix) as found:
        for person in (ADA, *OTHERS):
            await found.join(person, f"Person {person}")
        yield found


@pytest.fixture
async def delivery(world: Telegram, redis_client: Redis, clock: Clock) -> AsyncIterator[None]:
    bot, _ = make_bot(SecretStr(TOKEN), world.url, lambda method, outcome: None)
    async with bot:
        chats, lanes = Chats(bot), Lanes(clock.monotonic, clock.sleep)
        live = LiveTurns(redis_client, chats, lanes, lambda mailbox: "", clock.monotonic, lambda: 1)
        way_out = Delivery(
            Outbox(redis_client),
            chats,
            FilesOut(MailboxStore(redis_client), bot, chats),
            lanes,
            Presence(chats),
            live,
            Metrics(),
            lambda mailbox: "",
        )
        task = asyncio.create_task(way_out.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class People:
    """Those who write and are answered."""

    def __init__(self, world: Telegram, agent: Agent, store: MailboxStore, clock: Clock) -> None:
        self._world, self._agent, self._store, self._clock = world, agent, store, clock

    async def ask(self, person: int, question: str, answer: str) -> None:
        """Somebody asks, and the agent says something to it."""
        sent = await self._world.write(person, question)
        message = NewMessage(
            source=Source.TELEGRAM,
            id=f"{person}.{sent['message_id']}",
            chat=str(person),
            text=question,
        )
        await self._store.ingest(str(person), message)
        await self._agent.answer(str(person), answer)

    async def seconds_to_answers(self, word: str) -> list[float]:
        """Everybody else asks something; how long each answer was on its way, in seconds."""
        began = {}
        for person in OTHERS:
            began[person] = self._clock.unix()
            await self.ask(person, word, f"{word} for {person}")
        found = [await said(self._world, person, f"{word} for {person}") for person in OTHERS]
        assert len(found) == len(OTHERS)
        entries = (await self._world.get("journal", kind="message"))["entries"]
        arrived = {
            entry["chat_id"]: entry["at"]
            for entry in entries
            if entry["data"]["from"]["is_bot"] and word in entry["data"]["text"]
        }
        return [arrived[person] - began[person] for person in OTHERS]


@pytest.fixture
def people(world: Telegram, agent: Agent, redis_client: Redis, clock: Clock) -> People:
    return People(world, agent, MailboxStore(redis_client), clock)


def p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100)[-1]


async def test_a_chat_waits_two_minutes_and_the_others_do_not_notice(
    world: Telegram, delivery: None, people: People, clock: Clock
) -> None:
    before = await people.seconds_to_answers("before")
    await world.post(
        "faults", kind="flood", method="sendMessage", chat_id=ADA, seconds=PENALTY_SECONDS
    )
    await people.ask(ADA, "write a lot", LONG)
    refused = await world.wait("call", chat_id=ADA, method="sendMessage", seconds=30)
    assert (refused["data"]["status"], refused["data"]["description"]) == (
        429,
        "Too Many Requests: retry after 120",
    )
    during = await people.seconds_to_answers("during")
    print(f"p99 of the others: {p99(before):.3f} s before, {p99(during):.3f} s during the penalty")
    # Whoever shared it would have had all of it to wait.
    assert max(during) < PENALTY_SECONDS / 2
    assert [message["text"] for message in await world.messages(ADA)] == ["write a lot"]

    clock.leap(PENALTY_SECONDS)
    await said(world, ADA, "The end.")
    own = [m["text"] for m in await world.messages(ADA) if m["from"]["is_bot"]]
    assert len(own) > 1
    assert "\n".join(own).split() == LONG.split()
    calls = await world.get("journal", kind="call", chat_id=ADA, method="sendMessage")
    assert [call["data"]["status"] for call in calls["entries"]] == [429] + [200] * len(own)
    assert calls["entries"][1]["at"] >= refused["at"] + PENALTY_SECONDS
