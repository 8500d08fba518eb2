"""Traps of the real Claude Code CLI (failures, settings, context, network), met by the runner."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from agentsession_core.wire import Skill, SkillFile
from agentsession_testing.claude_cli import AGENT_UID
from agentsession_testing.real_claude import fail, last_body, recover, running, until
from agentsession_testing.runner_gateway import turn, welcome
from agentsession_testing.runner_process import Volume, is_alive

pytestmark = [pytest.mark.claude, pytest.mark.timeout(180)]

TOO_LONG = "prompt is too long: 300000 tokens > 200000 maximum"


@pytest.mark.parametrize(
    ("effect", "code"),
    [
        ({"status": 400}, "model_error_400"),
        ({"status": 400, "message": TOO_LONG}, "model_error_prompt_too_long"),
        ({"status": 402}, "model_error_402"),
        ({"status": 403}, "model_error_403"),
        ({"status": 404}, "model_error_404"),
        ({"status": 413}, "model_error_413"),
        ({"status": 429}, "model_error_429"),
        ({"status": 429, "retry_after": 1}, "model_error_429"),
        ({"status": 500}, "model_error_500"),
        ({"status": 529}, "model_error_529"),
        ({"reset": True}, "model_error_connection"),
        ({"cut_mid": True}, "model_error_connection"),
        ({"error_mid": True}, "model_error_529"),
    ],
)
async def test_a_failing_model_is_named_and_the_next_turn_works(
    volume: Volume, claude_binary: Path, model: str, effect: dict[str, Any], code: str
) -> None:
    async with running(volume, claude_binary, model) as run:
        await fail(model, **effect)
        failed = await run.ask("t1", "hello")
        await recover(model)
        after = await run.ask("t2", "again")
    assert (failed.outcome, failed.error.code) == ("ModelError", code)
    assert "API Error" not in failed.text
    assert (after.outcome, after.error) == ("Succeeded", None)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("--no-such-option",), "agent_exited", "unknown option '--no-such-option'"),
        (("--mcp-config", "/no/such/file"), "agent_exited", "file not found: /no/such/file"),
        (("--max-turns", "1"), "max_turns", "maximum number of turns"),
        (("--max-budget-usd", "0.0000001"), "max_budget", "maximum budget"),
    ],
)
async def test_what_a_templates_arguments_cause_is_named_in_every_turn(
    volume: Volume,
    claude_binary: Path,
    model: str,
    arguments: tuple[str, ...],
    code: str,
    words: str,
) -> None:
    async with running(volume, claude_binary, model, welcome(args=arguments)) as run:
        for name in ("t1", "t2"):
            failed = await run.ask(name, "RUN: echo hi")
            assert (failed.outcome, failed.error.code) == ("Failed", code)
            assert words in failed.error.message


@pytest.mark.parametrize("blank", [" ", "\n\n", "\t \u00a0"])
async def test_a_blank_prompt_has_an_answer(
    volume: Volume, claude_binary: Path, model: str, blank: str
) -> None:
    async with running(volume, claude_binary, model) as run:
        answered = await run.ask("t1", blank)
        after = await run.ask("t2", "hello")
    assert (answered.outcome, answered.error) == ("Succeeded", None)
    assert after.text.endswith("hello")


def skill(name: str, description: str) -> Skill:
    content = f"---\nname: {name}\ndescription: {description}\n---\nbody"
    return Skill(name=name, files=(SkillFile(path="SKILL.md", content=content),))


def newest(messages: list[dict[str, Any]]) -> str:
    """What the CLI sent after the model's last answer."""
    last = max(n for n, message in enumerate(messages) if message["role"] == "assistant")
    return json.dumps(messages[last + 1 :])


@pytest.mark.parametrize("mode", ["Persistent", "PerTurn"])
@pytest.mark.parametrize("instructions", ["NEW-INSTRUCTIONS", ""])
async def test_a_changed_template_is_in_force_in_a_conversation_that_goes_on(
    volume: Volume, claude_binary: Path, model: str, mode: str, instructions: str
) -> None:
    old = welcome(
        process_mode=mode,
        instructions="OLD-INSTRUCTIONS",
        skills=(skill("one", "SKILL-ONE"), skill("two", "SKILL-TWO")),
    )
    async with running(volume, claude_binary, model, old) as run:
        first = await run.ask("t1", "hello")
        await run.drain()
    new = welcome(
        process_mode=mode,
        instructions=instructions,
        skills=(skill("two", "SKILL-TWO-CHANGED"), skill("three", "SKILL-THREE")),
        agent_session_id=first.agent_session_id,
    )
    async with running(volume, claude_binary, model, new) as run:
        second = await run.ask("t2", "again")
    assert second.text == "2: again"
    said = newest(json.loads(await last_body(model))["messages"])
    assert (instructions or "withdrawn") in said
    assert "SKILL-THREE" in said
    assert "SKILL-TWO-CHANGED" in said
    # The old text stays in the history; what is said last replaces it.
    assert "OLD-INSTRUCTIONS" not in said
    assert "SKILL-ONE" not in said


@pytest.mark.parametrize(
    "settings",
    [
        '{"permissions": {"disableBypassPermissionsMode": "disable"}}',
        '{"permissions": {"defaultMode": "plan"}}',
        '{"env": {"PATH": "/nowhere", "CLAUDE_CODE_MAX_RETRIES": "50"}, "model": "another"}',
        '{"forceLoginMethod": "console", "cleanupPeriodDays": 0, "outputStyle": "none"}',
        '{"perm',
    ],
)
async def test_a_projects_settings_do_not_stop_the_agent(
    volume: Volume, claude_binary: Path, model: str, settings: str
) -> None:
    write_project_settings(volume, settings)
    async with running(volume, claude_binary, model) as run:
        first = await run.ask("t1", "RUN: echo works")
        await run.drain()
    known = welcome(agent_session_id=first.agent_session_id)
    async with running(volume, claude_binary, model, known) as run:
        second = await run.ask("t2", "known?")
    assert first.text == "It printed: works"
    assert second.text == "2: known?"


@pytest.mark.parametrize("rule", ["deny", "ask"])
async def test_a_projects_rules_about_tools_hold(
    volume: Volume, claude_binary: Path, model: str, rule: str
) -> None:
    write_project_settings(volume, json.dumps({"permissions": {rule: ["Bash"]}}))
    async with running(volume, claude_binary, model) as run:
        result = await run.ask("t1", "RUN: touch done")
    assert result.outcome == "Succeeded"
    assert not (volume.root / "done").exists()


def write_project_settings(volume: Volume, settings: str) -> None:
    directory = volume.root / ".claude"
    directory.mkdir()
    (directory / "settings.json").write_text(settings)
    if os.geteuid() == 0:
        os.chown(directory, AGENT_UID, AGENT_UID)


async def test_an_agent_that_kills_its_cli_fails_its_turn_only(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    async with running(volume, claude_binary, model) as run:
        died = await run.ask("t1", "RUN: kill -9 $PPID")
        after = await run.ask("t2", "hello")
    assert (died.outcome, died.error.code, died.text) == ("Failed", "agent_exited", "I run it.")
    assert "exit code -9" in died.error.message
    assert after.text == "2: hello"


async def test_garbage_on_the_clis_own_pipes(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    noise = "RUN: for n in 1 2 3; do echo '{garbage' > /proc/$PPID/fd/1; done; echo written"
    async with running(volume, claude_binary, model) as run:
        on_stdout = await run.ask("t1", noise)
        on_stdin = await run.ask("t2", "RUN: echo '{garbage' > /proc/$PPID/fd/0; sleep 60")
        after = await run.ask("t3", "hello")
    assert (on_stdout.outcome, on_stdout.text) == ("Succeeded", "It printed: written")
    assert (on_stdin.outcome, on_stdin.error.code) == ("Failed", "agent_exited")
    assert "Error parsing streaming input line" in on_stdin.error.message
    assert after.outcome == "Succeeded"
    assert after.text.endswith(": hello")


async def test_processes_left_behind_neither_keep_the_turn_nor_the_run(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    leave = "RUN: (setsid tail -f /dev/null & echo $! > left.pid); tail -f /dev/null & echo left"
    async with running(volume, claude_binary, model) as run:
        result = await run.ask("t1", leave)
        after = await run.ask("t2", "on")
        assert is_alive(int((volume.root / "left.pid").read_text()))
        await run.drain()
    assert result.text == "It printed: left"
    assert after.text == "2: on"


@pytest.mark.parametrize("mode", ["Persistent", "PerTurn"])
async def test_an_agent_that_removes_the_runners_directory_loses_its_memory_only(
    volume: Volume, claude_binary: Path, model: str, mode: str
) -> None:
    given = welcome(process_mode=mode, instructions="GIVEN-INSTRUCTIONS")
    async with running(volume, claude_binary, model, given) as run:
        await run.ask("t0", "hello")
        removed = await run.ask("t1", "RUN: rm -rf .agentsession; echo removed")
        after = await run.ask("t2", "on")
        await run.drain()
    known = welcome(agent_session_id=removed.agent_session_id)
    async with running(volume, claude_binary, model, known) as run:
        later = await run.ask("t3", "later")
    assert removed.text == "It printed: removed"
    assert [after.outcome, later.outcome] == ["Succeeded"] * 2, (after.error, later.error)
    assert later.text.startswith("The saved conversation was not found")
    assert later.text.endswith("1: later")


# What an agent's `rm -rf` may leave when the CLI writes at that moment: the call, not what led to it.
STUMP = (
    "RUN: cd .agentsession/claude-code/projects/*; f=$(ls *.jsonl); "
    """until n=$(grep -n '"type":"tool_use"' $f); do sleep 0.1; done; """
    "tail -n +${n%%:*} $f > stump; mv stump $f; echo removed"
)


@pytest.mark.parametrize("mode", ["Persistent", "PerTurn"])
@pytest.mark.parametrize("first", [True, False])
async def test_the_rest_of_a_removed_conversation_is_not_gone_on_with(
    volume: Volume, claude_binary: Path, model: str, mode: str, first: bool
) -> None:
    async with running(volume, claude_binary, model, welcome(process_mode=mode)) as run:
        if not first:
            await run.ask("t0", "hello")
        removed = await run.ask("t1", STUMP)
        after = await run.ask("t2", "on")
        await run.drain()
    known = welcome(process_mode=mode, agent_session_id=after.agent_session_id)
    async with running(volume, claude_binary, model, known) as run:
        later = await run.ask("t3", "later")
    assert removed.text == "It printed: removed"
    assert [after.error, later.error] == [None, None]
    # A process that stays up remembers; the next run, or the next process, says that it does not.
    lost, asked = (later, "later") if mode == "Persistent" else (after, "on")
    assert lost.text.startswith("The saved conversation was not found")
    assert lost.text.endswith(f"1: {asked}")


async def test_the_cli_talks_to_nobody_but_the_gateway(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    asked: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.write(b"HTTP/1.1 502 No\r\ncontent-length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    proxy = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    environment = {"HTTPS_PROXY": proxy, "HTTP_PROXY": proxy}
    async with server, running(volume, claude_binary, model, environment=environment) as run:
        result = await run.ask("t1", "RUN: echo works")
        again = await run.ask("t2", "hello")
        await run.drain()
    assert (result.text, again.text) == ("It printed: works", "2: hello")
    assert asked == []


async def test_an_unanswered_model_call_ends_with_the_turns_time(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    async with running(volume, claude_binary, model) as run:
        await fail(model, stall_before=150)
        late = await run.ask("t1", "hello", remaining_seconds=3.0)
        await recover(model)
        after = await run.ask("t2", "on")
    assert (late.outcome, late.error.code) == ("TimedOut", "turn_timeout")
    assert after.text.endswith(": on")


async def test_a_runner_told_to_end_in_a_turn_leaves_no_tool_and_no_result(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    async with running(volume, claude_binary, model) as run:
        run.gateway.order(turn("t1", "RUN: echo $$ > tool.pid; exec tail -f /dev/null"))
        file = volume.root / "tool.pid"
        await until(lambda: file.exists() and file.read_text().strip(), "the tool to start")
        session = run.gateway.states_of("t1")[0]["agentSessionID"]
        run.runner.terminate()
        assert await run.runner.exit_code() == 0
        assert not is_alive(int(file.read_text()))
        assert run.gateway.results == []
    known = welcome(agent_session_id=session)
    async with running(volume, claude_binary, model, known) as run:
        result = await run.ask("t1", "RUN: echo back", attempt=2)
    assert result.outcome == "Succeeded"
    assert "cut off" in await last_body(model)


@pytest.mark.parametrize("tool_ends", ["while it is away", "when it is back"])
async def test_a_gateway_lost_while_a_tool_runs_costs_nothing(
    volume: Volume, claude_binary: Path, model: str, tool_ends: str
) -> None:
    wait = "RUN: touch started; until test -e go; do sleep 0.1; done; echo went-on"
    async with running(volume, claude_binary, model) as run:
        run.gateway.order(turn("t1", wait), standing=True)
        await until((volume.root / "started").exists, "the tool to start")
        await run.gateway.go_away()
        if tool_ends == "while it is away":
            (volume.root / "go").touch()
            said = "the gateway went away in the turn"
            await until(lambda: said in run.runner.said, "the failed model call")
        await run.gateway.come_back()
        await run.gateway.ready()
        (volume.root / "go").touch()
        result = await run.gateway.result_of("t1")
    body = await last_body(model)
    assert (result.outcome, result.error) == ("Succeeded", None)
    assert "went-on" in body
    assert ("Go on where you stopped" in body) == (tool_ends == "while it is away")
    assert [name for name, _ in run.gateway.results] == ["t1"]
