"""The gateway as a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from agentsession_testing.gateway import TOKEN
from agentsession_testing.serving import plain_client, process_environment

PROGRAM = ("-m", "agentsession_gateway")


def of_release(protocol: int) -> tuple[str, ...]:
    """The gateway as a release with another newest protocol version would be."""
    return (
        "-c",
        f"import agentsession_core.wire as wire; wire.PROTOCOL = {protocol}; "
        "from agentsession_gateway.__main__ import main; main()",
    )


@dataclass
class GatewayProcess:
    """A running process."""

    process: asyncio.subprocess.Process
    port: int
    metrics_port: int

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.AsyncClient:
        """A client with the token of the session's first run."""
        return plain_client(
            base_url=self.url,
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=20,
        )

    async def ready(self) -> bool:
        """Whether it is ready; fails with its last words when it has ended."""
        if self.process.returncode is not None:
            raise AssertionError((await self.logs())[-3:])
        try:
            async with self.client() as client:
                return (await client.get("/readyz")).status_code == 200
        except httpx.TransportError:
            return False

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
async def started_gateway(
    folder: Path,
    settings: dict[str, Any],
    kubeconfig: Path | None,
    *arguments: str,
    program: tuple[str, ...] = PROGRAM,
) -> AsyncIterator[GatewayProcess]:
    """A gateway that is killed at the end; secrets are the files of `folder`/secrets."""
    config = folder / "config.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, *program, "--host", "127.0.0.1"),
        *("--config", str(config), "--secrets", str(folder / "secrets"), *arguments),
        env=process_environment(kubeconfig),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    ports = settings.get("gateway", {})
    gateway = GatewayProcess(process, ports.get("port", 0), ports.get("metricsPort", 0))
    try:
        yield gateway
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
