"""The runner as a process of its own, against a gateway of the test."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pytest

from agentsession_core.wire import DrainOrder
from agentsession_testing import fake_claude
from agentsession_testing.runner_gateway import RunnerGateway

DEADLINE_SECONDS = 20.0
RUNNER_PATH = Path(__file__).parents[3] / "agent-image"


class Gateway(Protocol):
    """What a runner must know of its gateway."""

    @property
    def url(self) -> str:
        """Where it listens."""
        ...


@dataclass
class RunnerProcess:
    """A started runner; its stderr is kept."""

    process: asyncio.subprocess.Process
    stderr: bytearray
    reading: asyncio.Task[None]

    @property
    def said(self) -> str:
        """What it wrote on stderr so far."""
        return self.stderr.decode(errors="replace")

    async def exit_code(self) -> int:
        """Wait for its end."""
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                code = await self.process.wait()
                await self.reading
        except TimeoutError:
            raise AssertionError(f"the runner did not end; it said:\n{self.said}") from None
        return code

    def terminate(self) -> None:
        """What kubelet does first."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """What a node's death does."""
        self.process.kill()


@dataclass(frozen=True)
class Volume:
    """A workspace volume and the rest of a run pod's files."""

    root: Path
    home: Path
    token: Path

    @property
    def config(self) -> Path:
        """Claude Code's configuration directory."""
        return self.root / ".agentsession" / "claude-code"

    def conversations(self) -> list[Path]:
        """The saved conversations."""
        return sorted(self.config.glob("projects/*/*.jsonl"))

    def conversation(self, session_id: str | None) -> Path:
        """The file of one conversation."""
        (file,) = self.config.glob(f"projects/*/{session_id}.jsonl")
        return file


def make_volume(directory: Path) -> Volume:
    """An empty volume."""
    volume = Volume(directory / "workspace", directory / "home", directory / "token")
    volume.root.mkdir()
    volume.home.mkdir()
    volume.token.write_text("token-one\n")
    return volume


def is_alive(pid: int) -> bool:
    """Whether the process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def fake_cli(directory: Path) -> Path:
    """A program that behaves like `claude` without a model."""
    program = directory / "claude"
    program.write_text(f"#!{sys.executable}\n{Path(fake_claude.__file__).read_text()}")
    program.chmod(program.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    return program


@asynccontextmanager
async def running_runner(
    gateway: Gateway,
    volume: Volume,
    cli: Path,
    *,
    prefix: Sequence[str] = (),
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[RunnerProcess]:
    """A runner that is killed at the end if it is still there."""
    process = await asyncio.create_subprocess_exec(
        *prefix,
        sys.executable,
        "-P",
        "-m",
        "agentsession_runner",
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(volume.home),
            "PYTHONPATH": str(RUNNER_PATH),
            "AGENTSESSION_GATEWAY_URL": gateway.url,
            "AGENT_TYPE": "claude-code",
            "AGENTSESSION_TOKEN_FILE": str(volume.token),
            "AGENTSESSION_WORKSPACE": str(volume.root),
            "AGENTSESSION_CLI": str(cli),
            **(environment or {}),
        },
        cwd=volume.root,
        stderr=asyncio.subprocess.PIPE,
    )
    stderr = bytearray()
    runner = RunnerProcess(process, stderr, asyncio.create_task(_collect(process, stderr)))
    try:
        yield runner
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(DEADLINE_SECONDS):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        await runner.reading


async def _collect(process: asyncio.subprocess.Process, into: bytearray) -> None:
    assert process.stderr is not None
    while data := await process.stderr.read(65536):
        into += data


async def drain(gateway: RunnerGateway, runner: RunnerProcess) -> None:
    """Has the runner end, and sees that it ends well."""
    gateway.order(DrainOrder())
    assert await runner.exit_code() == 0, runner.said


@pytest.fixture
def cli(tmp_path: Path) -> Path:
    """The stand-in for the agent CLI, where this test's runners find it."""
    return fake_cli(tmp_path)
