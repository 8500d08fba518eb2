"""The conversation between runs, and what an agent leaves beside it; the CLI is a stand-in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agentsession_core.wire import Skill, SkillFile
from agentsession_testing.runner_gateway import running_gateway, turn, welcome
from agentsession_testing.runner_process import (
    Volume,
    drain,
    running_runner,
)
from agentsession_testing.serving import until_true


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


async def test_a_conversation_that_is_not_saved_is_noted(volume: Volume, cli: Path) -> None:
    async with running_gateway() as gateway, running_runner(gateway, volume, cli):
        await gateway.ready()
        gateway.order(turn("t1", "unsaved"))
        result = await gateway.result_of("t1")
    assert result.text == "gone soon"
    assert any("did not save" in state.get("note", "") for state in gateway.states_of("t1"))


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
