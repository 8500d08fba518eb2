"""The runner as a process with a stand-in for the CLI: its beginning, its life, its end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections import deque
from pathlib import Path

import pytest

from agentsession_core.wire import CancelOrder, DrainOrder
from agentsession_testing.runner_gateway import Answer, running_gateway, turn, welcome
from agentsession_testing.runner_process import (
    Volume,
    drain,
    is_alive,
    running_runner,
)
from agentsession_testing.serving import until_true


async def test_two_turns_in_one_conversation_then_drain(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(turn("t1", "first", "second"))
        first = await gateway.result_of("t1")
        gateway.order(turn("t2", "third"))
        second = await gateway.result_of("t2")
        await drain(gateway, runner)

    assert (first.outcome, first.text) == ("Succeeded", "1: first\n\nsecond")
    assert second.text == "2: third"
    assert first.agent_session_id == second.agent_session_id
    assert gateway.text_of("t1") == first.text
    assert gateway.states_of("t1") == [{"agentSessionID": first.agent_session_id}]
    assert gateway.states_of("t2") == []
    assert gateway.byes == 1
    assert set(gateway.tokens) == {"Bearer token-one"}
    assert gateway.hellos[0].agent_type == "claude-code"


async def test_sigterm_ends_at_once_without_a_result(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(turn("t1", "deaf"))
        await gateway.until(lambda: gateway.text_of("t1"), "the turn's first words")
        child = int((volume.root / "deaf-child").read_text())
        runner.terminate()
        assert await runner.exit_code() == 0
        await until_true(lambda: not is_alive(child), "the death of the CLI's child")
    assert gateway.results == []
    assert gateway.byes == 0


async def test_a_reopened_run_goes_on(volume: Volume, cli: Path) -> None:
    async with (
        running_gateway(bye_answers=deque([True, False])) as gateway,
        running_runner(gateway, volume, cli) as runner,
    ):
        await gateway.ready()
        gateway.order(DrainOrder())
        await gateway.until(lambda: gateway.byes == 1, "the first bye")
        gateway.order(turn("t1", "hi"))
        await gateway.result_of("t1")
        await drain(gateway, runner)
    assert gateway.byes == 2


async def test_a_drain_waits_for_the_turns_end(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(turn("t1", "wait"))
        await gateway.until(lambda: gateway.text_of("t1"), "the turn's first words")
        gateway.order(DrainOrder())
        gateway.order(CancelOrder(turn="t1"))
        await gateway.result_of("t1")
        assert await runner.exit_code() == 0
    assert gateway.byes == 1


@pytest.mark.parametrize("status", [401, 403, 409])
async def test_a_refused_hello_is_one_clear_line(volume: Volume, cli: Path, status: int) -> None:
    refusal = Answer(status, json.dumps({"detail": "not the current run"}).encode())
    async with (
        running_gateway(answers={"hello": deque([refusal])}) as gateway,
        running_runner(gateway, volume, cli) as runner,
    ):
        assert await runner.exit_code() == 3
    lines = runner.said.strip().splitlines()
    assert len(lines) == 1
    assert f"status {status}: not the current run" in lines[0]


async def test_hello_is_tried_again(volume: Volume, cli: Path) -> None:
    answers = {"hello": deque([Answer(503), Answer(0)])}
    async with running_gateway(answers=answers) as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
    assert len(gateway.hellos) == 1


async def test_a_run_that_is_over_ends(volume: Volume, cli: Path) -> None:
    gone = Answer(403, b'{"detail": "the run is not current"}')
    async with (
        running_gateway(answers={"stream": deque([gone])}) as gateway,
        running_runner(gateway, volume, cli) as runner,
    ):
        assert await runner.exit_code() == 3
    assert "the run is not current" in runner.said


async def test_another_protocol_is_refused_in_words(volume: Volume, cli: Path) -> None:
    async with (
        running_gateway(welcome=welcome(protocol=2)) as gateway,
        running_runner(gateway, volume, cli) as runner,
    ):
        assert await runner.exit_code() == 3
    assert "protocol" in runner.said


async def test_an_agent_type_without_driver_is_refused_in_words(volume: Volume, cli: Path) -> None:
    other = {"AGENT_TYPE": "codex"}
    async with (
        running_gateway() as gateway,
        running_runner(gateway, volume, cli, environment=other) as runner,
    ):
        assert await runner.exit_code() == 2
    assert "'codex' is not supported by this image" in runner.said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a process namespace")
async def test_as_process_one_it_collects_orphans_and_hears_sigterm(
    volume: Volume, cli: Path
) -> None:
    namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    async with (
        running_gateway() as gateway,
        running_runner(gateway, volume, cli, prefix=namespace) as runner,
    ):
        await gateway.ready()
        (process_one,) = children(runner.process.pid)
        gateway.order(turn("t1", "orphan"))
        assert (await gateway.result_of("t1")).text == "1: orphan"
        await until_true((volume.root / "orphan-done").exists, "the orphan's end")
        # The CLI itself is the one child that is left.
        await until_true(lambda: len(children(process_one)) == 1, "the orphan to be collected")
        gateway.order(turn("t2", "die"))
        assert "exit code 7" in str((await gateway.result_of("t2")).error)
        os.kill(process_one, signal.SIGTERM)
        assert await runner.exit_code() == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make a process namespace")
async def test_process_one_hears_sigterm_before_its_hello_is_answered(
    volume: Volume, cli: Path
) -> None:
    namespace = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    async with (
        running_gateway(hello_gate=asyncio.Event()) as gateway,
        running_runner(gateway, volume, cli, prefix=namespace) as runner,
    ):
        await gateway.until(lambda: gateway.hellos, "hello")
        os.kill(children(runner.process.pid)[0], signal.SIGTERM)
        assert await runner.exit_code() == 0


def children(pid: int) -> list[int]:
    """The children of a process, zombies included."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
