"""The runner as a process with a stand-in for the CLI: protocol, life, trouble."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from collections import deque
from pathlib import Path

import pytest

from agentsession_core.wire import CancelOrder, DrainOrder, Skill, SkillFile
from agentsession_testing.runner_gateway import Answer, running_gateway, turn, welcome
from agentsession_testing.runner_process import (
    RunnerProcess,
    Volume,
    fake_cli,
    is_alive,
    make_volume,
    running_runner,
)
from agentsession_testing.serving import until_true


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return make_volume(tmp_path)


@pytest.fixture
def cli(tmp_path: Path) -> Path:
    return fake_cli(tmp_path)


async def drain(gateway: object, runner: RunnerProcess) -> None:
    gateway.order(DrainOrder())  # type: ignore[attr-defined]
    assert await runner.exit_code() == 0, runner.said


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


async def test_the_next_run_resumes_what_the_gateway_knows(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
        await gateway.ready()
        gateway.order(turn("t1", "first"))
        first = await gateway.result_of("t1")
        await drain(gateway, runner)
    known = welcome(agent_session_id=first.agent_session_id)
    async with running_gateway(welcome=known) as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t2", "second"))
        second = await gateway.result_of("t2")
    assert second.text == "2: second"
    assert gateway.states_of("t2") == []


async def test_the_volume_stands_in_when_the_gateway_knows_nothing(
    volume: Volume, cli: Path
) -> None:
    for name, expected in (("t1", "1: hi"), ("t2", "2: hi")):
        async with running_gateway() as gateway, running_runner(gateway, volume, cli) as runner:
            await gateway.ready()
            gateway.order(turn(name, "hi"))
            assert (await gateway.result_of(name)).text == expected
            await drain(gateway, runner)


async def test_another_conversation_starts_anew(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "old"))
        old = await gateway.result_of("t1")
        gateway.order(turn("t2", "new", conversation=1))
        new = await gateway.result_of("t2")
    assert new.text == "1: new"
    assert new.agent_session_id != old.agent_session_id
    assert gateway.states_of("t2") == [{"agentSessionID": new.agent_session_id}]
    stored = json.loads((volume.root / ".agentsession" / "session.json").read_text())
    assert stored == {
        "conversation": 1,
        "agentSessionID": new.agent_session_id,
        "answered": 1,
        "savedBytes": volume.conversation(new.agent_session_id).stat().st_size,
    }


async def test_a_lost_conversation_is_said_to_be_lost(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "old"))
        old = await gateway.result_of("t1")
    volume.conversations()[0].unlink()
    known = welcome(agent_session_id=old.agent_session_id)
    async with running_gateway(welcome=known) as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t2", "new"))
        new = await gateway.result_of("t2")
        gateway.order(turn("t3", "newer"))
        newer = await gateway.result_of("t3")
    assert new.outcome == "Succeeded"
    assert "new conversation" in new.text
    assert new.text.endswith("1: new")
    assert new.agent_session_id != old.agent_session_id
    assert "note" in gateway.states_of("t2")[0]
    assert newer.text == "2: newer"


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


async def test_a_conversation_that_is_not_saved_is_noted(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "unsaved"))
        result = await gateway.result_of("t1")
    assert result.text == "gone soon"
    assert any("did not save" in state.get("note", "") for state in gateway.states_of("t1"))


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


@pytest.mark.parametrize("mode", ["Persistent", "PerTurn"])
async def test_what_an_agent_writes_to_its_configuration_is_gone_before_its_cli_starts_again(
    volume: Volume, cli: Path, mode: str
) -> None:
    given = welcome(process_mode=mode, instructions="Be brief.")
    async with running_gateway(welcome=given) as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "die"))
        await gateway.result_of("t1")
        settings = volume.config / "settings.json"
        settings.write_text('{"hooks": {}}')
        (volume.config / "CLAUDE.md").unlink()
        (volume.config / "plugins").mkdir()
        gateway.order(turn("t2", "hi"))
        result = await gateway.result_of("t2")
    assert result.text == "2: hi"
    assert json.loads(settings.read_text())["disableAllHooks"] is True
    assert (volume.config / "CLAUDE.md").read_text() == "Be brief."
    assert not (volume.config / "plugins").exists()


async def test_a_runner_directory_removed_in_the_middle_costs_the_conversation_only(
    volume: Volume, cli: Path
) -> None:
    per_turn = welcome(process_mode="PerTurn")
    async with running_gateway(welcome=per_turn) as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "one"))
        assert (await gateway.result_of("t1")).text == "1: one"
        shutil.rmtree(volume.root / ".agentsession")
        gateway.order(turn("t2", "two"))
        second = await gateway.result_of("t2")
    assert second.text == "1: two"


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


async def test_one_runner_at_a_time_uses_a_volume(volume: Volume, cli: Path) -> None:
    async with (
        running_gateway() as first_gateway,
        running_gateway() as second_gateway,
        running_runner(first_gateway, volume, cli) as first,
    ):
        await first_gateway.ready()
        async with running_runner(second_gateway, volume, cli) as second:
            await until_true(lambda: "waiting for" in second.said, "the second to wait")
            assert len(second_gateway.hellos) == 1
            assert second_gateway.streams == []
            first.kill()
            await second_gateway.ready()
            second_gateway.order(turn("t1", "hi"))
            result = await second_gateway.result_of("t1")
            assert second.said.count("waiting for") == 1
    assert result.text == "1: hi"


async def test_operator_files_replace_what_an_agent_left(volume: Volume, cli: Path) -> None:
    outside = volume.root / "outside"
    outside.mkdir()
    (outside / "SKILL.md").write_text("mine")
    config = volume.config
    (config / "plugins").mkdir(parents=True)
    (config / "skills").symlink_to(outside)
    (config / "settings.json").symlink_to(outside / "SKILL.md")
    (config / "settings.local.json").write_text('{"hooks": {}}')
    (config / "CLAUDE.md").symlink_to(outside / "SKILL.md")
    (config / "projects" / "p").mkdir(parents=True)
    (config / "projects" / "p" / "memory.md").write_text("kept")
    deploy = Skill(name="deploy", files=(SkillFile(path="SKILL.md", content="how"),))
    evil = Skill(name="../evil", files=(SkillFile(path="SKILL.md", content="x"),))
    given = welcome(instructions="Be brief.", skills=(deploy, evil))
    async with (
        running_gateway(welcome=given) as gateway,
        running_runner(gateway, volume, cli) as runner,
    ):
        await gateway.ready()
    assert "skill '../evil' is left out" in runner.said
    assert (outside / "SKILL.md").read_text() == "mine"
    assert (config / "CLAUDE.md").read_text() == "Be brief."
    assert not (config / "skills").is_symlink()
    assert (config / "skills" / "deploy" / "SKILL.md").read_text() == "how"
    assert [path.name for path in (config / "skills").iterdir()] == ["deploy"]
    assert not (config / "settings.local.json").exists()
    assert not (config / "plugins").exists()
    assert (config / "projects" / "p" / "memory.md").read_text() == "kept"
    settings = json.loads((config / "settings.json").read_text())
    assert settings["apiKeyHelper"] == f"cat {volume.token}"
    assert json.loads((config / ".claude.json").read_text())["mcpServers"] == {}


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
