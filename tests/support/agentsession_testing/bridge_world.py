"""What tests of the bridge as a process have in common: Telegram's stand-in, Valkey, an API server, and
somebody who answers in place of operator, gateway and run."""

from __future__ import annotations

import asyncio
import itertools
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from redis.asyncio import Redis

from agentsession_core.api import LaunchType, TurnOutcome
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.responses import RespondAnswer
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.api_server import ApiServer, running
from agentsession_testing.bridge_process import NAMESPACE, BridgeProcess
from agentsession_testing.serving import until
from agentsession_testing.telegram import Telegram, telegram_stand_in
from agentsession_testing.valkey import Valkey, entries

ADA, BOB, EVE = 71, 72, 73
GROUP = -1001234567890
T = TypeVar("T")
# Far above what anything takes, on a machine that does much else too.
SECONDS = 40
SESSIONS = f"/apis/agentsession.dev/v1alpha1/namespaces/{NAMESPACE}/agentsessions"


@pytest.fixture(scope="session")
def bridge_api_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiServer]:
    with running(tmp_path_factory.mktemp("api-server")) as server:
        server.install(NAMESPACE)
        yield server


@pytest.fixture
async def world() -> AsyncIterator[Telegram]:
    async with telegram_stand_in() as found:
        for user, name in ((ADA, "Ada"), (BOB, "Bob"), (EVE, "Eve")):
            await found.join(user, name)
        yield found


@pytest.fixture
def bridge_log_level() -> str:
    """A module that wants more said has a fixture of this name."""
    return "INFO"


@pytest.fixture
async def bridge(
    world: Telegram,
    bridge_api_server: ApiServer,
    valkey: Valkey,
    redis_client: Redis,
    tmp_path: Path,
    bridge_log_level: str,
) -> AsyncIterator[BridgeProcess]:
    with bridge_api_server.client() as client:
        client.delete(SESSIONS)
    process = BridgeProcess(tmp_path, world.url, valkey.url, bridge_api_server.kubeconfig)
    process.log_level = bridge_log_level
    process.allow(ADA, BOB, groups=(GROUP,))
    await process.start()
    yield process
    if process.process is not None:
        await process.kill()


class Agent:
    """Answers in place of operator, gateway and run: what the bridge sees of them is Redis alone."""

    def __init__(self, store: MailboxStore) -> None:
        self._store = store
        self._turns = 0
        self._said = 0
        self._counts: defaultdict[str, Iterator[int]] = defaultdict(itertools.count)
        self._begun: set[str] = set()

    async def turn(self, mailbox: str) -> tuple[str, list[str]]:
        """Take what waits as a turn; returns its id and texts."""
        run = "uid/1"
        if mailbox not in self._begun:
            self._begun.add(mailbox)
            await self._store.begin_run(
                mailbox, run=run, expected="", session_uid="uid", launch=LaunchType.COLD
            )
            await self._store.hello(mailbox, run=run, pod_uid="pod", pod="pod")
        self._turns += 1
        grant = await self._store.begin_turn(
            mailbox, run=run, pod_uid="pod", turn=f"t{self._turns}", timeout_seconds=600
        )
        assert grant.turn is not None, grant
        return grant.turn, [message.text for message in grant.messages]

    async def commit(
        self, mailbox: str, turn: str, text: str, outcome: TurnOutcome = TurnOutcome.SUCCEEDED
    ) -> None:
        """End the turn with an answer."""
        await self._store.commit_result(
            mailbox, run="uid/1", turn=turn, result=ResultRecord(outcome, text, "c")
        )

    async def say(self, mailbox: str, turn: str, *events: tuple[str, dict[str, Any]]) -> None:
        """Tell what happens in the turn, in this order: counted within it from 0, as the runner does."""
        count = self._counts[turn]
        numbered = [(next(count), kind, data) for kind, data in events]
        await self._store.publish_events(mailbox, turn, "telegram", numbered)

    async def respond(self, mailbox: str, text: str) -> None:
        """Say something in the middle of the turn."""
        self._said += 1
        said = await self._store.respond(mailbox, run="uid/1", response=f"r{self._said}", text=text)
        assert said.answer is RespondAnswer.SAID, said

    async def answer(self, mailbox: str, text: str | None = None) -> list[str]:
        """Wait for messages, answer them, and return their texts."""
        # The bridge may be dead just now: starting takes long on a busy machine.
        await until(lambda: self._waits(mailbox), f"a message waits for {mailbox}", 90)
        turn, texts = await self.turn(mailbox)
        await self.commit(mailbox, turn, text if text is not None else f"echo {' '.join(texts)}")
        return texts

    async def _waits(self, mailbox: str) -> bool:
        return mailbox in await self._store.backlog()


@pytest.fixture
def agent(redis_client: Redis) -> Agent:
    return Agent(MailboxStore(redis_client))


def sessions(server: ApiServer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = server.get(SESSIONS)["items"]
    return found


async def seen(world: Telegram, chat: int, look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """Wait until a look at a chat finds something; it looks again when anything happens there."""
    after, wait = 0, 0
    try:
        async with asyncio.timeout(SECONDS):
            while True:
                path = {"after": after, "wait": wait, "chat_id": chat}
                news = (await world.get("journal", **path))["entries"]
                after, wait = (news[-1]["sequence"] if news else after), SECONDS
                found = await look()
                if found is not None:
                    return found
    except TimeoutError:
        shown = await world.get(f"chats/{chat}")
        raise AssertionError(f"after {SECONDS} s still not: {what} in {chat}: {shown}") from None


async def said(world: Telegram, chat: int, text: str) -> dict[str, Any]:
    """Wait until the bot has said something with this text in a chat."""

    async def look() -> dict[str, Any] | None:
        own = [message for message in await world.messages(chat) if message["from"]["is_bot"]]
        return next((one for one in reversed(own) if text in one.get("text", "")), None)

    return await seen(world, chat, look, f"the bot says {text!r}")


async def is_empty(redis: Redis, stream: str) -> bool:
    return await entries(redis, stream) == []


async def all_confirmed(world: Telegram) -> bool:
    pending: int = (await world.get("state"))["pending_updates"]
    return pending == 0


async def has_texts(redis: Redis, user: int, texts: list[str]) -> bool:
    found = await entries(redis, f"user:{user}:incoming")
    return [fields["text"] for _, fields in found] == texts
