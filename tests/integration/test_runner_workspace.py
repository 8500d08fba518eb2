"""The runner as a process on a workspace that takes no writes, with a stand-in for the CLI."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from agentsession_testing.real_claude import small_disk
from agentsession_testing.runner_gateway import running_gateway, turn
from agentsession_testing.runner_process import (
    RunnerProcess,
    Volume,
    running_runner,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")

FILLED = "head -c 100M /dev/zero > big 2>/dev/null || true"
READ_ONLY = 'cd / && mount -o remount,ro "$OLDPWD" && cd "$OLDPWD"'


def disk_of(runner: RunnerProcess, volume: Volume) -> Path:
    """The workspace as the runner sees it: its disk is mounted for itself alone."""
    return Path(f"/proc/{runner.process.pid}/root{volume.root}")


async def test_a_workspace_full_from_the_start_is_named_until_there_is_room(
    volume: Volume, cli: Path
) -> None:
    disk = small_disk(volume, 4, FILLED)
    async with (
        running_gateway() as gateway,
        running_runner(gateway, volume, cli, prefix=disk) as runner,
    ):
        await gateway.ready()
        gateway.order(turn("t1", "hi"))
        full = await gateway.result_of("t1")
        (disk_of(runner, volume) / "big").unlink()
        gateway.order(turn("t2", "hi"))
        after = await gateway.result_of("t2")
        runner.terminate()
        assert await runner.exit_code() == 0
    assert full.outcome == "Failed"
    assert full.error is not None
    assert full.error.code == "workspace_full"
    assert after.text == "1: hi"


async def test_a_cli_that_dies_of_a_full_workspace_is_said_to(volume: Volume, cli: Path) -> None:
    disk = small_disk(volume, 8)
    async with (
        running_gateway() as gateway,
        running_runner(gateway, volume, cli, prefix=disk) as runner,
    ):
        await gateway.ready()
        gateway.order(turn("t1", "hi"))
        assert (await gateway.result_of("t1")).text == "1: hi"
        root = disk_of(runner, volume)
        await asyncio.to_thread(fill, root / "big")
        gateway.order(turn("t2", "x" * 100_000))
        full = await gateway.result_of("t2")
        # The reserve was given back: what is small enough fits again.
        gateway.order(turn("t3", "small"))
        after = await gateway.result_of("t3")
    assert full.outcome == "Failed"
    assert full.error is not None
    assert full.error.code == "workspace_full"
    assert "exit code 1" in full.error.message
    assert after.text.endswith(": small")


async def test_a_read_only_workspace_is_named_in_every_turn(volume: Volume, cli: Path) -> None:
    disk = small_disk(volume, 4, READ_ONLY)
    async with running_gateway() as gateway, running_runner(gateway, volume, cli, prefix=disk):
        await gateway.ready()
        for name in ("t1", "t2"):
            gateway.order(turn(name, "hi"))
            refused = await gateway.result_of(name)
            assert refused.error is not None
            assert refused.error.code == "workspace_read_only"


def fill(file: Path) -> None:
    """Take all room that is left, to the last page."""
    with file.open("wb", buffering=0) as opened:
        try:
            while True:
                opened.write(bytes(4096))
        except OSError:
            return
