"""`kubectl agents` at a real terminal and in a pipe, against a real gateway and Valkey."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from agentsession_core.api import TurnOutcome
from agentsession_core.mailbox.answers import TurnGrant
from agentsession_core.mailbox.contract import NewMessage, Source
from agentsession_core.mailbox.model import ResultRecord
from agentsession_core.mailbox.store import MailboxStore
from agentsession_core.settings import Settings
from agentsession_gateway.server import build_server
from agentsession_testing import kubectl_stand_in
from agentsession_testing.fake_cluster import terminal_review
from agentsession_testing.gateway import NO_NETWORK, POD_UID, RUN, SESSION, USER, Harness
from agentsession_testing.serving import port_of, serving, until
from agentsession_testing.terminal import CTRL_C, CTRL_D, Terminal, at_terminal
from kubectl_agents.errors import Exit

PROGRAM = [sys.executable, "-m", "kubectl_agents"]
ADA: dict[str, Any] = {"metadata": {"name": SESSION}, "spec": {"user": {"id": USER}}}


class Agent:
    """Plays the run: takes turns, says things, answers."""

    def __init__(self, harness: Harness, folder: Path) -> None:
        self._store = harness.store
        self.folder = folder
        self.environment = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"}

    async def take(self, turn: str) -> TurnGrant:
        """Waits for a message and begins the turn."""

        async def waits() -> bool:
            return (await self._store.state(USER)).waiting > 0

        await until(waits, "a message waits", 30)
        return await self._store.begin_turn(
            USER, run=RUN, pod_uid=POD_UID, turn=turn, timeout_seconds=1800
        )

    async def say(self, turn: str, kind: str, **data: str) -> None:
        """An event of the turn."""
        source = await self._store.state(USER)
        assert source.turn is not None
        await self._store.publish_events(USER, turn, source.turn.source, [(1, kind, data)])

    async def answer(
        self, turn: str, text: str, outcome: TurnOutcome = TurnOutcome.SUCCEEDED, error: str = ""
    ) -> None:
        """The turn's result."""
        result = ResultRecord(outcome, text, error_message=error)
        await self._store.commit_result(USER, run=RUN, turn=turn, result=result)

    async def stopped(self, turn: str) -> None:
        """Waits until somebody wants the turn stopped."""

        async def wished() -> bool:
            grant = await self._store.begin_turn(
                USER, run=RUN, pod_uid=POD_UID, turn=turn, timeout_seconds=1800
            )
            return grant.cancelled

        await until(wished, "the turn is to stop", 30)


@asynccontextmanager
async def running(harness: Harness, folder: Path) -> AsyncIterator[Agent]:
    server = build_server(harness.app(), "127.0.0.1", 0, harness.hub.close)
    async with serving(server):
        kubectl_stand_in.install(folder, sessions=[ADA], token="a-person", forward=port_of(server))
        yield Agent(harness, folder)


@pytest.fixture
async def harness(store: MailboxStore, tmp_path: Path) -> AsyncIterator[Harness]:
    async with httpx.AsyncClient(transport=NO_NETWORK) as upstream:
        harness = Harness(store, Settings(), tmp_path, upstream)
        harness.add_session(observedGeneration=1)
        harness.cluster.reviews["a-person"] = terminal_review()
        await harness.begin_run()
        yield harness


@pytest.fixture
async def agent(harness: Harness, tmp_path: Path) -> AsyncIterator[Agent]:
    async with running(harness, tmp_path / "bin") as agent:
        yield agent


async def expect(terminal: Terminal, text: str) -> str:
    return await asyncio.to_thread(terminal.expect, text)


async def piped(agent: Agent, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [*PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=agent.environment,
        timeout=60,
    )


def running_with(argument: str) -> list[str]:
    """The processes that have this argument."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if argument in (process / "cmdline").read_text().split("\0"):
                found.append(process.name)
    return found


class TestAtATerminal:
    async def test_two_turns_and_the_way_out(self, agent: Agent) -> None:
        with at_terminal([*PROGRAM, "chat", SESSION], agent.environment) as terminal:
            await expect(terminal, "/help says what there is")
            await expect(terminal, "> ")
            terminal.type("What is here?\r")
            grant = await agent.take("t1")
            assert [message.text for message in grant.messages] == ["What is here?"]
            await agent.say("t1", "delta", text="I look.")
            await expect(terminal, "I look.")
            await agent.say("t1", "tool", name="Bash", summary="ls \x1b[2J")
            await expect(terminal, "⚙ Bash ls [2J")
            await agent.say("t1", "delta", text="Nothing.")
            await agent.answer("t1", "Nothing.")
            await expect(terminal, "Nothing.")
            assert "Nothing." not in await expect(terminal, "> ")
            terminal.type("Sure? \\\rReally?\r")
            grant = await agent.take("t2")
            assert [message.text for message in grant.messages] == ["Sure? \nReally?"]
            await agent.answer("t2", "Sure.")
            await expect(terminal, "Sure.\r\n")
            await expect(terminal, "> ")
            terminal.type("/new\r")
            await expect(terminal, "conversation 2 begins with the next message")
            terminal.type("/frob\r")
            await expect(terminal, "there is no /frob")
            terminal.type("/quit\r")
            assert await asyncio.to_thread(terminal.wait) == Exit.OK

    async def test_ctrl_c_stops_the_turn_and_the_conversation_goes_on(self, agent: Agent) -> None:
        with at_terminal([*PROGRAM, "chat", SESSION], agent.environment) as terminal:
            await expect(terminal, "> ")
            terminal.type("Count to a million.\r")
            await agent.take("t1")
            await agent.say("t1", "delta", text="One, two")
            await expect(terminal, "One, two")
            terminal.type(CTRL_C)
            await agent.stopped("t1")
            await agent.answer("t1", "", TurnOutcome.CANCELLED)
            await expect(terminal, "✘ stopped")
            await expect(terminal, "> ")
            terminal.type("And now?\r")
            await agent.take("t2")
            await agent.answer("t2", "Still here.")
            await expect(terminal, "Still here.")
            # Typed before the prompt it would be lost: the terminal changes its mode there.
            await expect(terminal, "> ")
            terminal.type(CTRL_D)
            assert await asyncio.to_thread(terminal.wait) == Exit.OK

    async def test_a_turn_that_has_not_begun_is_stopped_when_it_does(self, agent: Agent) -> None:
        with at_terminal([*PROGRAM, "chat", SESSION], agent.environment) as terminal:
            await expect(terminal, "> ")
            terminal.type("Wait\r")
            # What takes longer than a second says what is waited for.
            await expect(terminal, "Starting: The pod is starting.")
            terminal.type(CTRL_C)
            await expect(terminal, "its turn is stopped when it begins")
            await agent.take("t1")
            await agent.stopped("t1")
            await agent.answer("t1", "", TurnOutcome.CANCELLED)
            await expect(terminal, "✘ stopped")

    async def test_a_second_ctrl_c_leaves(self, agent: Agent) -> None:
        with at_terminal([*PROGRAM, "chat", SESSION], agent.environment) as terminal:
            await expect(terminal, "> ")
            terminal.type("Think\r")
            await agent.take("t1")
            await agent.say("t1", "delta", text="Hm")
            await expect(terminal, "Hm")
            terminal.type(CTRL_C)
            await expect(terminal, "stopping the turn; ctrl-c again leaves")
            terminal.type(CTRL_C)
            assert await asyncio.to_thread(terminal.wait) == Exit.INTERRUPTED

    async def test_a_window_that_is_closed_leaves_no_kubectl_behind(
        self, agent: Agent, tmp_path: Path
    ) -> None:
        program = str(tmp_path / "bin" / "kubectl")
        with at_terminal([*PROGRAM, "chat", SESSION], agent.environment) as terminal:
            await expect(terminal, "> ")
            assert running_with(program)
        await until(lambda: not running_with(program), "no kubectl runs", 10)

    async def test_history_and_turns_of_others(self, agent: Agent, harness: Harness) -> None:
        await harness.begin_turn("t0", "An old prompt")
        await agent.answer("t0", "An old answer")
        for message in (
            NewMessage(source=Source.TELEGRAM, id="id-1", text="the secret"),
            NewMessage(source=Source.TERMINAL, id="id-2", text="seen"),
        ):
            await harness.store.ingest(USER, message)
            await agent.take(f"turn-of-{message.id}")
            await agent.answer(f"turn-of-{message.id}", f"to {message.text}")
        with at_terminal([*PROGRAM, "chat", SESSION], agent.environment) as terminal:
            before = await expect(terminal, "/help says what there is")
        assert "a message from telegram (Succeeded)" in before
        assert "the secret" not in terminal.seen
        assert "An old answer" in before
        assert "to seen" in before

    async def test_the_gateway_restarts_in_the_turn(self, harness: Harness, tmp_path: Path) -> None:
        folder = tmp_path / "bin"
        async with running(harness, folder) as agent:
            terminal_of = at_terminal([*PROGRAM, "chat", SESSION], agent.environment)
            terminal = terminal_of.__enter__()
            await expect(terminal, "> ")
            terminal.type("Go on\r")
            await agent.take("t1")
            await agent.say("t1", "delta", text="before ")
            await expect(terminal, "before")
        await agent.say("t1", "delta", text="between ")
        harness.reopen()
        async with running(harness, folder) as agent:
            await expect(terminal, "between")
            await agent.answer("t1", "before between after")
            await expect(terminal, "before between after")
            terminal_of.__exit__(None, None, None)


class TestInAPipe:
    async def test_the_answer_alone(self, agent: Agent) -> None:
        asking = asyncio.create_task(piped(agent, "chat", SESSION, stdin="hi\n"))
        await agent.take("t1")
        await agent.say("t1", "tool", name="Bash", summary="ls")
        await agent.say("t1", "delta", text="Hello")
        await agent.answer("t1", "Hello \x1b[1mall\x1b[0m")
        done = await asking
        assert (done.returncode, done.stdout, done.stderr) == (0, "Hello \x1b[1mall\x1b[0m\n", "")

    async def test_for_programs(self, agent: Agent) -> None:
        asking = asyncio.create_task(piped(agent, "chat", SESSION, "-m", "hi", "--json"))
        await agent.take("t1")
        await agent.answer("t1", "", TurnOutcome.MODEL_ERROR, "429: slow down")
        done = await asking
        assert done.returncode == Exit.FAILED
        assert json.loads(done.stdout) == {
            "outcome": "ModelError",
            "text": "",
            "error": "429: slow down",
        }

    async def test_no_answer_in_time(self, agent: Agent) -> None:
        done = await piped(agent, "chat", SESSION, "-m", "hi", "--timeout", "1")
        assert done.returncode == Exit.TIMED_OUT
        assert "kubectl agents last" in done.stderr

    async def test_nothing_in_the_pipe(self, agent: Agent) -> None:
        assert (await piped(agent, "chat", SESSION, stdin=" \n")).returncode == Exit.USAGE

    async def test_last_and_new(self, agent: Agent, harness: Harness) -> None:
        await harness.begin_turn("t0")
        await agent.answer("t0", "the answer")
        assert (await piped(agent, "last", SESSION)).stdout == "the answer\n"
        assert json.loads((await piped(agent, "new", SESSION, "--json")).stdout) == {
            "name": SESSION,
            "conversation": 2,
        }

    async def test_keep(self, agent: Agent, harness: Harness) -> None:
        done = await piped(agent, "keep", SESSION)
        assert (done.returncode, done.stderr) == (0, "")
        assert (await harness.store.state(USER)).last_activity is not None

    async def test_a_token_that_is_refused(self, agent: Agent, harness: Harness) -> None:
        harness.cluster.reviews.clear()
        done = await piped(agent, "last", SESSION)
        assert done.returncode == Exit.NOT_ALLOWED
        assert "✘" in done.stderr
        calls = kubectl_stand_in.calls(agent.folder)
        # A token that was new is not asked for again.
        assert sum("token" in call for call in calls) == 1

    async def test_the_token_is_in_no_command_line(self, agent: Agent) -> None:
        assert (await piped(agent, "last", SESSION)).returncode == Exit.OK
        assert "a-person" not in json.dumps(kubectl_stand_in.calls(agent.folder))
