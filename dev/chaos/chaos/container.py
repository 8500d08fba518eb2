"""A container's stand-in: the real runner as process 1 of a PID namespace of its own.

Killing the runner ends whatever it started, as in a pod.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

NAMESPACE = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@dataclass(frozen=True)
class ContainerSpec:
    """What a container is made of."""

    workspace: Path
    home: Path
    token: Path
    log: Path
    environment: dict[str, str]


class Container:
    """A started container."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, spec: ContainerSpec) -> Container:
        """Starts the runner."""
        spec.workspace.mkdir(parents=True, exist_ok=True)
        spec.home.mkdir(parents=True, exist_ok=True)
        with spec.log.open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *(*NAMESPACE, sys.executable, "-P", "-m", "agentsession_runner"),
                env={
                    "PATH": os.environ["PATH"],
                    "HOME": str(spec.home),
                    "AGENTSESSION_TOKEN_FILE": str(spec.token),
                    "AGENTSESSION_WORKSPACE": str(spec.workspace),
                    **spec.environment,
                },
                cwd=spec.workspace,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return cls(process)

    async def wait(self) -> int:
        """The exit code as a container has it: 128 + the signal that ended it."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    @property
    def runs(self) -> bool:
        return self._process.returncode is None

    def terminate(self) -> None:
        """What kubelet does first."""
        self._signal(next(_children(self._process.pid), None), signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to everything in the container."""
        self._signal(self._process.pid, signal.SIGKILL)

    def kill_runner(self) -> bool:
        """SIGKILL to the runner alone; False if it is not there."""
        return self._signal(next(_children(self._process.pid), None), signal.SIGKILL)

    def kill_cli(self) -> bool:
        """SIGKILL to the agent CLI; False if none runs."""
        runner = next(_children(self._process.pid), None)
        if runner is None:
            return False
        cli = next((pid for pid in _children(runner) if "claude" in _command(pid)), None)
        return self._signal(cli, signal.SIGKILL)

    def _signal(self, pid: int | None, number: signal.Signals) -> bool:
        if pid is None or not self.runs:
            return False
        with suppress(ProcessLookupError):
            os.kill(pid, number)
            return True
        return False


def _children(pid: int) -> Iterator[int]:
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            yield from (int(child) for child in (task / "children").read_text().split())


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace").replace("\0", " ")
    except OSError:
        return ""
