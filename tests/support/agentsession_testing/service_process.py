"""A service of ours as a process of its own, whose output is a pipe."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from agentsession_testing.serving import plain_client, process_environment


@dataclass
class ServiceProcess:
    """A running process and its ports."""

    process: asyncio.subprocess.Process
    port: int
    metrics_port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def ready(self) -> bool:
        """Whether it is ready; fails with its last words when it has ended."""
        if self.process.returncode is not None:
            raise AssertionError((await self.logs())[-3:])
        try:
            async with plain_client(base_url=self.url, timeout=20) as client:
                return (await client.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

    async def metrics(self) -> str:
        """What Prometheus reads."""
        async with plain_client() as client:
            return (await client.get(f"http://127.0.0.1:{self.metrics_port}/metrics")).text

    async def stop(self) -> int:
        """Its exit code after SIGTERM."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await asyncio.wait_for(self.process.wait(), 20)

    async def logs(self) -> list[str]:
        """The lines it printed, once it has ended."""
        assert self.process.stdout is not None
        return (await self.process.stdout.read()).decode().splitlines()


@asynccontextmanager
async def killed_at_the_end(
    *command: str, kubeconfig: Path | None
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The command as a process, for as long as the block."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=process_environment(kubeconfig),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
