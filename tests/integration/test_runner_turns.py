"""Turns of a runner process with a stand-in for the CLI: their ends, whatever the CLI does."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest

from agentsession_core.wire import CancelOrder
from agentsession_testing.runner_gateway import Answer, running_gateway, turn, welcome
from agentsession_testing.runner_process import (
    Volume,
    drain,
    is_alive,
    running_runner,
)
from agentsession_testing.serving import until_true


async def test_per_turn_mode_ends_the_process_after_each_turn(volume: Volume, cli: Path) -> None:
    mode = welcome(process_mode="PerTurn")
    async with running_gateway(welcome=mode) as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        for name, expected in (("t1", "1: hi"), ("t2", "2: hi")):
            gateway.order(turn(name, "hi"))
            assert (await gateway.result_of(name)).text == expected
        gateway.order(turn("t3", "die"))
        died = await gateway.result_of("t3")
    assert (died.outcome, died.error and died.error.code) == ("Failed", "agent_exited")


async def test_the_death_of_the_cli_is_a_failed_turn_and_the_next_one_works(
    volume: Volume, cli: Path
) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "die"))
        died = await gateway.result_of("t1")
        gateway.order(turn("t2", "silent"))
        silent = await gateway.result_of("t2")
        gateway.order(turn("t3", "alive"))
        alive = await gateway.result_of("t3")
    assert died.outcome == "Failed"
    assert died.error is not None
    assert died.error.code == "agent_exited"
    assert "exit code 7" in died.error.message
    assert "boom: out of luck" in died.error.message
    assert died.text == "I was about to"
    assert silent.error is not None
    assert "exit code 0" in silent.error.message
    assert alive.text == "2: alive"


@pytest.mark.parametrize(
    ("prompt", "text"),
    [
        ("noise x", "1: noise x"),
        ("giant x", "1: giant x"),
        ("foreign x", "1: foreign x"),
        ("mute x", "1: mute x"),
        ("slow x", "not streamed"),
        ("flood x", "1: flood x"),
        ("tool x", "1: tool x"),
        ("/clear", "1:  /clear"),
        ("-h", "1: -h"),
        ("🙂" * 50_000, "1: " + "🙂" * 50_000),
    ],
)
async def test_the_answer_survives_what_a_cli_may_print(
    volume: Volume, cli: Path, prompt: str, text: str
) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", prompt))
        result = await gateway.result_of("t1")
    assert result.error is None
    assert result.text == text
    if not prompt.startswith("mute"):
        assert gateway.text_of("t1") == text


async def test_tools_are_events(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "tool"))
        await gateway.result_of("t1")
    tools = [event.data for _, event in gateway.events if event.kind == "tool"]
    assert tools == [{"name": "Bash", "summary": "List"}]
    assert [event.seq for _, event in gateway.events] == list(range(len(gateway.events)))


async def test_the_models_error_is_a_model_error(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "status 401"))
        result = await gateway.result_of("t1")
    assert result.outcome == "ModelError"
    assert result.error is not None
    assert result.error.code == "model_error_401"
    assert "credentials" in result.error.message
    assert result.text == ""


async def test_an_unfit_record_is_a_failure_with_what_was_said(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "unfit"))
        result = await gateway.result_of("t1")
    assert (result.outcome, result.text) == ("Failed", "what I said")
    assert result.error is not None
    assert "is_error is missing" in result.error.message


async def test_cancel_stops_the_named_turn_only(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "wait"))
        await gateway.until(lambda: gateway.text_of("t1"), "the turn's first words")
        gateway.order(CancelOrder(turn="another"))
        gateway.order(CancelOrder(turn="t1"))
        stopped = await gateway.result_of("t1")
        gateway.order(turn("t2", "on"))
        after = await gateway.result_of("t2")
    assert (stopped.outcome, stopped.text) == ("Cancelled", "waiting")
    assert after.text == "2: on"


async def test_a_turn_ends_at_its_deadline(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "wait", remaining_seconds=1.0))
        late = await gateway.result_of("t1")
        gateway.order(turn("t2", "on"))
        after = await gateway.result_of("t2")
    assert late.outcome == "TimedOut"
    assert late.error is not None
    assert late.error.code == "turn_timeout"
    assert after.text == "2: on"


async def test_a_turn_without_any_time_left_is_not_begun(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "never", remaining_seconds=-1.0))
        late = await gateway.result_of("t1")
        gateway.order(turn("t2", "on"))
        after = await gateway.result_of("t2")
    assert late.outcome == "TimedOut"
    assert after.text == "1: on"


async def test_a_deaf_cli_is_killed_with_everything_below_it(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(turn("t1", "deaf", remaining_seconds=2.0))
        late = await gateway.result_of("t1")
        child = int((volume.root / "deaf-child").read_text())
        await until_true(lambda: not is_alive(child), "the death of the CLI's child")
        gateway.order(turn("t2", "on"))
        after = await gateway.result_of("t2")
        await drain(gateway, runner)
    assert (late.outcome, late.text) == ("TimedOut", "deaf")
    assert after.text == "2: on"


async def test_a_cli_that_closes_its_stdout_is_ended(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "closed"))
        mute = await gateway.result_of("t1")
        child = int((volume.root / "closed-child").read_text())
        await until_true(lambda: not is_alive(child), "the death of the CLI's child")
        gateway.order(turn("t2", "on"))
        after = await gateway.result_of("t2")
    assert (mute.outcome, mute.text) == ("Failed", "my last words")
    assert mute.error is not None
    assert mute.error.code == "agent_exited"
    assert after.text == "2: on"


async def test_without_a_shell_for_the_cli_the_turn_says_so(volume: Volume, cli: Path) -> None:
    bare = {"PATH": str(volume.home)}
    async with (
        running_gateway() as gateway,
        running_runner(gateway, volume, cli, environment=bare),
    ):
        await gateway.ready()
        gateway.order(turn("t1", "hi"))
        result = await gateway.result_of("t1")
    assert result.error is not None
    assert result.error.code == "agent_not_started"
    assert "neither bash nor zsh" in result.error.message


async def test_a_cut_off_turn_is_told_to_the_agent(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "again", attempt=2))
        result = await gateway.result_of("t1")
    assert "cut off" in result.text
    assert result.text.endswith("again")


async def test_a_turn_it_has_is_ignored_and_an_unaccepted_result_posted_again(
    volume: Volume, cli: Path
) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.answers["result"] = deque([Answer(503), Answer(0), Answer(429)])
        gateway.order(turn("t1", "once"), standing=True)
        gateway.order(turn("t1", "once"))
        gateway.close_streams()
        await gateway.ready()
        await gateway.result_of("t1")
        gateway.close_streams()
        await gateway.ready()
        gateway.order(turn("t2", "twice"))
        result = await gateway.result_of("t2")
    assert result.text == "2: twice"
    assert [name for name, _ in gateway.results] == ["t1", "t2"]


async def test_a_refused_result_is_dropped(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.answers["result"] = deque([Answer(409, b'{"detail": "stale_run"}')])
        gateway.order(turn("t1", "one"))
        gateway.order(turn("t1", "one"))
        await until_true(lambda: "refused with status 409: stale_run" in runner.said, "the refusal")
        gateway.order(turn("t2", "two"))
        await gateway.result_of("t2")
    assert [name for name, _ in gateway.results] == ["t2"]


async def test_another_turn_takes_the_place_of_the_running_one(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "wait"))
        await gateway.until(lambda: gateway.text_of("t1"), "the turn's first words")
        gateway.order(turn("t2", "instead"))
        result = await gateway.result_of("t2")
    assert result.text == "2: instead"


async def test_a_missing_cli_fails_the_turn_with_its_cause(volume: Volume, tmp_path: Path) -> None:
    missing = tmp_path / "nothing"
    async with running_gateway() as gateway, running_runner(gateway, volume, missing):
        await gateway.ready()
        gateway.order(turn("t1", "hi"))
        result = await gateway.result_of("t1")
    assert result.outcome == "Failed"
    assert result.error is not None
    assert result.error.code == "agent_not_started"
    assert "nothing" in result.error.message
