"""Chat messages in pods, as a bridge puts them into the mailbox: stopped, given up, held."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from agentsession_core.mailbox.answers import CancelAnswer
from agentsession_core.mailbox.connect import connect
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.cluster import Product, condition
from agentsession_testing.serving import until
from agentsession_testing.valkey import entries

NewName = Callable[[str], str]
DEADLINE_SECONDS = 90.0
HANG = "run: tail -f /dev/null"


@dataclass
class Out:
    """An entry that went out."""

    kind: str
    reply_to: list[str]
    outcome: str
    text: str


@dataclass
class Chat:
    """A person's side of a session; the mailbox has the session's name."""

    product: Product
    store: MailboxStore
    redis: Redis
    name: str

    async def say(self, message: str, text: str) -> None:
        """Send a message."""
        # A chat that is none of Telegram's: the bridge leaves its answers where they are.
        new = NewMessage(source=Source.TELEGRAM, id=message, chat="a-room", text=text)
        await self.store.ingest(self.name, new)

    async def out(self, count: int) -> list[Out]:
        """Wait for so many entries in all; the mailbox's first ones stay the first."""
        found: list[Out] = []

        async def came() -> bool:
            found[:] = [
                Out(e["kind"], json.loads(e["reply_to"]), e["outcome"], e["text"])
                for _, e in await entries(self.redis, MailboxKeys(self.name).outgoing)
            ]
            return len(found) >= count

        try:
            await until(came, f"{count} entries went out", DEADLINE_SECONDS)
        except AssertionError as error:
            seen = self.product.describe(self.name, self.product.get(self.name))
            raise AssertionError(f"{error}; so far: {found}\n{seen}") from None
        return found

    async def tool(self) -> None:
        """Wait until the agent uses a tool."""

        async def uses() -> bool:
            events = await entries(self.redis, MailboxKeys(self.name).events)
            return any(event["kind"] == "tool" for _, event in events)

        await until(uses, "the agent uses a tool", DEADLINE_SECONDS)


@pytest.fixture
async def mailboxes(product: Product) -> AsyncIterator[Redis]:
    """The release's own Redis."""
    names = product.names
    listed = product.kubectl("get", "secrets", "-o", "json", namespace=names.namespace)
    passwords = [
        base64.b64decode(secret["data"]["redis-password"]).decode()
        for secret in json.loads(listed)["items"]
        if "redis-password" in secret.get("data", {})
    ]
    with product.port_forward(f"svc/{names.release}-redis", 6379) as url:
        address = url.replace("http://", "redis://") + "/0"
        async with connect(address, SecretStr(passwords[0])) as redis:
            yield redis


@pytest.fixture
def chat(product: Product, mailboxes: Redis, new_name: NewName) -> Chat:
    name = new_name("chat")
    product.apply(product.manifest(name))
    return Chat(product, MailboxStore(mailboxes), mailboxes, name)


async def test_a_tool_is_stopped_and_a_sleeping_session_keeps_what_comes(
    product: Product, chat: Chat
) -> None:
    await chat.say("m1", HANG)
    await chat.tool()
    pod = product.pods(chat.name)[0].metadata.name
    stopped = await chat.store.request_cancel(chat.name)
    assert stopped.answer is CancelAnswer.CANCELLED
    [answer] = await chat.out(1)
    assert answer == Out("answer", ["m1"], "Cancelled", "I run it.")
    last = (await chat.store.state(chat.name)).last
    assert last is not None
    await chat.say("m2", "hello")
    [_, answer] = await chat.out(2)
    assert "This is message 2 of our conversation" in answer.text
    assert [p.metadata.name for p in product.pods(chat.name)] == [pod]

    product.patch(chat.name, operatingMode="Suspended")
    product.wait_phase(chat.name, "Suspended")
    await chat.say("m3", "hello")
    await chat.say("m4", "and once more")
    [*_, notice] = await chat.out(3)
    assert (notice.kind, notice.reply_to) == ("notice", [])
    assert "kept" in notice.text
    product.patch(chat.name, operatingMode="Running")
    [*_, answer] = await chat.out(4)
    assert (answer.kind, answer.reply_to) == ("answer", ["m3", "m4"])


async def test_a_message_that_ends_its_run_three_times_is_given_up(
    product: Product, chat: Chat
) -> None:
    await chat.say("m1", f"run: kill -TERM 1; {HANG.removeprefix('run: ')}")
    await chat.say("m2", "and more")
    [notice] = await chat.out(1)
    assert (notice.kind, notice.reply_to) == ("notice", ["m1", "m2"])
    assert notice.outcome == "DeadLettered"
    assert "3 times" in notice.text
    given_up = product.wait_reason(chat.name, "Degraded", "DeadLettered")
    assert given_up["status"]["lastTurn"]["outcome"] == "DeadLettered"
    assert given_up["status"]["runs"] == 3
    product.wait_event(chat.name, "DeadLettered")
    await chat.say("m3", "hello")
    [_, answer] = await chat.out(2)
    assert (answer.kind, answer.reply_to, answer.outcome) == ("answer", ["m3"], "Succeeded")
    mended = product.wait(
        chat.name, "no trouble", lambda seen: condition(seen, "Degraded").get("status") == "False"
    )
    assert mended["status"]["runs"] == 4
