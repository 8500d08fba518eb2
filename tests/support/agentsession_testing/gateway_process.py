"""The gateway as a process of its own."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from agentsession_testing.gateway import TOKEN
from agentsession_testing.service_process import ServiceProcess, killed_at_the_end
from agentsession_testing.serving import plain_client

PROGRAM = ("-m", "agentsession_gateway")


def of_release(protocol: int) -> tuple[str, ...]:
    """The gateway as a release with another newest protocol version would be."""
    return (
        "-c",
        f"import agentsession_core.wire as wire; wire.PROTOCOL = {protocol}; "
        "from agentsession_gateway.__main__ import main; main()",
    )


class GatewayProcess(ServiceProcess):
    """A running gateway."""

    def client(self) -> httpx.AsyncClient:
        """A client with the token of the session's first run."""
        return plain_client(
            base_url=self.url,
            headers={"authorization": f"Bearer {TOKEN}"},
            timeout=20,
        )


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
    command = (
        *(sys.executable, *program, "--host", "127.0.0.1"),
        *("--config", str(config), "--secrets", str(folder / "secrets"), *arguments),
    )
    ports = settings.get("gateway", {})
    async with killed_at_the_end(*command, kubeconfig=kubeconfig) as process:
        yield GatewayProcess(process, ports.get("port", 0), ports.get("metricsPort", 0))
