"""Chat messages through whole turns: real CLI, runner and gateway processes, real Valkey.

A cancel, messages that come while a turn runs, and a new conversation, in both process modes.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from redis.asyncio import Redis

from agentsession_core.mailbox.answers import CancelAnswer
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.keys import MailboxKeys
from agentsession_core.mailbox.store import MailboxStore
from agentsession_testing.claude_cli import as_agent
from agentsession_testing.gateway import TOKEN, USER
from agentsession_testing.runner_process import RunnerProcess, Volume, is_alive, running_runner
from agentsession_testing.serving import until
from agentsession_testing.valkey import Valkey, entries
from agentsession_testing.whole_turn import WholeTurn, whole_turn

pytestmark = [pytest.mark.claude, pytest.mark.timeout(300)]
BOTH_MODES = pytest.mark.parametrize("mode", ["Persistent", "PerTurn"])

TURN_SECONDS = 60.0
DEADLINE_SECONDS = 60.0
HANG = "RUN: echo $$ > tool.pid; exec tail -f /dev/null"


@dataclass
class Answer:
    """What went out."""

    reply_to: list[str]
    outcome: str
    text: str


@dataclass
class Chat:
    """A person's side of a whole turn."""

    parts: WholeTurn
    redis: Redis
    volume: Volume
    runners: list[RunnerProcess] = field(default_factory=list)

    async def say(self, name: str, text: str, *, new: bool = False) -> None:
        """Send a message."""
        message = NewMessage(source=Source.TELEGRAM, id=name, chat="7", text=text)
        await self.parts.store.ingest(USER, message, new_conversation=new)

    async def answers(self, count: int) -> list[Answer]:
        """Wait for so many answers in all."""
        found: list[Answer] = []

        async def came() -> bool:
            out = await entries(self.redis, MailboxKeys(USER).outgoing)
            found[:] = [
                Answer(json.loads(entry["reply_to"]), entry["outcome"], entry["text"])
                for _, entry in out
            ]
            return len(found) >= count

        try:
            await until(came, f"{count} answers", DEADLINE_SECONDS)
        except AssertionError as error:
            said = self.runners[-1].said if self.runners else ""
            raise AssertionError(f"{error}; came: {found}; the runner said:\n{said}") from None
        return found

    async def tool(self) -> int:
        """Wait for the tool that never ends; answers its pid."""
        file = self.volume.root / "tool.pid"

        async def runs() -> bool:
            return file.exists() and bool(file.read_text().strip())

        await until(runs, "the tool runs", DEADLINE_SECONDS)
        pid = int(file.read_text())
        file.unlink()
        return pid

    async def cancel(self) -> None:
        """Stop the running turn."""
        answer = await self.parts.store.request_cancel(USER, by="telegram")
        assert answer.answer is CancelAnswer.CANCELLED

    async def has_ended(self, pid: int) -> None:
        """Wait for the end of a process."""

        async def ended() -> bool:
            return not is_alive(pid)

        await until(ended, f"process {pid} has ended", DEADLINE_SECONDS)

    async def session_id(self) -> str | None:
        """The CLI's id of the current conversation."""
        return (await self.parts.store.state(USER)).agent_session_id


@pytest.fixture
async def chat(
    store: MailboxStore,
    redis_client: Redis,
    valkey: Valkey,
    tmp_path: Path,
    model: str,
    volume: Volume,
    mode: str,
) -> AsyncIterator[Chat]:
    volume.token.write_text(f"{TOKEN}\n")
    agent = {"processMode": mode}
    async with whole_turn(store, valkey, tmp_path, model, TURN_SECONDS, agent) as parts:
        yield Chat(parts, redis_client, volume)


@asynccontextmanager
async def runner(chat: Chat, cli: Path) -> AsyncIterator[RunnerProcess]:
    gateway = f"http://127.0.0.1:{chat.parts.ports[0]}"
    async with running_runner(_At(gateway), chat.volume, cli, prefix=as_agent()) as process:
        chat.runners.append(process)
        yield process


@dataclass(frozen=True)
class _At:
    url: str


@BOTH_MODES
async def test_a_cancel_in_a_tool_call_ends_the_turn_and_nothing_else(
    chat: Chat, claude_binary: Path, model: str
) -> None:
    async with chat.parts.gateway(model, silence=30), runner(chat, claude_binary):
        await chat.say("m1", HANG)
        tool = await chat.tool()
        await chat.cancel()
        [stopped] = await chat.answers(1)
        await chat.has_ended(tool)
        first = await chat.session_id()
        await chat.say("m2", "on")
        [_, after] = await chat.answers(2)
    assert stopped == Answer(["m1"], "Cancelled", "I run it.")
    # The second text of one conversation: it goes on with all that was said.
    assert after == Answer(["m2"], "Succeeded", "2: on")
    assert await chat.session_id() == first


@pytest.mark.parametrize("mode", ["Persistent"])
async def test_a_cancel_waits_for_a_gateway(chat: Chat, claude_binary: Path, model: str) -> None:
    """It stands in the turn's record: a gateway that comes later tells it to the runner."""
    async with chat.parts.gateway(model, silence=30) as gateway, runner(chat, claude_binary):
        await chat.say("m1", HANG)
        tool = await chat.tool()
        gateway.process.kill()
        await gateway.process.wait()
        await chat.cancel()
        async with chat.parts.gateway(model, silence=30):
            [stopped] = await chat.answers(1)
            await chat.has_ended(tool)
    assert (stopped.reply_to, stopped.outcome) == (["m1"], "Cancelled")


@BOTH_MODES
async def test_messages_that_come_in_a_turn_are_the_next_one(
    chat: Chat, claude_binary: Path, model: str
) -> None:
    """In order and together, but for the first of a new conversation, which has a turn of its own."""
    async with chat.parts.gateway(model, silence=30), runner(chat, claude_binary):
        await chat.say("m1", HANG)
        await chat.tool()
        first = await chat.session_id()
        await chat.say("m2", "one")
        await chat.say("m3", "two")
        await chat.say("m4", "afresh", new=True)
        await chat.say("m5", "and more")
        await chat.cancel()
        answers = await chat.answers(3)
        second = await chat.session_id()
        await chat.say("m6", "again")
        [*_, last] = await chat.answers(4)
    assert answers[0].outcome == "Cancelled"
    assert answers[1:] == [
        Answer(["m2", "m3"], "Succeeded", "2: one\n\ntwo"),
        Answer(["m4", "m5"], "Succeeded", "1: afresh\n\nand more"),
    ]
    assert last == Answer(["m6"], "Succeeded", "2: again")
    assert None not in (first, second)
    assert first != second
    assert await chat.session_id() == second
    assert sorted(path.stem for path in chat.volume.conversations()) == sorted(
        [str(first), str(second)]
    )
