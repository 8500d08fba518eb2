"""The real Claude Code CLI on a workspace, home or /tmp that takes no writes, and on lost files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agentsession_testing.real_claude import Run, running, small_disk
from agentsession_testing.runner_gateway import welcome
from agentsession_testing.runner_process import Volume

pytestmark = [
    pytest.mark.claude,
    pytest.mark.timeout(180),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk"),
]

FILL = "RUN: head -c 100M /dev/zero > big 2>/dev/null; echo filled"
FILLED = "head -c 100M /dev/zero > big 2>/dev/null || chown -R 1000:1000 ."
OURS = "mkdir -p .agentsession/claude-code && touch .agentsession/lock && chown -R 1000:1000 ."


def seen_by(run: Run, path: Path) -> Path:
    """A path as the runner sees it: its disk is mounted for itself alone."""
    return Path(f"/proc/{run.runner.process.pid}/root{path}")


async def test_a_workspace_that_fills_up_is_named_and_can_be_emptied(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    async with running(volume, claude_binary, model, prefix=small_disk(volume, 8)) as run:
        first = await run.ask("t1", "hello")
        filled = await run.ask("t2", FILL)
        freed = await run.ask("t3", "RUN: rm big; echo freed")
        after = await run.ask("t4", "and now")
        await run.drain()
    assert first.outcome == "Succeeded"
    assert (filled.outcome, filled.error.code) == ("Failed", "workspace_full")
    assert "delete files" in filled.error.message
    assert "workspace.volumeClaimTemplate" in filled.error.message
    assert filled.text == "It printed: filled"
    assert (freed.outcome, freed.text) == ("Succeeded", "It printed: freed")
    assert (after.outcome, after.error) == ("Succeeded", None)


@pytest.mark.parametrize("mode", ["Persistent", "PerTurn"])
async def test_an_agent_can_be_asked_to_empty_a_workspace_that_is_full_from_the_start(
    volume: Volume, claude_binary: Path, model: str, mode: str
) -> None:
    reserve = "head -c 1M /dev/zero > .agentsession/reserve"
    disk = small_disk(volume, 8, f"{OURS} && {reserve} && {FILLED}")
    given = welcome(process_mode=mode)
    async with running(volume, claude_binary, model, given, prefix=disk) as run:
        freed = await run.ask("t1", "RUN: rm big; echo freed")
        after = await run.ask("t2", "and now")
        assert not seen_by(run, volume.root / "big").exists()
    assert (freed.outcome, freed.text) == ("Succeeded", "It printed: freed")
    assert (after.outcome, after.text) == ("Succeeded", "2: and now")


async def test_a_full_workspace_without_a_reserve_is_a_named_failure_until_there_is_room(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    disk = small_disk(volume, 8, FILLED)
    async with running(volume, claude_binary, model, prefix=disk) as run:
        full = await run.ask("t1", "hello")
        assert run.cli_pids == []
        seen_by(run, volume.root / "big").unlink()
        after = await run.ask("t2", "hello again")
    assert (full.outcome, full.error.code) == ("Failed", "workspace_full")
    assert "delete files" in full.error.message
    assert (after.outcome, after.text) == ("Succeeded", "1: hello again")


async def test_a_read_only_workspace_is_a_named_failure(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    disk = small_disk(volume, 8, f"cd / && mount -o remount,ro {volume.root} && cd {volume.root}")
    async with running(volume, claude_binary, model, prefix=disk) as run:
        for name in ("t1", "t2"):
            refused = await run.ask(name, "hello")
            assert (refused.outcome, refused.error.code) == ("Failed", "workspace_read_only")
            assert "read-write" in refused.error.message
        await run.drain()


@pytest.mark.parametrize("home", ["read-only", "missing", "a file"])
async def test_a_home_that_cannot_be_written_costs_nothing(
    volume: Volume, claude_binary: Path, model: str, home: str
) -> None:
    environment = {"HOME": "/nonexistent/home"} if home == "missing" else {}
    if home == "read-only":
        os.chown(volume.home, 0, 0)
    elif home == "a file":
        volume.home.rmdir()
        volume.home.touch()
    async with running(volume, claude_binary, model, environment=environment) as run:
        first = await run.ask("t1", "RUN: echo works")
        await run.drain()
    known = welcome(agent_session_id=first.agent_session_id)
    async with running(volume, claude_binary, model, known, environment=environment) as run:
        second = await run.ask("t2", "still known?")
    assert first.text.endswith("works")
    assert second.text == "2: still known?"


async def test_tools_work_although_tmp_cannot_be_written(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    files = volume.root.parent
    script = (
        f"mount --bind {files} {files} && mount --rbind /tmp /tmp && mount -o remount,ro,bind /tmp "
        f'&& cd {volume.root} && exec "$@"'
    )
    prefix = ("unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh")
    async with running(volume, claude_binary, model, prefix=prefix) as run:
        result = await run.ask("t1", "RUN: touch /tmp/x || echo refused; echo works")
    assert result.text.endswith("refused\nworks")


@pytest.mark.parametrize("loss", ["deleted", "garbage", "empty", "a directory", "everything"])
async def test_a_lost_conversation_begins_anew_and_says_so(
    volume: Volume, claude_binary: Path, model: str, loss: str
) -> None:
    async with running(volume, claude_binary, model) as run:
        first = await run.ask("t1", "hello")
        await run.drain()
    (file,) = volume.conversations()
    if loss == "garbage":
        file.write_bytes(b"\0\xff no record\n" * 50)
    elif loss == "empty":
        file.write_bytes(b"\n\n")
    else:
        file.unlink()
        if loss == "a directory":
            file.mkdir()
            os.chown(file, 1000, 1000)
    if loss == "everything":
        (volume.root / ".agentsession" / "session.json").unlink()
    known = welcome(agent_session_id=first.agent_session_id)
    async with running(volume, claude_binary, model, known) as run:
        second = await run.ask("t2", "after")
        third = await run.ask("t3", "and after")
    assert second.outcome == "Succeeded"
    assert second.text.startswith("The saved conversation was not found")
    assert second.text.endswith("\n\n1: after")
    assert second.agent_session_id != first.agent_session_id
    assert "note" in run.gateway.states_of("t2")[0]
    assert third.text == "2: and after"


async def test_a_conversation_cut_in_its_last_line_goes_on(
    volume: Volume, claude_binary: Path, model: str
) -> None:
    async with running(volume, claude_binary, model) as run:
        first = await run.ask("t1", "hello")
        await run.ask("t2", "hello again")
        await run.drain()
    (file,) = volume.conversations()
    file.write_bytes(file.read_bytes()[:-200])
    known = welcome(agent_session_id=first.agent_session_id)
    async with running(volume, claude_binary, model, known) as run:
        third = await run.ask("t3", "after")
    assert (third.outcome, third.text) == ("Succeeded", "3: after")
